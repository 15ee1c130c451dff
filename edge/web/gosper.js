/**
 * gosper.js: a connection to a gosper node that survives its network. Any page may import it; CLIENT.md tells how.
 *
 *   const node = new Connection();
 *   node.on('push', ({ route, content, position }) => console.log(route, content, position));
 *   node.open();
 *   await node.ready();
 *   const answer = await node.call('/user/loginUnique', { unique_id: 'a-long-random-string' });
 */
import { parseFrame } from '/grid.js';

export { Follower, Grid, Kind, parseFrame } from '/grid.js';

/** Names of the states of a Connection. `open` means: welcomed by the node and, with a session, resumed. */
export const State = Object.freeze({
	idle: 'idle', connecting: 'connecting', open: 'open', waiting: 'waiting', closed: 'closed',
});

/** Close codes {name, reconnect}, as in the package protocol. One that is not listed is a broken link: reconnect. */
export const CLOSE_CODES = Object.freeze(Object.fromEntries([
	[1000, 'normal', false], [1001, 'going_away', true], [1002, 'protocol_error', false], [1003, 'unsupported_data', false],
	[1005, 'no_status', true], [1006, 'abnormal', true], [1007, 'bad_data', false], [1008, 'policy', false],
	[1009, 'too_big', false], [1011, 'internal_error', true], [1012, 'restart', true], [4001, 'auth_timeout', true],
	[4002, 'auth_failed', false], [4003, 'replaced', false], [4004, 'logged_out', false], [4005, 'slow', true],
	[4006, 'timeout', true], [4007, 'rate', true], [4008, 'limit', true], [4009, 'abuse', false], [4010, 'banned', false],
].map(([code, name, reconnect]) => [code, { name, reconnect }])));

/** Statuses of a refused resume after which the token is of no use any more. Others are passing troubles. */
const SESSION_REFUSED = new Set([1001, 1002, 1006]);

const CALL_TIMEOUT = 20_000; // ms a call waits for its reply: longer than a node takes to answer "timed out"
const WELCOME_TIMEOUT = 10_000; // ms from dialling to the first message
const FIRST_DELAY = 250; // ms, the base of the back-off
const LONGEST_DELAY = 15_000; // ms, its end
const STEADY_AFTER = 5_000; // ms a link must hold before the back-off starts anew
const QUIET_LIMIT = 30_000; // ms without a message after which the link is tried
const PROBE_TIMEOUT = 6_000; // ms the trial may take

/** Why a call failed. status: the node's number, or 'offline' (not sent), 'timeout', 'lost' (sent, outcome unknown). */
export class CallError extends Error {
	constructor(status, message, data = null) {
		super(message);
		this.name = 'CallError';
		this.status = status;
		this.data = data;
	}

	/** True when the link was the trouble, not the call. */
	get link() { return typeof this.status === 'string'; }
}

/**
 * The wait in ms before dial number `attempt` (0, 1, …): it doubles up to LONGEST_DELAY, and a random half to whole of it is
 * taken, so that a thousand pages do not come back in the same instant.
 */
export function backoff(attempt, random = Math.random) {
	const ceiling = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** Math.min(attempt, 16));
	return Math.round(ceiling * (0.5 + random() / 2));
}

/** Whether a link that ended with this close code should be dialled again without asking anybody. */
export const shouldReconnect = (code) => CLOSE_CODES[code]?.reconnect ?? true;

/** The last position {subject, epoch, offset} of each subject; tells news from doubles. The epoch changes when history was lost. */
export class Positions {
	#last = new Map();

	/** Notes a position; false when it (or a later one) was noted before, so the message is a double. */
	advance({ subject, epoch, offset }) {
		const last = this.#last.get(subject);
		if (last?.epoch === epoch && offset <= last.offset) return false;
		this.#last.set(subject, { subject, epoch, offset });
		return true;
	}

	/**
	 * Takes what the node says of a subject after a subscribe or a resume. What was seen counts for more, as long as it is the
	 * same history: pushes between the two are still to come.
	 */
	settle({ subject, epoch, offset, recovered }) {
		const last = this.#last.get(subject);
		if (last?.epoch !== epoch || recovered === false && last.offset < offset) this.#last.set(subject, { subject, epoch, offset });
	}

	/** Forgets subjects that are not in the list. */
	retain(subjects) {
		const keep = new Set(subjects);
		for (const subject of this.#last.keys()) if (!keep.has(subject)) this.#last.delete(subject);
	}

	clear() { this.#last.clear(); }

	/** As /session/resume takes them. */
	list() { return [...this.#last.values()]; }
}

/** The address of the node that served this page. */
export function defaultURL() {
	const { protocol, host } = globalThis.location;
	return `${protocol === 'https:' ? 'wss' : 'ws'}://${host}/ws`;
}

/** One lasting connection to a node. */
export class Connection {
	// Static after construction.
	#url;
	#callTimeout;
	#listeners = new Map();

	// The link in use; all of it is replaced at the next dial.
	#socket = null;
	#calls = new Map();
	#held = null; // pushes that arrive during a resume, handed out after it
	#lastHeard = 0;

	// What lasts from link to link.
	#state = State.idle;
	#positions = new Positions();
	#token;
	#nextID = 1;
	#attempt = 0;
	#dialTimer = null;
	#steadyTimer = null;
	#quietTimer = null;

	/**
	 * url: default the node that served the page; session: a token of an earlier visit, used at the first dial; clientCode: sent
	 * with every call; callTimeout: in ms.
	 */
	constructor({ url, session = '', clientCode = '', callTimeout = CALL_TIMEOUT } = {}) {
		this.#url = url ?? defaultURL();
		this.#token = session;
		this.#callTimeout = callTimeout;
		this.clientCode = clientCode;
	}

	get state() { return this.#state; }

	/** The session token, '' without one. Whoever holds it can resume this session: treat it as a password. */
	get session() { return this.#token; }

	/** Calls the listener with the details of each event of that name, until the returned function is called. */
	on(event, listener) {
		if (!this.#listeners.has(event)) this.#listeners.set(event, new Set());
		this.#listeners.get(event).add(listener);
		return () => this.#listeners.get(event).delete(listener);
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

	/** Ends when the connection is open: at once if it is. */
	ready() {
		return new Promise((resolve) => {
			if (this.#state === State.open) return resolve();
			const stop = this.on('state', ({ state }) => {
				if (state !== State.open) return;
				stop();
				resolve();
			});
		});
	}

	/** Calls a function of the node, e.g. '/chat/public'; the call is sent at most once. Ends with the reply's content, or a CallError. */
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

	async #welcomed(socket) {
		if (!this.#token) return this.#opened();
		this.#held = [];
		try {
			const content = await this.#send('/session/resume', { token: this.#token, positions: this.#positions.list() }, this.#callTimeout);
			if (socket !== this.#socket) return;
			this.#opened();
			this.#resumed(content);
		} catch (error) {
			if (socket !== this.#socket) return;
			if (!(error instanceof CallError) || !SESSION_REFUSED.has(error.status)) {
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

	#push(envelope) {
		if (this.#held) {
			this.#held.push(envelope);
			return;
		}
		const { route, content = {}, position = null } = envelope;
		if (position && !this.#positions.advance(position)) return;
		this.#emit('push', { route, content, position });
	}

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

	/** Keeps the token and the positions that a reply carries. */
	#learn(content) {
		if (typeof content.session === 'string' && content.session) this.#setToken(content.session);
		if (!Array.isArray(content.subjects)) return;
		this.#positions.retain(content.subjects.map((at) => at.subject));
		for (const at of content.subjects) this.#positions.settle(at);
	}

	#setToken(token) {
		if (token === this.#token) return;
		this.#token = token;
		this.#emit('session', { token });
	}

	// ---- the end of a link ----

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

	/** Takes the link down without a word to the listeners, except to waiting calls. */
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

	#enter(state, more = {}) {
		this.#state = state;
		this.#emit('state', { state, code: 0, reason: '', retryIn: 0, ...more });
	}

	/** A listener that throws must not break the link: its error goes to the console. */
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
 */
export function parse(text) {
	try {
		return JSON.parse(text.replace(/"epoch":\s*(\d+)/g, '"epoch":"$1"'));
	} catch {
		return null;
	}
}

/** The other way: epochs go out as the numbers they came in as. */
export function stringify(value) {
	return JSON.stringify(value).replace(/"epoch":"(\d+)"/g, '"epoch":$1');
}
