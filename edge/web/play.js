/** One game on the screen: what is watched and drawn, who plays, how fast. What its drawers show is loaded when they are opened. */
import { CallError, Follower } from '/gosper.js';
import * as board from '/board.js';
import { $, button, explain, legible, make, on, onScheme, say } from '/screens.js';

const INTERVALS = [5000, 2000, 1000, 500, 250, 125, 50, 25, 10]; // ms a generation, of the speed control
const BEHIND = 250; // ms that a page which computes by itself stays behind the node, so that edits come in time
const SAMPLE = 500; // ms between points of the chart
export const SAMPLES = 120;
const WATCH_AGAIN = 1000; // ms after a watch that was refused or not answered
const GONE = new Set([1001, 1200]); // statuses of a game that is no more
const MOVE_WAIT = 80; // ms a view must rest before another part of a large board is asked for
export const MODE = 'gosper.mode'; // localStorage: 'edits' when this browser computes generations by itself

/** The drawers, and what is loaded for them: open() and perhaps close(), update() for another game, sample(). */
const DRAWERS = {
	patterns: ['Patterns', () => import('/patterns.js')],
	build: ['Build', () => import('/buildings.js')],
	players: ['Players ', () => import('/players.js')],
	past: ['Time', () => import('/past.js')],
	more: ['More', () => import('/more.js')],
};
const loaded = {};

export let node;
let left; // called when the game is over for this page

// The game in sight; id '' for none.
export let id = '';
export let index = 0; // of the grid
export let game = null; // as the node describes it
export let me = null; // this player in it; null for who only watches
export let grid = null; // of now
export let past = null; // of another time, that is shown instead
export let samples = []; // populations over time
export let follower = null;
let known = { at: 0, generation: 0 }; // when the node was known to be where
let retry = 0;
let opened = 0; // calls of open
let timer = 0; // of the next watch
let watched = 'cells'; // the mode asked for
let computing = false; // a frame of it is asked for
let drawer = ''; // that is open

/** Wires the game. ended(why) is called when it is over for this page. */
export function start(connection, ended) {
	[node, left] = [connection, ended];
	board.start({ edit, describe, chosen: tools, moved: () => later(watch, MOVE_WAIT) });
	node.on('frame', take);
	setInterval(sample, SAMPLE);
	wire();
}

/** For tests and the curious: where this page's grid is. */
window.gosper = {
	get id() { return id; },
	get grid() { return grid; },
	get report() {
		const { mismatches, asked, synced, epoch } = follower ?? {};
		return grid && { generation: grid.generation, hash: hashText(grid), population: grid.population, mismatches, asked, synced, epoch };
	},
	draw: (cells) => edit(cells, true),
	placeOf: board.placeOf,
};

/** Whether the game belongs to this player. */
export const mine = () => Boolean(me) && game.owner === me.id;

/** Joins a game and shows it; throws what the node refuses. False when another one was opened meanwhile. */
export async function open(other) {
	close();
	const turn = ++opened;
	const found = await join(other);
	if (turn !== opened) return false;
	id = other;
	index = 0;
	game = found;
	follow();
	describeGame(found);
	board.say(me ? '' : 'You are watching: the game has no place left.');
	loaded[drawer]?.open();
	await watch();
	return true;
}

/** Stops watching; the player stays in the game. */
export function close() {
	if (!id) return;
	node.call('/game/unwatch', { game: id }).catch(() => {}); // a broken link watches nothing anyway
	forget();
}

function forget() {
	id = '';
	follower = game = grid = past = null;
	board.show(null);
}

/** The link is back: join and watch again. */
export async function resumed() {
	if (!id) return;
	try {
		describeGame(await join(id));
		await watch();
		loaded[drawer]?.open();
	} catch (error) {
		if (!(error instanceof CallError && error.link)) end(explain(error));
	}
}

async function join(other) {
	try {
		const answer = await node.call('/game/join', { game: other });
		me = answer.you;
		return answer.game;
	} catch (error) {
		if (error.status !== 1010) throw error;
		me = null; // full: watch
		return (await node.call('/game/stats', { game: other })).game;
	}
}

// ---- the stream ----

/** What to watch: a game that stands still sends nothing but steps, which are not announced to who computes. */
function mode() {
	if (board.view()) return 'view';
	return localStorage.getItem(MODE) === 'edits' && game?.state === 'running' ? 'edits' : 'cells';
}

/** Asks for the stream of the grid in sight. */
export async function watch() {
	const asking = follower;
	if (!asking) return;
	asking.synced = false;
	watched = mode();
	try {
		if (watched === 'edits') asking.step ??= (await import('/step.js')).step;
		await node.call('/game/watch', { game: id, grid: index, mode: watched, view: board.view() ?? undefined });
	} catch (error) {
		if (asking !== follower) return;
		if (!error.link) board.say(explain(error));
		// Too many calls, or no answer: again, unless frames have come, which may be those of another view. After a broken
		// link resumed() is first.
		if (!GONE.has(error.status)) later(() => { if (node.state === 'open' && follower && (board.view() || !follower.synced)) watch(); }, WATCH_AGAIN);
	}
}

function later(act, wait) {
	clearTimeout(timer);
	timer = setTimeout(act, wait);
}

/** Begins to follow the grid that is chosen. */
function follow() {
	const { width, height } = game.grids[index];
	samples = [];
	grid = null;
	board.show(null);
	board.size(width, height);
	follower = new Follower(lost, { whole: !board.view() });
}

/** The follower needs a snapshot: at once, then after a growing wait, should the fault come back. */
function lost() { setTimeout(watch, Math.min(5000, 100 * retry++ ** 2)); }

function take(frame) {
	if (frame.game !== id || frame.grid !== index || !follower?.take(frame)) return;
	grid = follower.grid;
	known = { at: performance.now(), generation: frame.generation };
	if (follower.synced && frame.kind !== 1) retry = 0;
	show();
	compute();
}

/** Computes generations by itself as time goes on. */
function compute() {
	if (computing || watched !== 'edits') return;
	computing = true;
	requestAnimationFrame(() => {
		computing = false;
		if (!grid || watched !== 'edits') return;
		const due = known.generation + Math.floor((performance.now() - known.at - BEHIND) / game.interval);
		const before = grid.generation;
		for (let n = 0; follower.synced && follower.step && n < 20 && grid.generation < due; n++) follower.step(grid);
		if (grid.generation > before) show();
		compute();
	});
}

function show() {
	if (past) return;
	board.show(grid);
	figures(grid);
}

/** Shows the board as it was; null for as it is. */
export function showPast(other) {
	if (other) {
		board.show(other);
		figures(other);
	}
	const back = past && !other;
	past = other;
	if (back && grid) show();
	tools();
}

const hashText = (of) => of.hash().map((half) => half.toString(16).padStart(8, '0')).join('');

function figures(of) {
	const whole = !board.view();
	say('generation', of.generation.toLocaleString());
	say('population', of.population.toLocaleString() + (whole ? '' : ' in sight'));
	say('hash', whole ? hashText(of) : '');
}

function sample() {
	if (!grid || document.hidden) return;
	samples.push(grid.populations());
	if (samples.length > SAMPLES) samples.shift();
	loaded[drawer]?.sample?.();
}

// ---- pushes ----

/** A push of any route; other ones than those of games and buildings are left alone. */
export async function push(route, content) {
	if (id && route.startsWith('/building/')) (await load('build')).push(route, content);
	const of = content.game?.id ?? content.game;
	if (!id || of !== id) return;
	if (route === '/game/users') describeGame({ ...game, ...content, id });
	if (route === '/game/ownershipChanged') owned(content.game);
	if (route !== '/game/state') return;
	if (content.state === 'ended') return end('The game has ended.');
	known = { at: performance.now(), generation: content.generation };
	describeGame({ ...game, ...content, id });
	if (mode() !== watched) watch();
}

function owned(other) {
	describeGame(other);
	const name = game.users.find((user) => user.id === game.owner)?.name;
	board.say(mine() ? 'The game is yours now.' : `The game belongs to ${name ?? 'nobody'} now.`);
}

/** The game is over for this page. */
export function end(why) {
	forget();
	left(why);
}

function describeGame(other) {
	game = other;
	const { name, state, users, grids, interval } = game;
	me = users.find((user) => user.id === me?.id && user.present) ?? null;
	const [running, stopped] = [state === 'running', state === 'stopped'];
	say('game-name', name);
	say('run', running ? 'Pause' : 'Start');
	$('run').disabled = !me || stopped && !mine();
	$('step').disabled = !me || running || stopped;
	$('speed').disabled = !mine();
	$('speed').value = INTERVALS.reduce((best, ms, n) => Math.abs(ms - interval) < Math.abs(INTERVALS[best] - interval) ? n : best, 0);
	say('speed-text', `${+(1000 / interval).toPrecision(2)} a second`);
	$('grid-choice').hidden = grids.length < 2;
	$('grid-choice').replaceChildren(...grids.map((one, n) => make('option', '', `Grid ${n + 1}: ${one.width} × ${one.height}, ${one.rule}`)));
	$('grid-choice').selectedIndex = index;
	say('player-count', users.filter(({ present }) => present).length);
	const colours = new Array(256).fill(0x888888);
	for (const { number, color } of users) colours[number] = legible(parseInt(color, 16));
	board.owners(colours);
	loaded[drawer]?.update?.();
	tools();
}

function tools() {
	board.enable(me && !past && game?.state !== 'stopped');
	for (const choice of document.querySelectorAll('[data-tool]')) {
		choice.ariaPressed = choice.dataset.tool === board.tool;
		choice.disabled = board.readOnly && choice.dataset.tool !== 'move';
	}
	for (const part of document.querySelectorAll('.in-hand')) part.hidden = !board.pattern;
}

// ---- drawing ----

/** Calls a function on the game; what goes wrong is said, and null returned. */
export async function ask(route, content = {}) {
	try {
		return await node.call(route, { game: id, ...content });
	} catch (error) {
		board.say(explain(error));
		return null;
	}
}

async function edit(cells, alive) {
	const shown = board.expect(cells, alive);
	const answer = await ask(alive ? '/game/cells' : '/game/kill', { grid: index, cells, policy: alive ? 'skip' : undefined });
	if (answer) await seen(cells.find(([x, y]) => grid?.inside(x, y)), alive);
	shown();
	if (answer && cells.length === 1) board.say(describe(...cells[0]));
}

/** Waits a little for the frame behind an answer, which may come before it. */
export async function seen(cell, alive) {
	for (let n = 0; n < 10 && cell && grid?.alive(...cell) !== alive; n++) await new Promise((next) => setTimeout(next, 20));
}

function describe(x, y) {
	const of = board.grid;
	if (!of?.alive(x, y)) return `Column ${x}, row ${y}: empty`;
	const mark = of.mark(x, y);
	const owner = of.owners ? game.users.find(({ number }) => number === mark)?.name : '';
	return `Column ${x}, row ${y}: alive${owner ? `, of ${owner}` : of.colours ? `, colour ${mark.toString(16).padStart(6, '0')}` : ''}`;
}

// ---- controls ----

function wire() {
	on('run', 'click', () => ask(game.state === 'running' ? '/game/pause' : '/game/start'));
	on('step', 'click', () => ask('/game/step'));
	on('speed', 'change', () => ask('/game/configure', { interval: INTERVALS[$('speed').value] }));
	on('grid-choice', 'change', () => {
		node.call('/game/unwatch', { game: id, grid: index }).catch(() => {});
		index = $('grid-choice').selectedIndex;
		past = null;
		follow();
		describeGame(game);
		watch();
		loaded[drawer]?.open();
	});
	on('share', 'click', share);
	onScheme(() => { if (game) describeGame(game); });
	on('rotate', 'click', board.turn);
	on('flip', 'click', board.flip);
	on('zoom-in', 'click', () => board.zoom(1.5));
	on('zoom-out', 'click', () => board.zoom(1 / 1.5));
	on('zoom-fit', 'click', board.fit);
	for (const choice of document.querySelectorAll('[data-tool]')) choice.addEventListener('click', () => board.choose(null, choice.dataset.tool));
	for (const [name, [label]] of Object.entries(DRAWERS)) {
		const opener = button('', label, () => toggle(name));
		opener.dataset.drawer = name;
		opener.ariaExpanded = false;
		opener.setAttribute('aria-controls', `${name}-drawer`);
		$('drawers').append(opener);
		const box = make('div', 'drawer');
		box.id = `${name}-drawer`;
		box.hidden = true;
		$('game').append(box);
	}
	const count = make('span', 'count');
	count.id = 'player-count';
	$('drawers').querySelector('[data-drawer=players]').append(count);
	on('board', 'keydown', key);
	on('game', 'dragover', (event) => event.preventDefault());
	on('game', 'drop', (event) => {
		event.preventDefault();
		board.hover(event);
		read(event.dataTransfer);
	});
	addEventListener('paste', ({ target, clipboardData }) => { if (id && !target.matches?.('input')) read(clipboardData); });
}

/** Takes a pattern from what was dropped or pasted. */
async function read(data) {
	const source = data.files[0] ?? data.getData('text');
	if (source) (await load('patterns')).read(source);
}

async function load(name) { return loaded[name] ??= await DRAWERS[name][1](); }

/** Opens a drawer, or closes the one that is open. */
async function toggle(name) {
	loaded[drawer]?.close?.();
	drawer = drawer === name ? '' : name;
	for (const opener of $('drawers').children) {
		const open = opener.dataset.drawer === drawer;
		$(`${opener.dataset.drawer}-drawer`).hidden = !open;
		opener.ariaExpanded = open;
	}
	if (drawer) (await load(drawer)).open();
}

function key(event) {
	if (event.ctrlKey || event.metaKey || event.altKey) return;
	const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
	const tool = (name) => () => board.choose(null, name);
	const act = {
		' ': board.act, Enter: board.act, Escape: tool('draw'), d: tool('draw'), e: tool('erase'), m: tool('move'), r: board.turn, f: board.flip,
		p: () => $('run').click(), n: () => $('step').click(), '+': () => board.zoom(1.5), '-': () => board.zoom(1 / 1.5),
		0: board.fit, t: () => toggle('patterns'), b: () => toggle('build'), '?': () => toggle('more'),
	}[event.key];
	if (!step && !act) return;
	event.preventDefault();
	if (step) board.step(...step, event.shiftKey);
	else act();
}

async function share() {
	const url = `${location.origin}/?game=${id}`;
	try {
		if (navigator.share && matchMedia('(pointer: coarse)').matches) await navigator.share({ title: game.name, url });
		else await navigator.clipboard.writeText(url);
		board.say('The link to this game is copied.');
	} catch {
		board.say(`The link to this game: ${url}`);
	}
}
