// @ts-check
/**
 * gosper.js: a connection to a gosper node that survives its network.
 *
 *   import { Connection } from '/gosper.js';
 *   const node = new Connection();
 *   node.on('push', (push) => console.log(push.route, push.content, push.position));
 *   node.on('gap', ({ subject }) => console.log('load the history of', subject));
 *   node.open();
 *   await node.ready();
 *   await node.call('/user/loginUnique', { unique_id: 'a-long-random-string' });
 *   await node.call('/user/enterWorld', { world: '0', name: 'Ada' });
 *   await node.call('/chat/public', { text: 'hello' });
 *
 *   const watch = () => node.call('/game/watch', { game: '0123456789', grid: 0 });
 *   const follower = new Follower(watch);
 *   node.on('frame', (frame) => { if (follower.take(frame)) console.log(follower.grid.generation, follower.grid.population); });
 *   await watch();
 *
 * What it promises:
 * - a call is sent at most once; its promise ends with the reply's content, or with a CallError;
 * - after a login it keeps the session token of the replies and the position of every subject; when the link breaks it
 *   dials again (back-off with jitter, advice of the close code), resumes, and hands out what was missed in order;
 * - a push with a position is handed out once. When the node cannot fill a hole it says so: event `gap`.
 *
 * Events: `state` {state, code, reason, retryIn}, `push` {route, content, position}, `session` {token} whenever the
 * token changes ('' when it was refused), `gap` {subject, position} for a hole that the node could not fill, `resumed`
 * {content} when a link was resumed and all that was missed has been handed out. A resume emits them in the order state,
 * gap, push, resumed. `frame` brings a binary frame of a grid that /game/watch asked for, see Follower in grid.js; what is
 * watched ends with the link, so a page asks again after each `resumed`.
 */
import { parseFrame } from '/grid.js';

export { Follower, Grid, Kind, parseFrame } from '/grid.js';

/** Names of the states of a Connection. `open` means: welcomed by the node and, with a session, resumed. */
export const State = Object.freeze({
  idle: 'idle', connecting: 'connecting', open: 'open', waiting: 'waiting', closed: 'closed',
});

/**
 * Close codes and whether dialling again by itself makes sense. The same table as in the package protocol; a test
 * compares the two. A code that is not listed is treated as a broken link: reconnect.
 * @type {Readonly<Record<number, {name: string, reconnect: boolean}>>}
 */
export const CLOSE_CODES = Object.freeze({
  1000: { name: 'normal', reconnect: false },
  1001: { name: 'going_away', reconnect: true },
  1002: { name: 'protocol_error', reconnect: false },
  1003: { name: 'unsupported_data', reconnect: false },
  1005: { name: 'no_status', reconnect: true },
  1006: { name: 'abnormal', reconnect: true },
  1007: { name: 'bad_data', reconnect: false },
  1008: { name: 'policy', reconnect: false },
  1009: { name: 'too_big', reconnect: false },
  1011: { name: 'internal_error', reconnect: true },
  1012: { name: 'restart', reconnect: true },
  4001: { name: 'auth_timeout', reconnect: true },
  4002: { name: 'auth_failed', reconnect: false },
  4003: { name: 'replaced', reconnect: false },
  4004: { name: 'logged_out', reconnect: false },
  4005: { name: 'slow', reconnect: true },
  4006: { name: 'timeout', reconnect: true },
  4007: { name: 'rate', reconnect: true },
  4008: { name: 'limit', reconnect: true },
  4009: { name: 'abuse', reconnect: false },
  4010: { name: 'banned', reconnect: false },
});

/** Statuses of a refused resume after which the token is of no use any more. Others are passing troubles. */
const SESSION_REFUSED = new Set([1001, 1002, 1006]);

const CALL_TIMEOUT = 10_000; // ms a call waits for its reply
const WELCOME_TIMEOUT = 10_000; // ms from dialling to the first message
const FIRST_DELAY = 250; // ms, the base of the back-off
const LONGEST_DELAY = 15_000; // ms, its end
const STEADY_AFTER = 5_000; // ms a link must hold before the back-off starts anew
const QUIET_LIMIT = 30_000; // ms without a message after which the link is tried
const PROBE_TIMEOUT = 6_000; // ms the trial may take

/** Why a call failed. `status` is the node's status, or one of the words 'offline', 'timeout', 'lost'. */
export class CallError extends Error {
  /**
   * @param {number|'offline'|'timeout'|'lost'} status offline: not sent; timeout and lost: sent, outcome unknown
   * @param {string} message for people
   * @param {any} [data] what the node added
   */
  constructor(status, message, data = null) {
    super(message);
    this.name = 'CallError';
    this.status = status;
    this.data = data;
  }

  /** True when the node never saw the call or its outcome is not known: the link was the trouble, not the call. */
  get link() { return typeof this.status === 'string'; }
}

/**
 * The wait before dial number `attempt` (0, 1, …): doubling from FIRST_DELAY to LONGEST_DELAY, then a random half to
 * whole of it, so that a thousand pages do not come back in the same instant.
 * @param {number} attempt
 * @param {() => number} [random]
 * @returns {number} milliseconds
 */
export function backoff(attempt, random = Math.random) {
  const ceiling = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** Math.min(attempt, 16));
  return Math.round(ceiling * (0.5 + random() / 2));
}

/**
 * Whether a link that ended with this close code should be dialled again without asking anybody.
 * @param {number} code
 */
export function shouldReconnect(code) {
  return CLOSE_CODES[code]?.reconnect ?? true;
}

/**
 * A position: a place in the history of one subject. `epoch` changes when history was lost.
 * @typedef {{subject: string, epoch: number|string, offset: number}} Position
 */

/** The last position of each subject; tells news from doubles. */
export class Positions {
  /** @type {Map<string, Position>} */
  #last = new Map();

  /**
   * Notes a position; false when it (or a later one) was noted before, so the message is a double.
   * @param {Position} at
   */
  advance(at) {
    const last = this.#last.get(at.subject);
    if (last && last.epoch === at.epoch && at.offset <= last.offset) return false;
    this.#last.set(at.subject, { subject: at.subject, epoch: at.epoch, offset: at.offset });
    return true;
  }

  /**
   * Takes what the node says of a subject after a subscribe or a resume. What was seen counts for more than what the
   * node says, as long as it is the same history: pushes between the two are still to come.
   * @param {Position & {recovered?: boolean}} at
   */
  settle(at) {
    const last = this.#last.get(at.subject);
    if (last && last.epoch === at.epoch && (at.recovered !== false || last.offset >= at.offset)) return;
    this.#last.set(at.subject, { subject: at.subject, epoch: at.epoch, offset: at.offset });
  }

  /** Forgets subjects that are not in the list. @param {Iterable<string>} subjects */
  retain(subjects) {
    const keep = new Set(subjects);
    for (const subject of this.#last.keys()) if (!keep.has(subject)) this.#last.delete(subject);
  }

  clear() { this.#last.clear(); }

  /** @returns {Position[]} as /session/resume takes them */
  list() { return [...this.#last.values()]; }
}

/** The address of the node that served this page. */
export function defaultURL() {
  const { protocol, host } = globalThis.location;
  return `${protocol === 'https:' ? 'wss' : 'ws'}://${host}/ws`;
}

/** One lasting connection to a node. See the head of this file. */
export class Connection {
  // Static after construction.
  #url;
  #callTimeout;
  /** @type {Map<string, Set<(detail: any) => void>>} */
  #listeners = new Map();

  // The link in use; all of it is replaced at the next dial.
  /** @type {WebSocket|null} */ #socket = null;
  /** @type {Map<number, {resolve: (content: any) => void, reject: (e: Error) => void, timer: any}>} */
  #calls = new Map();
  /** @type {any[]|null} pushes that arrive during a resume, handed out after it */ #held = null;
  #lastHeard = 0;

  // What lasts from link to link.
  /** @type {string} */ #state = State.idle;
  #positions = new Positions();
  #token;
  #nextID = 1;
  #attempt = 0;
  /** @type {any} */ #dialTimer = null;
  /** @type {any} */ #steadyTimer = null;
  /** @type {any} */ #quietTimer = null;

  /**
   * @param {{url?: string, session?: string, clientCode?: string, callTimeout?: number}} [options]
   *   url: default the node that served the page. session: a token of an earlier visit, used at the first dial.
   *   callTimeout: milliseconds, default 10,000.
   */
  constructor({ url, session = '', clientCode = '', callTimeout = CALL_TIMEOUT } = {}) {
    this.#url = url ?? defaultURL();
    this.#token = session;
    this.#callTimeout = callTimeout;
    /** Sent with every call when it is not empty. */
    this.clientCode = clientCode;
  }

  get state() { return this.#state; }

  /** The session token, '' without one. Whoever holds it can resume this session: treat it as a password. */
  get session() { return this.#token; }

  /**
   * Listens to an event.
   * @param {'state'|'push'|'session'|'resumed'|'gap'|'frame'} event
   * @param {(detail: any) => void} listener
   * @returns {() => void} stops listening
   */
  on(event, listener) {
    if (!this.#listeners.has(event)) this.#listeners.set(event, new Set());
    const set = /** @type {Set<(detail: any) => void>} */ (this.#listeners.get(event));
    set.add(listener);
    return () => set.delete(listener);
  }

  /** Dials, and keeps dialling until close(). Does nothing while a link stands or is being made. */
  open() {
    if (this.#state === State.connecting || this.#state === State.open) return;
    globalThis.addEventListener?.('online', this.#nudge);
    globalThis.document?.addEventListener('visibilitychange', this.#nudge);
    this.#dial();
  }

  /** Ends the connection for good (until open()). Waiting calls end with 'lost'. */
  close() {
    globalThis.removeEventListener?.('online', this.#nudge);
    globalThis.document?.removeEventListener('visibilitychange', this.#nudge);
    this.#drop(1000);
    this.#enter(State.closed, { code: 1000, reason: 'closed by this side' });
  }

  /** Forgets the session and its positions, as after a logout. The link stays. */
  forget() {
    this.#positions.clear();
    this.#setToken('');
  }

  /** Ends when the connection is open: at once if it is. @returns {Promise<void>} */
  ready() {
    if (this.#state === State.open) return Promise.resolve();
    return new Promise((resolve) => {
      const stop = this.on('state', ({ state }) => {
        if (state !== State.open) return;
        stop();
        resolve();
      });
    });
  }

  /**
   * Calls a function of the node. The call is sent at most once.
   * @param {string} route e.g. '/chat/public'
   * @param {object} [content]
   * @param {{timeout?: number}} [options] timeout in milliseconds
   * @returns {Promise<any>} the reply's content; rejects with CallError
   */
  call(route, content = {}, { timeout = this.#callTimeout } = {}) {
    if (this.#state !== State.open) return Promise.reject(new CallError('offline', 'There is no connection just now.'));
    return this.#send(route, content, timeout);
  }

  // ---- one link: dial, welcome, resume, open ----

  #dial() {
    this.#drop(1000);
    this.#enter(State.connecting);
    const socket = new WebSocket(this.#url);
    socket.binaryType = 'arraybuffer';
    this.#socket = socket;
    const welcome = setTimeout(() => {
      if (socket === this.#socket) this.#lost(1006, 'the server did not answer');
    }, WELCOME_TIMEOUT);
    socket.onmessage = ({ data }) => this.#receive(socket, data, welcome);
    socket.onclose = ({ code, reason }) => {
      clearTimeout(welcome);
      if (socket === this.#socket) this.#lost(code, reason);
    };
  }

  /** @param {WebSocket} socket @param {any} data @param {any} welcome */
  #receive(socket, data, welcome) {
    if (socket !== this.#socket) return;
    this.#lastHeard = Date.now();
    if (typeof data !== 'string') {
      const frame = parseFrame(data);
      if (frame) this.#emit('frame', frame);
      return;
    }
    const envelope = parse(data);
    if (!envelope) return;
    if (envelope.msgId !== undefined && this.#calls.has(Number(envelope.msgId))) return this.#answer(envelope);
    if (envelope.route === '/welcome') {
      clearTimeout(welcome);
      this.#welcomed(socket);
      return;
    }
    if (envelope.msgId === undefined && !envelope.status) this.#push(envelope);
  }

  /** @param {WebSocket} socket */
  async #welcomed(socket) {
    if (!this.#token) return this.#opened();
    this.#held = [];
    try {
      const content = await this.#send('/session/resume', { token: this.#token, positions: this.#positions.list() }, this.#callTimeout);
      if (socket !== this.#socket) return;
      this.#opened();
      this.#resumed(content);
      return;
    } catch (error) {
      if (socket !== this.#socket) return;
      if (!(error instanceof CallError) || !SESSION_REFUSED.has(/** @type {number} */ (error.status))) {
        this.#lost(1006, 'the session could not be resumed'); // a passing trouble: try again after the back-off
        return;
      }
      this.forget();
      this.#opened();
      this.#release();
    }
  }

  #opened() {
    this.#steadyTimer = setTimeout(() => { this.#attempt = 0; }, STEADY_AFTER);
    this.#quietTimer = setInterval(() => this.#listen(), QUIET_LIMIT / 3);
    this.#enter(State.open);
  }

  /** @param {any} content */
  #resumed(content) {
    for (const at of content.subjects ?? []) {
      if (at.recovered === false) this.#emit('gap', { subject: at.subject, position: at });
    }
    this.#release();
    this.#emit('resumed', { content });
  }

  #release() {
    const held = this.#held ?? [];
    this.#held = null;
    for (const envelope of held) this.#push(envelope);
  }

  // ---- messages ----

  /** @param {any} envelope */
  #push(envelope) {
    if (this.#held) {
      this.#held.push(envelope);
      return;
    }
    const { route, content = {}, position = null } = envelope;
    if (position && !this.#positions.advance(position)) return;
    this.#emit('push', { route, content, position });
  }

  /** @param {string} route @param {object} content @param {number} timeout @returns {Promise<any>} */
  #send(route, content, timeout) {
    const socket = this.#socket;
    if (!socket || socket.readyState !== WebSocket.OPEN) {
      return Promise.reject(new CallError('offline', 'There is no connection just now.'));
    }
    const msgId = this.#nextID++;
    const envelope = { route, msgId, clientCode: this.clientCode || undefined, content };
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#calls.delete(msgId);
        reject(new CallError('timeout', 'The server did not answer in time.'));
      }, timeout);
      this.#calls.set(msgId, { resolve, reject, timer });
      socket.send(stringify(envelope));
    });
  }

  /** @param {any} envelope */
  #answer(envelope) {
    const id = Number(envelope.msgId);
    const call = this.#calls.get(id);
    if (!call) return;
    this.#calls.delete(id);
    clearTimeout(call.timer);
    const content = envelope.content ?? {};
    if (envelope.status) {
      call.reject(new CallError(envelope.status, envelope.message || 'The call was refused.', content.data));
      return;
    }
    this.#learn(content);
    call.resolve(content);
  }

  /** Keeps the token and the positions that a reply carries. @param {any} content */
  #learn(content) {
    if (typeof content.session === 'string' && content.session) this.#setToken(content.session);
    if (!Array.isArray(content.subjects)) return;
    this.#positions.retain(content.subjects.map((/** @type {Position} */ at) => at.subject));
    for (const at of content.subjects) this.#positions.settle(at);
  }

  /** @param {string} token */
  #setToken(token) {
    if (token === this.#token) return;
    this.#token = token;
    this.#emit('session', { token });
  }

  // ---- the end of a link ----

  /** @param {number} code @param {string} reason */
  #lost(code, reason) {
    this.#drop(code);
    if (!shouldReconnect(code)) {
      this.#enter(State.closed, { code, reason });
      return;
    }
    const retryIn = backoff(this.#attempt++);
    this.#dialTimer = setTimeout(() => this.#dial(), retryIn);
    this.#enter(State.waiting, { code, reason, retryIn });
  }

  /** Takes the link down without a word to the listeners, except to waiting calls. @param {number} code */
  #drop(code) {
    clearTimeout(this.#dialTimer);
    clearTimeout(this.#steadyTimer);
    clearInterval(this.#quietTimer);
    const socket = this.#socket;
    this.#socket = null;
    this.#held = null;
    if (socket && socket.readyState <= WebSocket.OPEN) socket.close(code === 1000 ? 1000 : undefined);
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    for (const { reject, timer } of calls) {
      clearTimeout(timer);
      reject(new CallError('lost', 'The connection broke before the answer came.'));
    }
  }

  /** The network or the page woke up: do not sit out the wait, and do not trust a link that slept. */
  #nudge = () => {
    if (globalThis.document?.visibilityState === 'hidden') return;
    if (this.#state === State.waiting) this.#dial();
    else if (this.#state === State.open) this.#probe();
  };

  #listen() {
    if (Date.now() - this.#lastHeard >= QUIET_LIMIT) this.#probe();
  }

  /** Browsers hide the node's pings, so a link that fell silent is tried with a cheap call; any answer will do. */
  async #probe() {
    const socket = this.#socket;
    try {
      await this.#send('/user/clientCode', {}, PROBE_TIMEOUT);
    } catch (error) {
      if (error instanceof CallError && error.link && socket === this.#socket) this.#lost(1006, 'the link fell silent');
    }
  }

  // ---- events ----

  /** @param {string} state @param {object} [more] */
  #enter(state, more = {}) {
    this.#state = state;
    this.#emit('state', { state, code: 0, reason: '', retryIn: 0, ...more });
  }

  /** A listener that throws must not break the link: its error goes to the console. @param {string} event @param {any} detail */
  #emit(event, detail) {
    for (const listener of [...(this.#listeners.get(event) ?? [])]) {
      try {
        listener(detail);
      } catch (error) {
        console.error(`gosper: a listener of ${event} failed`, error);
      }
    }
  }
}

/**
 * JSON with one care: an epoch is a 64-bit number, more than a JavaScript number holds, so it is kept as a string of digits.
 * Inside a JSON string the quotes are escaped, so the pattern matches members only.
 * @param {string} text
 */
export function parse(text) {
  try {
    return JSON.parse(text.replace(/"epoch":\s*(\d+)/g, '"epoch":"$1"'));
  } catch {
    return null;
  }
}

/** The other way: epochs go out as the numbers they came in as. @param {object} value */
export function stringify(value) {
  return JSON.stringify(value).replace(/"epoch":"(\d+)"/g, '"epoch":$1');
}
