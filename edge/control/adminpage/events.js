// The events door: what has become stale on this node. It stays connected, and goes on where it was after a break.

import {token} from './api.js';

const ping = 30_000; // between two pings
const pong = 35_000; // a connection without an answer for so long is given up
const again = [250, 500, 1000, 2000, 5000]; // before the next try

/** listen calls heard(type, id) for everything that has become stale, heard() when anything may have, and state('live' or 'away'). */
export function listen(heard, state) {
	let tries = 0;
	let since = '';
	const dial = () => {
		const url = new URL('/api/ws/events?positions=1', location.href);
		url.protocol = url.protocol.replace('http', 'ws');
		if (since) url.searchParams.set('since', since);
		let socket;
		try {
			socket = token() ? new WebSocket(url, ['base64.bearer.token', token()]) : new WebSocket(url);
		} catch { // a token that no handshake can carry: the page asks the node now and then
			state('away');
			return;
		}
		let answered = Date.now();
		const beat = setInterval(() => {
			if (Date.now() - answered > pong) socket.close();
			else if (socket.readyState === WebSocket.OPEN) socket.send('__ping__');
		}, ping);
		socket.onopen = () => {
			tries = 0;
			state('live');
		};
		socket.onmessage = ({data}) => {
			answered = Date.now();
			if (data === '__pong__') return;
			const message = JSON.parse(data);
			if (message.position) since = `${message.position.epoch}.${message.position.offset}`;
			if (message.name === 'invalidateCache') heard(message.value.type, message.value.id ?? '');
			else if (message.name === 'begin') heard('', '');
		};
		socket.onclose = () => {
			clearInterval(beat);
			state('away');
			setTimeout(dial, again[Math.min(tries++, again.length - 1)] * (0.5 + Math.random()));
		};
	};
	dial();
}
