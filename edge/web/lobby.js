/** The lobby: which games there are, going in and out. The address of the page names the game: ?game=… */
import { CallError } from '/gosper.js';
import * as play from '/play.js';
import { $, button, explain, make, on, onScheme, say, swatch } from '/screens.js';

const LOOK_AGAIN = 5000; // ms between looks at the list

let node;
let open = false; // the player is in a world
let listed = ''; // the games in the list, as text

/** Wires the lobby. */
export function start(connection) {
	node = connection;
	play.start(node, back);
	on('to-lobby', 'click', () => { play.close(); back(''); });
	on('new-game', 'click', async () => (await import('/create.js')).toggle(node, go));
	setInterval(list, LOOK_AGAIN);
	onScheme(() => { listed = ''; list(); });
	addEventListener('popstate', () => { if (open) follow(); });
}

/** The player entered a world: to the game that the address names, else to the list. */
export function enter() {
	open = true;
	follow();
}

export function leave() {
	open = false;
	play.close();
}

export function resumed() {
	play.resumed();
	list();
}

export { push } from '/play.js';

function follow() {
	const id = new URL(location.href).searchParams.get('game');
	if (id) return go(id);
	play.close();
	back('');
}

/** Shows the game or the list, and says so in the address. */
function show(id) {
	$('lobby').hidden = Boolean(id);
	$('game').hidden = !id;
	$('talk').classList.toggle('folded', Boolean(id));
	const address = new URL(location.href);
	if ((address.searchParams.get('game') ?? '') === id) return;
	if (id) address.searchParams.set('game', id);
	else address.searchParams.delete('game');
	history.pushState(null, '', address);
}

async function go(id) {
	try {
		if (!await play.open(id)) return;
		show(id);
		$('board').focus();
	} catch (error) {
		back(explain(error));
	}
}

function back(why) {
	show('');
	say('lobby-note', why);
	list();
}

async function list() {
	if (!open || $('lobby').hidden || document.hidden || node.state !== 'open') return;
	try {
		const { games, next } = await node.call('/game/list');
		const text = JSON.stringify([games, next]);
		if (listed === text || $('games').matches(':active')) return; // a click may be under way
		listed = text;
		const focus = document.activeElement?.dataset.game;
		$('games').replaceChildren(...games.map(line));
		$('no-games').hidden = games.length > 0;
		$('more-games').hidden = !next;
		if (focus) $('games').querySelector(`[data-game="${focus}"]`)?.focus();
	} catch (error) {
		if (!(error instanceof CallError && error.link)) say('lobby-note', explain(error));
	}
}

function line({ id, name, grids, users, state }) {
	const players = users.filter(({ present }) => present);
	const line = button('line-game', '', () => go(id));
	line.dataset.game = id;
	const dots = make('span', 'dots');
	dots.append(...players.slice(0, 8).map(({ color }) => swatch(color)));
	const { width, height, rule } = grids[0];
	const size = grids.length > 1 ? `${grids.length} grids` : `${width} × ${height}, ${rule}`;
	line.append(make('strong', '', name), dots,
		make('span', 'facts', `${players.length === 1 ? '1 player' : `${players.length} players`}, ${size}, ${state}`));
	const item = make('li', '');
	item.append(line);
	return item;
}
