// @ts-check
/** A room of the chat on the screen: its feed, its lines, what is under way, the field to write in. */
import { CallError } from '/gosper.js';
import { Feed } from '/feed.js';
import { explain, hue, make } from '/screens.js';

/** @typedef {import('/feed.js').Line} Line @typedef {import('/feed.js').Pending} Pending */

const NEAR_END = 80; // pixels from the end within which the log follows new lines

export class Room {
  // Static after construction.
  #node;
  #family;
  #log;
  #list;
  #pendingList;
  #field;
  #badge;

  // The present talk.
  #feed = new Feed();
  /** @type {Map<Line, HTMLElement>} */ #shown = new Map();
  #me = '';
  #unread = 0;
  #open = false;
  #complete = false; // the history was shown

  /**
   * @param {import('/gosper.js').Connection} node
   * @param {HTMLElement} root the tab panel
   * @param {HTMLElement} tab its tab
   * @param {boolean} family whether it is the family's room
   */
  constructor(node, root, tab, family) {
    this.#node = node;
    this.#family = family;
    this.#log = /** @type {HTMLElement} */ (root.querySelector('.log'));
    this.#list = /** @type {HTMLElement} */ (root.querySelector('.lines:not(.pending)'));
    this.#pendingList = /** @type {HTMLElement} */ (root.querySelector('.pending'));
    this.#badge = /** @type {HTMLElement} */ (tab.querySelector('.badge'));
    const form = /** @type {HTMLFormElement} */ (root.querySelector('.say'));
    this.#field = /** @type {HTMLInputElement} */ (form.elements.namedItem('text'));
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      const text = this.#field.value.trim();
      this.#field.focus();
      if (!text) return;
      this.#field.value = '';
      this.#say(text);
    });
  }

  get unread() { return this.#unread; }

  /** Begins a new talk as `name`, with what the node remembers of it. @param {string} name */
  async enter(name) {
    this.leave();
    this.#open = true;
    this.#me = name;
    await this.#load();
  }

  /** Clears the room. */
  leave() {
    this.#open = false;
    this.#complete = false;
    this.#feed = new Feed();
    this.#shown.clear();
    this.#list.replaceChildren();
    this.#pendingList.replaceChildren();
    this.read();
  }

  /** A push of this room. @param {any} content @param {any} position @param {boolean} inSight */
  push(content, position, inSight) {
    if (!this.#open || !position) return;
    this.#add({ name: content.name, text: content.text, time: content.time, epoch: position.epoch, offset: position.offset });
    if (!inSight && content.name !== this.#me) this.#mark(this.#unread + 1);
  }

  /** The node could not fill a hole: say so and show what it still has. */
  async gap() {
    if (!this.#open) return;
    this.#list.append(make('li', 'aside', 'Some messages may be missing here: the server no longer has them.'));
    this.#complete = false;
    await this.#load();
  }

  /** The link is back. @param {boolean} recovered whether all that was missed has been handed out */
  resumed(recovered) {
    if (this.#open && !this.#complete) this.#load();
    for (const pending of this.#feed.resumed(recovered)) this.#deliver(pending);
    this.#drawPending();
  }

  /** The room came into sight. */
  read() {
    this.#mark(0);
    this.#log.scrollTop = this.#log.scrollHeight;
  }

  /** @param {number} count */
  #mark(count) {
    this.#unread = count;
    this.#badge.hidden = count === 0;
    this.#badge.textContent = String(count);
    this.#badge.setAttribute('aria-label', `${count} new`);
  }

  async #load() {
    const feed = this.#feed;
    this.#log.setAttribute('aria-busy', 'true'); // a page of old lines is not read out
    try {
      const { messages = [] } = await this.#node.call('/chat/history', { family: this.#family });
      if (feed !== this.#feed) return;
      this.#complete = true;
      for (const message of messages) this.#add(message);
      this.#log.scrollTop = this.#log.scrollHeight;
    } catch (error) {
      // After a broken link the resume that follows tries again.
      if (!(error instanceof CallError && error.link)) this.#list.append(make('li', 'aside', explain(error)));
    } finally {
      this.#log.removeAttribute('aria-busy');
    }
  }

  // ---- lines ----

  /** @param {Line} line */
  #add(line) {
    const at = this.#feed.add(line);
    if (at < 0) return;
    const follow = this.#log.scrollHeight - this.#log.scrollTop - this.#log.clientHeight < NEAR_END;
    const element = this.#draw(line);
    const next = this.#feed.lines[at + 1];
    this.#list.insertBefore(element, next ? this.#shown.get(next) ?? null : null);
    this.#shown.set(line, element);
    this.#trim();
    if (line.name === this.#me) this.#feed.recognise(line);
    this.#feed.settle();
    this.#drawPending();
    if (follow || line.name === this.#me) this.#log.scrollTop = this.#log.scrollHeight;
  }

  #trim() {
    const before = [...this.#feed.lines];
    for (const line of before.slice(0, this.#feed.trim())) {
      this.#shown.get(line)?.remove();
      this.#shown.delete(line);
    }
  }

  /** @param {Line} line */
  #draw({ name, text, time }) {
    const element = make('li', name === this.#me ? 'line mine' : 'line');
    const head = make('header', '');
    const author = make('span', 'name', name);
    author.style.color = `light-dark(hsl(${hue(name)} 70% 24%), hsl(${hue(name)} 70% 75%))`;
    const clock = /** @type {HTMLTimeElement} */ (make('time', ''));
    const when = new Date(time);
    clock.dateTime = when.toISOString();
    clock.textContent = when.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
    head.append(author, clock);
    element.append(head, make('p', 'text', text));
    return element;
  }

  // ---- our own lines under way ----

  /** @param {string} text */
  #say(text) {
    const pending = this.#feed.write(text);
    if (this.#node.state === 'open') this.#deliver(pending);
    this.#drawPending();
    this.#log.scrollTop = this.#log.scrollHeight;
  }

  /** @param {Pending} pending */
  async #deliver(pending) {
    const feed = this.#feed;
    pending.state = 'sent';
    try {
      const at = await this.#node.call(this.#family ? '/chat/family' : '/chat/public', { text: pending.text });
      feed.accept(pending, at);
    } catch (error) {
      if (error instanceof CallError && error.link) pending.state = error.status === 'offline' ? 'queued' : 'unsure';
      else [pending.state, pending.problem] = ['refused', explain(error)];
    }
    if (feed === this.#feed) this.#drawPending();
  }

  #drawPending() {
    this.#pendingList.replaceChildren(...this.#feed.pending.map((pending) => {
      const element = make('li', 'line');
      element.append(make('p', 'text', pending.text));
      if (pending.state === 'queued') element.append(make('p', 'note', 'Waits for the connection'));
      if (pending.state === 'refused') element.append(make('p', 'note refused', pending.problem));
      if (pending.state === 'unsure') element.append(make('p', 'note', 'The connection broke: this may not have arrived.'));
      if (pending.state === 'refused' || pending.state === 'unsure') {
        element.append(
          this.#button('Send again', () => this.#deliver(pending)),
          this.#button('Discard', () => this.#feed.drop(pending)),
        );
      }
      return element;
    }));
  }

  /** @param {string} text @param {() => void} act */
  #button(text, act) {
    const button = /** @type {HTMLButtonElement} */ (make('button', '', text));
    button.type = 'button';
    button.addEventListener('click', () => {
      act();
      this.#drawPending();
      this.#field.focus(); // the button has gone
    });
    return button;
  }
}
