/** The talk beside the games: rooms, people, tabs, and the family of the player. Loaded when the player enters a world. */
import * as people from '/people.js';
import { $, arrows, button, make, on, onSubmit, say, shown } from '/screens.js';
import * as social from '/social.js';
import { Room } from '/talk.js';

let node;
let rooms;
let place; // {name, world, family} of the player; family is kept up here

/** Wires the chat, once. */
export function start(connection) {
	if (node) return;
	node = connection;
	rooms = { world: new Room(node, 'world'), family: new Room(node, 'family') };
	onSubmit('family-form', async ({ name, act }) => {
		await node.call(`/family/${act}`, { name });
		if (act === 'request') social.tell({ text: `You have asked the family ${name}. You are in as soon as it says yes.`, tab: 'family' });
	});
	const head = make('p', 'family-head');
	head.append(button('quiet', 'Members and more', () => social.open('family')));
	$('room-family').prepend(head);
	$('family-form').append(button('quiet wide', 'Look for families', () => social.open('family')));
	document.addEventListener('visibilitychange', seen);
	TABS.forEach(wire);
	arrows(TABS.map((name) => $(`tab-${name}`)), (n) => select(TABS[n]));
}

/** The player entered a world. */
export function enter(where) {
	place = where;
	select('world');
	if (!location.search.includes('game=')) $('say-world').focus();
	rooms.world.enter(place.name);
	family();
	people.enter(node, place.name);
}

export function leave() {
	rooms.world.leave();
	rooms.family.leave();
	people.leave();
	title();
}

const isFamily = (subject) => subject.split('.')[2] === 'family';

/** The link is back; subjects tell what was recovered. */
export function resumed(subjects) {
	const recovered = (room) => subjects.every((at) => isFamily(at.subject) !== room || at.recovered !== false);
	rooms.world.resumed(recovered(false));
	if (place.family) rooms.family.resumed(recovered(true));
	people.enter(node, place.name);
}

/** The node could not fill a hole in the history of a subject. */
export function gap(subject) {
	if (subject.startsWith('chat.')) rooms[isFamily(subject) ? 'family' : 'world'].gap();
}

/** A push of any route. */
export function push(route, content, position) {
	if (route === '/chat/public' || route === '/chat/family') {
		const room = route === '/chat/family' ? 'family' : 'world';
		rooms[room].push(content, position, !document.hidden && tab() === room && panelOf(room).checkVisibility());
		title();
	} else if (route === '/chat/presence') people.push(content);
	else if (route === '/family/changed' && content.world === place.world && content.family !== place.family) {
		const asked = $('family-form').contains(document.activeElement);
		place.family = content.family;
		family();
		if (asked) $('say-family').focus();
	}
}

/** Shows the family of the player. */
function family() {
	say('who-place', `World ${place.world}${place.family && `, family ${place.family}`}`);
	$('family-form').hidden = Boolean(place.family);
	for (const part of $('room-family').querySelectorAll('.family-head, .log, .say')) part.hidden = !place.family;
	if (place.family) rooms.family.enter(place.name);
	else rooms.family.leave();
}

// ---- tabs ----

const TABS = ['world', 'family', 'people'];
const panelOf = (name) => $(name === 'people' ? 'people' : `room-${name}`);

/** The name of the open tab. */
const tab = () => TABS.find((name) => $(`tab-${name}`).ariaSelected === 'true') ?? 'world';

function select(chosen) {
	for (const name of TABS) {
		const button = $(`tab-${name}`);
		button.ariaSelected = name === chosen;
		button.tabIndex = name === chosen ? 0 : -1;
		panelOf(name).hidden = name !== chosen;
	}
	seen();
}

/** What stands in the open room has been seen. */
function seen() {
	if (document.hidden || shown() !== 'talk' || !panelOf(tab()).checkVisibility()) return;
	rooms[tab()]?.read();
	title();
}

function title() {
	const unread = rooms.world.unread + rooms.family.unread;
	document.title = unread ? `(${unread}) gosper` : 'gosper';
}

function wire(name) {
	on(`tab-${name}`, 'click', () => {
		$('talk').classList.toggle('folded', tab() === name && !$('talk').classList.contains('folded')); // phones: again folds it
		select(name);
	});
}
