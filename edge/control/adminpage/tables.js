// The tables of the page, and what an operator can do in them.

import {get, order, put} from './api.js';
import {element, Table} from './table.js';

/** age writes a time in seconds. */
export function age(s) {
	if (s < 0) return 'now';
	if (s < 60) return `${Math.floor(s)} s`;
	if (s < 3600) return `${Math.floor(s / 60)} min`;
	if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s % 3600 / 60)} min`;
	return `${Math.floor(s / 86400)} d ${Math.floor(s % 86400 / 3600)} h`;
}

export const since = (time) => age((Date.now() - Date.parse(time)) / 1000);
const until = (time) => age((Date.parse(time) - Date.now()) / 1000);

const over = ['completed', 'failed', 'api_unavailable', 'inconsistent_data', 'aborted'];
const number = 'number';

/** tables makes all of them. done(promise) waits for an order, shows what went wrong and looks again. */
export function tables(done) {
	const id = (name) => document.getElementById(name);
	const chains = new Table(id('chains'), {
		key: (c) => c.hash, none: 'No chains.',
		columns: [
			{title: 'Chain', kind: 'name', text: (c) => c.hash.slice(0, 12), title2: (c) => c.hash},
			{title: 'State', text: (c) => c.state.replaceAll('_', ' '), state: (c) => c.state},
			{title: 'Steps', kind: number, text: (c) => `${c.done} of ${c.items}`},
			{title: 'Moved', kind: number, text: (c) => since(c.modified)},
			{title: 'Account', text: (c) => c.account ?? ''},
			{title: 'Reason', kind: 'text', text: (c) => c.reason ?? ''},
		],
		acts: [
			{label: (_, shown) => shown?.more ? 'Hide' : 'Steps', expands: true, run: (c, _, shown) => done(shown.more ? chains.open(shown, null) : openSteps(chains, shown))},
			{label: () => 'Cancel', when: (c) => !over.includes(c.state), run: (c) => done(put(`/api/processes/${c.hash}/abort`))},
			{label: () => 'Resume', when: (c) => over.includes(c.state) && c.state !== 'completed', run: (c) => done(put(`/api/processes/${c.hash}/resume`))},
		],
	});
	const tubes = new Table(id('tubes'), {
		key: (t) => t.tube, none: 'No tubes.',
		columns: [
			{title: 'Tube', kind: 'name', text: (t) => t.tube},
			{title: 'Ready', kind: number, text: (t) => `${t.ready}`},
			{title: 'Reserved', kind: number, text: (t) => `${t.reserved}`},
			{title: 'Delayed', kind: number, text: (t) => `${t.delayed}`},
			{title: 'Buried', kind: number, text: (t) => `${t.buried}`, state: (t) => t.buried > 0 ? 'failed' : ''},
			{title: 'Oldest', kind: number, text: (t) => t.ready > 0 ? age(t.oldest_s) : ''},
			{title: 'Waiting', kind: number, text: (t) => `${t.waiting}`},
		],
		acts: [
			{label: () => 'Kick', when: (t) => t.buried + t.delayed > 0, run: (t) => done(order('/admin/queue/kick', {tube: t.tube, bound: 1000}))},
			{label: (t) => t.pause_left_s ? 'Go on' : 'Pause', run: (t) => done(order('/admin/queue/pause', {tube: t.tube, for: t.pause_left_s ? '0s' : '10m'}))},
		],
	});
	const timers = new Table(id('timers'), {
		key: (t) => t.key, none: 'No timers.',
		columns: [
			{title: 'Due in', kind: number, text: (t) => until(t.due), title2: (t) => t.due},
			{title: 'Key', kind: 'name text', text: (t) => t.key},
			{title: 'Tube', text: (t) => t.tube},
			{title: 'Group', kind: 'text', text: (t) => t.group ?? ''},
		],
		acts: [{label: () => 'Cancel', run: (t) => done(order('/admin/schedule/cancel', {key: t.key}))}],
	});
	const games = new Table(id('games'), {
		key: (g) => g.id, none: 'No games.',
		columns: [
			{title: 'Game', kind: 'name', text: (g) => g.name, title2: (g) => g.id},
			{title: 'State', text: (g) => g.state, state: (g) => g.fault ? 'failed' : g.state},
			{title: 'Users', kind: number, text: (g) => `${g.users}`},
			{title: 'Grids', kind: number, text: (g) => `${g.grids}`},
			{title: 'Interval', kind: number, text: (g) => `${g.interval_ms} ms`},
			{title: 'Generation', kind: number, text: (g) => `${g.generation}`},
		],
	});
	const closes = new Table(id('closes'), {
		key: ([reason]) => reason, none: 'None.',
		columns: [
			{title: 'Door and reason', kind: 'name', text: ([reason]) => reason},
			{title: 'Connections', kind: number, text: ([, n]) => `${n}`},
		],
	});
	return {chains, tubes, timers, games, closes};
}

/** openSteps shows the steps of a chain below its row. */
async function openSteps(table, shown) {
	const chain = await get(`/api/processes/${shown.row.hash}`);
	const list = element('ol');
	for (const item of chain.items) {
		const li = element('li');
		const state = element('span', item.state.replaceAll('_', ' '));
		state.dataset.state = item.state;
		const said = item.response ? [item.response.data, item.response.metadata].filter(Boolean).join(' · ') : '';
		li.append(element('span', `${item.order}`), state, element('span', `${item.type} ${item.target}${item.attempts > 1 ? ` (${item.attempts} tries)` : ''}${said ? ` — ${said.slice(0, 300)}` : ''}`));
		list.append(li);
	}
	table.open(shown, list);
}

/** renewSteps shows again the steps of chains that are open and have moved. */
export function renewSteps(table, hash) {
	const shown = table.rows.get(hash);
	return shown?.more ? openSteps(table, shown) : null;
}
