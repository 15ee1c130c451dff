/** The page: one connection, the screens around it, and who gets which push. */
import { Connection, State } from '/gosper.js';
import * as lobby from '/lobby.js';
import { $, avatar, explain, on, onSubmit, say, show, shown } from '/screens.js';

// Keys of localStorage.
const SESSION = 'gosper.session'; // token that resumes the session after a reload
const CLIENT_CODE = 'gosper.clientCode';
const PLACE = 'gosper.place'; // name and world of the last visit, to fill the form
const GUEST = 'gosper.guest'; // the random id that makes this browser the same guest tomorrow

const node = new Connection({
	session: localStorage.getItem(SESSION) ?? '',
	clientCode: localStorage.getItem(CLIENT_CODE) ?? '',
});
let here = null; // {name, world, family} of the player in a world, null outside
let chat = null; // the modules that are loaded when the player enters a world
let social = null;
lobby.start(node);

// ---- connection ----

node.on('state', ({ state, code, retryIn }) => {
	const words = {
		[State.connecting]: 'Connecting…',
		[State.open]: 'Connected',
		[State.waiting]: retryIn > 3000 ? `Connection lost, next try in ${Math.round(retryIn / 1000)} s` : 'Connection lost, trying again…',
		[State.closed]: code === 4003 ? 'You are playing elsewhere' : 'Not connected',
	};
	$('state').dataset.state = state;
	say('state-text', words[state]);
	$('retry').hidden = !(state === State.closed || (state === State.waiting && retryIn > 3000));
	if (state === State.open) greeted();
	if (state === State.closed && code === 4004) loggedOut();
});

node.on('session', ({ token }) => {
	if (token) localStorage.setItem(SESSION, token);
	else localStorage.removeItem(SESSION);
});

node.on('resumed', ({ content }) => {
	const place = placeOf(content);
	if (!place) {
		if (!here) askPlace('');
	} else if (!here || Object.keys(place).some((part) => here[part] !== place[part])) {
		enterTalk(place);
	} else {
		chat?.resumed(content.subjects ?? []);
		social?.resumed();
		lobby.resumed();
	}
});

node.on('gap', ({ subject }) => {
	if (here) chat?.gap(subject);
});

node.on('push', ({ route, content, position }) => {
	chat?.push(route, content, position);
	social?.push(route, content);
	lobby.push(route, content);
});

on('retry', 'click', () => node.open());

/** Every new link first makes sure of the client code: a good one comes back unchanged, a stale one is replaced. */
async function greeted() {
	try {
		const { clientCode } = await node.call('/user/clientCode');
		node.clientCode = clientCode;
		localStorage.setItem(CLIENT_CODE, clientCode);
		await arrive();
	} catch {
		return; // the link broke again: the next one comes here too
	}
	if (!node.session && (here || shown() === 'back')) loggedOut();
}

/** A page opened as ?nonce=… joins by that nonce, once. */
async function arrive() {
	const address = new URL(location.href);
	const nonce = address.searchParams.get('nonce');
	if (!nonce) return;
	address.searchParams.delete('nonce');
	history.replaceState(null, '', address);
	try {
		const place = placeOf(await node.call('/session/register', { nonce }));
		if (place) enterTalk(place);
	} catch (error) {
		if (!here) show('welcome');
		const problem = document.querySelector('.screen:not([hidden]) .problem');
		if (problem) problem.textContent = `The link did not work: ${explain(error)}`;
	}
}

// ---- places ----

/** Where the identity of a reply is, or null when it is in no world. */
const placeOf = ({ name = '', world = '', family = '' }) => name && world ? { name, world, family } : null;

async function enterTalk(place) {
	here = place;
	localStorage.setItem(PLACE, JSON.stringify({ name: place.name, world: place.world }));
	say('who-name', place.name);
	avatar($('avatar'), place.name);
	$('account').hidden = $('account').open = false;
	[chat, social] = await Promise.all([import('/chat.js'), import('/social.js')]);
	chat.start(node);
	social.start(node);
	if (here !== place) return; // somebody was faster
	show('talk');
	chat.enter(here);
	social.enter(here);
	lobby.enter();
}

async function enterWorld(place) { enterTalk(placeOf(await node.call('/user/enterWorld', place)) ?? place); }

function askPlace(suggestedName) {
	const last = JSON.parse(localStorage.getItem(PLACE) ?? '{}');
	const fields = $('enter-form').elements;
	fields.name.value = last.name ?? suggestedName;
	fields.world.value = last.world ?? '0';
	show('enter');
}

/** Ends the login. Without a link the node is not told: its token ends by itself, and this browser forgets it now. */
async function logOut() {
	await node.call('/user/logout').catch(() => {});
	node.forget();
	loggedOut();
}

function loggedOut() {
	here = null;
	$('account').hidden = true;
	chat?.leave();
	social?.leave();
	lobby.leave();
	show('welcome');
	if (node.state === State.closed) {
		node.forget();
		node.open();
	}
}

onSubmit('guest-form', async () => {
	const id = localStorage.getItem(GUEST) ?? [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
	localStorage.setItem(GUEST, id);
	await node.call('/user/loginUnique', { unique_id: id });
	askPlace('');
});

onSubmit('enter-form', enterWorld);

let accounts; // the screens of accounts, when they are loaded
for (const screen of ['login', 'register']) {
	on(`to-${screen}`, 'click', async () => {
		accounts ??= import('/account.js').then(({ wire }) => wire(node, askPlace));
		await accounts;
		show(screen);
	});
}
on('to-welcome', 'click', () => here ? show('talk') : logOut());
on('logout', 'click', logOut);
on('change-world', 'click', () => {
	$('account').open = false;
	askPlace('');
});

// ---- the account ----

document.addEventListener('keydown', ({ key }) => {
	if (key !== 'Escape' || !$('account').open) return;
	$('account').open = false;
	$('account').querySelector('summary').focus();
});
document.addEventListener('click', ({ target }) => {
	if (!$('account').contains(target)) $('account').open = false;
});

// ---- start ----

$('invited').hidden = !location.search.includes('game=');
show(node.session || location.search.includes('nonce=') ? 'back' : 'welcome');
node.open();
document.head.insertAdjacentHTML('beforeend', '<link rel="stylesheet" href="/later.css">');
import('/life.js').then(({ animate }) => animate($('backdrop')));
