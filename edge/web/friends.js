/** Friends: who is here, asking, gifts of the day. Loaded with its tab. */
import { $, avatar, button, make, on, onSubmit, say, sure } from '/screens.js';
import { ask, fill, node, note, open as openPart, place } from '/social.js';

let friends = [];
let found = []; // of the last search
const asked = new Set(); // names

$('social-friends').innerHTML = `<div class="row"><h2>Friends <span id="friend-count" class="count"></span></h2>
		<button id="friend-gifts" class="quiet">Gift of the day for all</button></div>
	<p id="no-friends" class="lead" hidden>No friends yet. Find a player and ask.</p>
	<ul id="friends" aria-label="Your friends"></ul>
	<form id="friend-form"><label>Find a player <input name="gn_target" maxlength="32" autocomplete="off" autocapitalize="none" required></label>
		<p class="problem" role="alert"></p><button class="primary">Find</button></form>
	<ul id="found" aria-label="Players found"></ul>`;
onSubmit('friend-form', async (who) => {
	const { person, like } = await node.call('/friend/find', who);
	found = [...person ? [person] : [], ...like];
	draw();
});
on('friend-gifts', 'click', async () => {
	const answer = await ask('/gift/friends');
	if (!answer) return;
	note(`${answer.sent.length} ${answer.sent.length === 1 ? 'gift is' : 'gifts are'} sent${answer.full.length ? `; the mailboxes of ${answer.full.length} are full` : ''}.`);
	load();
});

/** Opens the list. */
export async function open() {
	found = [];
	$('friend-form').reset();
	await load();
}

/** The visit is over. */
export function forget() { asked.clear(); }

/** A push of any route. */
export function push(route, { joined = [], left = [] }) {
	if (route === '/friend/changed') load();
	if (route !== '/chat/presence') return;
	for (const person of [...friends, ...found]) person.online = joined.includes(person.gn) || person.online && !left.includes(person.gn);
	draw();
}

async function load() {
	const answer = await ask('/friend/all');
	if (!answer) return;
	friends = answer.friends;
	say('friend-count', `${friends.length} of ${answer.max}`);
	draw();
}

function draw() {
	friends.sort((a, b) => b.online - a.online || a.gn.localeCompare(b.gn));
	$('no-friends').hidden = friends.length > 0;
	$('friend-gifts').hidden = !friends.some(({ gifted }) => !gifted);
	fill('friends', friends.map((friend) => line(friend, (act, { gn, gifted }) => {
		act(gifted ? 'Gift sent today' : 'Gift of the day', () => gift(gn)).disabled = gifted;
		sure(act('Remove'), `Remove ${gn}?`, () => remove(gn));
	})));
	fill('found', found.map((person) => line(person, (act, { gn }) => {
		const known = friends.some((friend) => friend.gn === gn) ? 'Friend' : asked.has(gn) ? 'Asked' : gn === place.name ? 'You' : '';
		act(known || 'Ask to be friends', () => request(gn)).disabled = Boolean(known);
	})));
}

/** A player; more(act, person) adds what can be done. */
function line(person, more) {
	const { gn, online } = person;
	const item = make('li', 'entry');
	const disc = make('span', 'avatar');
	disc.ariaHidden = true;
	avatar(disc, gn);
	const acts = make('div', 'buttons');
	const act = (text, work) => {
		const choice = button('quiet', text, work);
		choice.dataset.of = gn;
		choice.ariaLabel = `${text}: ${gn}`;
		acts.append(choice);
		return choice;
	};
	item.append(disc, make('strong', 'grow', gn), make('span', online ? 'tag here' : 'tag', online ? 'here' : 'away'), acts);
	more(act, person);
	if (gn !== place.name) act('Write', () => openPart('mail', { to: gn }));
	return item;
}

async function request(gn) {
	if (!await ask('/friend/request', { gn_target: gn })) return;
	asked.add(gn);
	note(`${gn} is asked by mail.`);
	draw();
}

async function gift(gn) {
	if (!await ask('/gift/friend', { gn_target: gn })) return;
	note(`The gift of the day is on its way to ${gn}.`);
	load();
}

async function remove(gn) {
	if (!await ask('/friend/remove', { gn_target: gn })) return;
	note(`${gn} is not your friend any more.`);
	load();
}
