// @ts-check
/**
 * A feed is what one room of the chat shows: messages in the order of their history, none twice, and the player's own
 * lines that are still under way. It knows nothing of the screen, so it can be tested without one.
 */

/**
 * @typedef {{name: string, text: string, time: number, epoch: string|number, offset: number}} Line
 * @typedef {{id: number, text: string, state: 'queued'|'sent'|'unsure'|'refused', problem?: string,
 *   at?: {epoch: string|number, offset: number}}} Pending
 */

const LONGEST = 500; // lines kept on the page, the oldest go first

export class Feed {
  /** @type {Line[]} */ lines = [];
  /** @type {Pending[]} */ pending = [];
  #nextID = 1;

  /**
   * Puts a line at its place: behind all of its epoch with a smaller offset.
   * @param {Line} line
   * @returns {number} its index, or -1 when it stands there already or is older than all that is kept of a full feed
   */
  add(line) {
    if (this.has(line.epoch, line.offset)) return -1;
    let at = this.lines.length;
    for (; at > 0; at--) {
      const before = this.lines[at - 1];
      if (before.epoch !== line.epoch || before.offset < line.offset) break;
    }
    if (at === 0 && this.lines.length >= LONGEST) return -1;
    this.lines.splice(at, 0, line);
    return at;
  }

  /** Takes off the oldest lines beyond the limit. @returns {number} how many went */
  trim() {
    const extra = Math.max(0, this.lines.length - LONGEST);
    this.lines.splice(0, extra);
    return extra;
  }

  /** @param {string|number} epoch @param {number} offset */
  has(epoch, offset) {
    return this.lines.some((line) => line.epoch === epoch && line.offset === offset);
  }

  /** Notes a line of our own that is to be sent. @param {string} text @returns {Pending} */
  write(text) {
    /** @type {Pending} */
    const pending = { id: this.#nextID++, text, state: 'queued' };
    this.pending.push(pending);
    return pending;
  }

  /** The node took the line as this position: it is done as soon as the line itself is here. @param {Pending} pending @param {{epoch: string|number, offset: number}} at */
  accept(pending, at) {
    pending.at = at;
    this.settle();
  }

  /** Takes off the pending lines that have arrived. */
  settle() {
    this.pending = this.pending.filter(({ at }) => !at || !this.has(at.epoch, at.offset));
  }

  /** @param {Pending} pending */
  drop(pending) { this.pending = this.pending.filter((other) => other !== pending); }

  /**
   * A line of our own came in. If one with the same words is unsure (the link broke before its answer), this is it.
   * @param {Line} line
   */
  recognise(line) {
    const mine = this.pending.find(({ state, text }) => state === 'unsure' && text === line.text);
    if (mine) this.drop(mine);
  }

  /**
   * The link is back and everything missed has been handed out: what is unsure by now never reached the node.
   * Without recovery that is not known, so those lines wait for the player's decision.
   * @param {boolean} recovered
   * @returns {Pending[]} the lines to send now, in the order they were written
   */
  resumed(recovered) {
    if (recovered) for (const pending of this.pending) if (pending.state === 'unsure') pending.state = 'queued';
    return this.pending.filter(({ state }) => state === 'queued');
  }
}
