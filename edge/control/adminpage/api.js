// Requests to the node. With a token, kept until the tab is closed, each one carries it.

const kept = 'gosper.operator';

export function token() { return sessionStorage.getItem(kept) ?? ''; }

export function setToken(text) {
	if (text) sessionStorage.setItem(kept, text);
	else sessionStorage.removeItem(kept);
}

/** Refused is a request that the node did not do; status 401 asks for a token. */
export class Refused extends Error {
	constructor(status, message) {
		super(message);
		this.status = status;
	}
}

/** ask sends a request and returns the answer's text. body is an object for JSON, or URLSearchParams for a form. */
async function ask(method, path, body) {
	const headers = {};
	if (token()) headers.Authorization = `Bearer ${token()}`;
	if (body && !(body instanceof URLSearchParams)) {
		headers['Content-Type'] = 'application/json';
		body = JSON.stringify(body);
	}
	const answer = await fetch(path, {method, headers, body, signal: AbortSignal.timeout(10_000)});
	const text = await answer.text();
	if (answer.ok) return text;
	let message = `${answer.status} ${answer.statusText}`;
	try {
		message = JSON.parse(text).message || message;
	} catch { /* the status says enough */ }
	throw new Refused(answer.status, message);
}

export const getText = (path) => ask('GET', path);

export const get = async (path) => JSON.parse(await getText(path));

export const put = (path, body) => ask('PUT', path, body);

/** order posts a form. */
export const order = (path, fields) => ask('POST', path, new URLSearchParams(fields));
