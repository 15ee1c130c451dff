/** Buildings: patterns that take their time. Loaded with its drawer, or when one is done. */
import * as board from '/board.js';
import { Pattern, catalogue, parseRLE, preview } from '/patterns.js';
import * as play from '/play.js';
import { $, button, make } from '/screens.js';
import { span } from '/words.js';

const LOOK_AGAIN = 2000; // ms between looks at the list: other pages of the account build too
const BEAT = 200; // ms between steps of the progress

let kinds = {}; // name -> levels {seconds, pattern or rle}
let sites = []; // buildings of the account on the grid in sight
let ahead = 0; // ms of the node's clock before ours
let looked = 0; // when the list was asked for
let lines = []; // of sites under construction: {site, bar, note, place}
const patterns = new Map(); // 'kind level' -> Pattern

$('build-drawer').innerHTML = `<div id="kinds" class="templates" role="group" aria-label="Kinds of buildings"></div>
	<p class="hint">Choose one and lay it on the board. Here it is built while you play or are away, one after another.</p>
	<ul id="sites" aria-label="Your buildings on this grid"></ul>`;
board.decorate(mark);
setInterval(beat, BEAT);

const body = () => `${play.id}/${play.index}`;
const title = ({ kind }) => kind[0].toUpperCase() + kind.slice(1);

/** A building in the hand: it cannot be turned. */
class Plan extends Pattern {
	turned() { return this; }

	flipped() { return this; }

	async lay(x, y) {
		const { width, height, torus } = board.grid;
		if (torus) [x, y] = [(x % width + width) % width, (y % height + height) % height];
		else if (x < 0 || y < 0 || x + this.width > width || y + this.height > height) return board.say('A building must be inside of the board.');
		const site = await play.ask('/building/upgrade', { body_id: body(), kind: this.kind, x, y });
		if (!site) return;
		board.choose(null);
		begun(site);
	}
}

function begun(site) {
	board.say(`${title(site)}: level ${site.target} is built at ${site.x}, ${site.y}, done in ${span(left(site))}.`);
	look();
}

const left = ({ ends }) => ends - Date.now() - ahead;

// ---- what is told ----

/** The drawer was opened. */
export const open = look;

/** A push: what is done is said and shown at once. */
export async function push(route, { building_id: id, body_id: at, level, reason }) {
	const failed = route === '/building/failed';
	if (!failed && route !== '/building/upgraded') return;
	const site = sites.find(({ building_id: other }) => other === id);
	if (site) [site.level, site.target] = [failed ? site.level : level, 0];
	show();
	if (failed) {
		if (at === body()) await look();
		board.say(`Level ${level} of a building cannot be finished: ${reason}.`);
		return;
	}
	if (at === body()) await look();
	const done = site ?? sites.find(({ building_id: other }) => other === id);
	board.say(done ? `${title(done)} at ${done.x}, ${done.y} has reached level ${level}.` : `A building of yours elsewhere has reached level ${level}.`);
}

/** Asks for the list. */
async function look() {
	if (!play.id) return;
	const asked = body();
	looked = Date.now();
	const list = await play.ask('/building/list', { body_id: asked });
	if (!list || asked !== body()) return;
	ahead = list.now - Date.now();
	if (!patterns.size) await learn(list.kinds);
	sites = list.buildings;
	show();
}

/** Shows what can be built. */
async function learn(all) {
	kinds = all;
	const named = new Map(((await catalogue()) ?? []).flatMap(({ templates }) => templates).flatMap((one) => [one.name, one.also].map((name) => [name?.toLowerCase(), one.rle])));
	for (const [kind, levels] of Object.entries(kinds)) {
		levels.forEach(({ pattern, rle }, n) => {
			const plan = new Plan(parseRLE(rle || named.get(pattern.toLowerCase()) || 'o!').cells, title({ kind }));
			plan.kind = kind;
			patterns.set(`${kind} ${n + 1}`, plan);
		});
	}
	$('kinds').replaceChildren(...Object.keys(kinds).sort().map((kind) => {
		const plan = patterns.get(`${kind} 1`);
		const item = button('template', '', () => board.choose(plan));
		item.append(preview(plan), make('span', '', plan.name), make('span', 'tag', span(kinds[kind][0].seconds * 1000)));
		return item;
	}));
}

// ---- the list ----

/** Draws the list anew; the focus stays where it is. */
function show() {
	const focus = document.activeElement?.dataset.site;
	lines = [];
	$('sites').replaceChildren(...sites.map(line));
	if (focus) $('sites').querySelector(`[data-site="${focus}"]`)?.focus();
	beat();
}

function line(site) {
	const { building_id: id, level, target, x, y } = site;
	const item = make('li', 'site');
	const place = `${level ? `level ${level}` : 'site'} at ${x}, ${y}`;
	const note = make('span', 'tag', place);
	item.append(make('strong', '', title(site)));
	const next = kinds[site.kind]?.[level];
	const act = (text, route, then) => {
		const choice = button('quiet', text, async () => {
			const answer = await play.ask(route, { building_id: id });
			if (answer) then(answer);
		});
		choice.dataset.site = id;
		choice.ariaLabel = `${text} ${title(site)} at ${x}, ${y}`;
		item.append(choice);
	};
	if (target) {
		act('Cancel', '/building/cancel', () => { board.say(`${title(site)} at ${x}, ${y}: cancelled.`); look(); });
		const bar = make('progress', '');
		bar.ariaLabel = `${title(site)}, level ${target}`;
		item.append(bar);
		lines.push({ site, bar, note, place });
	} else if (next) act(`Upgrade, ${span(next.seconds * 1000)}`, '/building/upgrade', begun);
	item.append(note);
	return item;
}

/** How much of a site under construction is built, 0 to 1. */
const part = ({ starts, ends }) => Math.min(1, Math.max(0, (Date.now() + ahead - starts) / (ends - starts)));

function beat() {
	if (document.hidden || !play.id) return;
	const late = lines.some(({ site }) => left(site) < 0);
	if (Date.now() - looked > (late ? 1000 : LOOK_AGAIN) && (late || $('build-drawer').checkVisibility())) look();
	for (const { site, bar, note, place } of lines) {
		bar.value = part(site);
		const waits = site.starts - Date.now() - ahead;
		note.textContent = `${place}, level ${site.target} ${waits > 0 ? `begins in ${span(waits)}` : `done in ${span(left(site))}`}`;
	}
	if (lines.length) board.paint();
}

/** Marks the sites on the board: what is under construction grows from left to right. */
function mark(context, place, style) {
	if (!lines.length && $('build-drawer').hidden) return;
	for (const site of sites) {
		if (site.body_id !== body()) continue;
		const { width, height } = patterns.get(`${site.kind} ${site.target || site.level}`) ?? { width: 1, height: 1 };
		const [x, y, w, h] = place(site.x, site.y, width, height);
		context.lineWidth = 2;
		context.strokeStyle = style.accent;
		context.setLineDash(site.target ? [5, 4] : []);
		context.strokeRect(x - 2, y - 2, w + 4, h + 4);
		if (!site.target) continue;
		context.globalAlpha = 0.3;
		context.fillStyle = style.accent;
		context.fillRect(x, y, w * part(site), h);
		context.globalAlpha = 1;
	}
	context.setLineDash([]);
}
