// The operator's page: what the node does at this moment. It listens to the events door and looks again at what has become
// stale; figures that nobody tells of are asked for every two seconds.

import {get, getText, put, setToken, token} from './api.js';
import {bytesPerSecond, Chart, percent, perSecond, short} from './chart.js';
import {listen} from './events.js';
import {History, parse, sum, Window} from './metrics.js';
import {renewSteps, since, tables} from './tables.js';

const id = (name) => document.getElementById(name);
const length = 60; // figures in a chart: two minutes
const lookEvery = 2000;
const closesSpan = 300_000;

const shown = tables(done);
const history = new History(length);
const closes = new Window(closesSpan);
let listening = false;

const tiles = [
	['Connections', short, (h, s) => h.level('connections', sum(s, 'gosper_connections'))],
	['Frames in', perSecond, (h, s, now) => h.rate('frames', sum(s, 'gosper_frames_total'), now)],
	['Deliveries', perSecond, (h, s, now) => h.rate('deliveries', sum(s, 'gosper_deliveries_total'), now)],
	['Sent', bytesPerSecond, (h, s, now) => h.rate('sent', sum(s, 'gosper_sent_bytes_total'), now)],
	['Jobs done', perSecond, (h, s, now) => h.rate('jobs', sum(s, 'gosper_queue_deletes_total'), now)],
	['Chain steps', perSecond, (h, s, now) => h.rate('steps', sum(s, 'gosper_chain_steps_total'), now)],
	['HTTP requests', perSecond, (h, s, now) => h.rate('http', sum(s, 'gosper_http_requests_total'), now)],
	['CPU', percent, (h, s, now) => h.rate('cpu', 100 * sum(s, 'process_cpu_seconds_total'), now)],
	['Memory', (v) => `${short(v)}B`, (h, s) => h.level('memory', sum(s, 'process_resident_memory_bytes'))],
].map(([title, format, figures]) => ({chart: new Chart(id('tiles'), title, format), figures}));

/** look asks for everything and shows it. Only one look is under way; what is asked for meanwhile follows it. */
let looking = null;
let lookAgain = false;
function look() {
	if (looking) {
		lookAgain = true;
		return looking;
	}
	looking = (async () => {
		try {
			do {
				lookAgain = false;
				await lookOnce();
			} while (lookAgain);
		} catch (error) {
			failed(error);
		} finally {
			looking = null;
		}
	})();
	return looking;
}

async function lookOnce() {
	const state = id('state').value;
	const [node, chosen] = await Promise.all([get('/admin/state'), state ? get(`/api/processes?state=${state}&limit=100`) : null]);
	id('ask').hidden = true;
	id('trouble').hidden = true;
	showNode(node.node);
	showEngine(node);
	shown.chains.show(chosen ?? node.chains ?? []);
	shown.tubes.show(node.tubes);
	shown.timers.show(node.timers);
	shown.games.show(node.games);
	id('pending').textContent = node.pending > node.timers.length ? `the next ${node.timers.length} of ${node.pending}` : '';
	if (!listening) {
		listening = true;
		listen(heard, live);
	}
}

function showNode(node) {
	id('node').textContent = `${node.version} · up ${since(node.started)}${node.reason ? ` · not ready: ${node.reason}` : ''}`;
}

function showEngine({engine, workers, counts}) {
	const lock = id('lock');
	lock.disabled = !engine;
	if (!engine) {
		id('engine').textContent = 'This node runs no work chains.';
		return;
	}
	id('engine').textContent = `${engine.global_status.toLowerCase()}, ${workers.number_of_running_jobs} of ${workers.number_of_workers_online} calls under way, ${workers.number_of_queued_jobs} chains wait`;
	lock.setAttribute('aria-checked', `${engine.global_lock}`);
	lock.textContent = engine.global_lock ? 'Unlock' : 'Lock';
	id('counts').textContent = Object.entries(counts).filter(([, n]) => n > 0).map(([s, n]) => `${n} ${s.replaceAll('_', ' ')}`).join(' · ');
	if (id('state').options.length === 1)
		for (const s of Object.keys(counts).sort()) id('state').add(new Option(s.replaceAll('_', ' '), s));
}

/** lookAtFigures draws the charts and what closed. */
async function lookAtFigures() {
	const samples = parse(await getText('/metrics'));
	const now = performance.now();
	for (const {chart, figures} of tiles) chart.show(figures(history, samples, now), length);
	const counters = new Map();
	for (const s of samples) if (s.name === 'gosper_closes_total') counters.set(`${s.labels.door} · ${s.labels.reason}`, s.value);
	shown.closes.show(closes.add(now, counters).slice(0, 20));
}

/** heard looks again at what has become stale, a moment later, since more may come at once. */
let soon = 0;
function heard(type, stale) {
	if (type === 'processes' && stale && stale !== 'LIST') done(renewSteps(shown.chains, stale));
	soon ||= setTimeout(() => {
		soon = 0;
		look();
	}, 150);
}

function live(state) {
	id('live').dataset.state = state;
	id('live-text').textContent = state === 'live' ? 'live' : 'not connected, asks every two seconds';
}

/** done waits for an order and looks at what came of it. */
async function done(promise) {
	try {
		await promise;
	} catch (error) {
		failed(error);
		return;
	}
	if (promise) look();
}

function failed(error) {
	if (error.status === 401) {
		id('ask').hidden = false;
		if (token()) trouble('This token is not the right one.');
		setToken('');
		return;
	}
	trouble(error.name === 'TypeError' || error.name === 'TimeoutError' ? 'The node does not answer.' : error.message);
}

function trouble(text) {
	id('trouble').textContent = text;
	id('trouble').hidden = false;
}

id('ask').onsubmit = (event) => {
	event.preventDefault();
	setToken(id('token').value);
	id('token').value = '';
	look();
};
id('lock').onclick = () => done(put('/api/settings/status', {global_lock: id('lock').getAttribute('aria-checked') !== 'true'}));
id('resume-all').onclick = () => done(put('/api/processes/resume-all'));
id('state').onchange = look;

/** beat looks at figures, and while nothing is told of changes at everything. It rests while nobody sees the page. */
async function beat() {
	if (!document.hidden && id('ask').hidden) {
		try {
			await lookAtFigures();
			await look();
		} catch (error) {
			failed(error);
		}
	}
	setTimeout(beat, lookEvery);
}
look().then(beat);
