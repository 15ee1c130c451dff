/**
 * Mail, friends, family and gifts: the panel beside the game, its button with the number of unread mails, and what is told in
 * passing. Loaded when the player enters a world; the parts of the panel are loaded when they are opened.
 */
import { CallError } from '/gosper.js';
import { $, arrows, button, explain, make, on, say, show, shown } from '/screens.js';
import { told } from '/words.js';

const TOLD = 50; // news that are kept
const TOAST = 8000; // ms that one is shown
const NO_ACCOUNT = 1002; // status of calls that need one: a visitor by nonce has none, and nothing of all this

/** The parts: open(what), and perhaps push(route, content), and forget() for the end of a visit. */
const PARTS = {
	mail: ['Mail', () => import('/mail.js')],
	friends: ['Friends', () => import('/friends.js')],
	family: ['Family', () => import('/family.js')],
	gifts: ['Gifts', () => import('/gifts.js')],
	news: ['News', async () => ({ open: list })],
};
const NAMES = Object.keys(PARTS);
const loaded = {};

export let node;
export let place = null; // {name, world, family} of the player
let part = 'mail'; // that is or was open
let before = null; // what had the focus when the panel was opened
const unread = new Set(); // keys of mails
let news = []; // {text, tab, what, time}, newest first

/** Wires the panel, once. */
export function start(connection) {
	if (node) return;
	node = connection;
	const opener = button('quiet opener', 'Mail ', () => $('social').hidden ? open() : close());
	opener.id = 'social-open';
	opener.setAttribute('aria-controls', 'social');
	opener.append(make('span', 'badge'));
	$('account').before(opener);
	$('talk').insertAdjacentHTML('beforeend', `<section id="social" class="panel social" aria-label="Mail, friends, family and gifts" hidden>
		<header class="tabs"><div class="tabs" role="tablist" aria-label="Mail, friends, family and gifts"></div><button id="social-close" aria-label="Close">✕</button></header>
		<p id="social-problem" class="problem" role="alert"></p><p id="social-note" role="status"></p></section>`);
	document.body.insertAdjacentHTML('beforeend', '<div id="toasts" role="status"></div>');
	for (const name of NAMES) wire(name);
	arrows(NAMES.map(tabOf), (n) => open(NAMES[n]));
	on('social-close', 'click', close);
	on('social', 'keydown', (event) => { if (event.key === 'Escape') close(); });
	mark();
}

function wire(name) {
	const tab = button('', PARTS[name][0], () => open(name));
	tab.id = `social-tab-${name}`;
	tab.role = 'tab';
	tab.setAttribute('aria-controls', `social-${name}`);
	$('social').querySelector('[role=tablist]').append(tab);
	const page = make('div', 'part');
	page.id = `social-${name}`;
	page.role = 'tabpanel';
	page.setAttribute('aria-labelledby', tab.id);
	$('social').append(page);
}

const tabOf = (name) => $(`social-tab-${name}`);

/** The player entered a world. */
export function enter(where) {
	if (place && place !== where) forget();
	place = where;
	$('social-open').hidden = false;
	count();
}

export function leave() {
	if (!node) return;
	place = null;
	forget();
	$('social-open').hidden = true;
}

function forget() {
	close();
	for (const one of Object.values(loaded)) one.forget?.();
	news = [];
	$('toasts').replaceChildren();
	unreadAre([]);
}

/** The link is back: what was missed has been handed out. */
export function resumed() {
	count();
	if (!$('social').hidden) open(part);
}

/** A push of any route. */
export async function push(route, content) {
	if (!place) return;
	if (route === '/friend/changed') content.name = await nameOf(content.uid);
	if (route === '/mail/new' && content.world === place?.world) unreadAre([...unread, content.key]);
	const word = place && told(route, content, place);
	if (word?.text) tell(word);
	if (!$('social').hidden) loaded[part]?.push?.(route, content);
}

/** The name of an account of the world. */
async function nameOf(uid) {
	const answer = await node.call('/friend/find', { uid_target: uid }).catch(() => null); // only words are lost
	return answer?.person?.gn ?? 'A player';
}

// ---- the number of unread mails ----

async function count() {
	try {
		const { mail } = await node.call('/mail/all');
		document.body.classList.remove('visitor');
		unreadAre(mail.filter(({ read }) => !read).map(({ key }) => key));
	} catch (error) {
		if (!(error instanceof CallError)) throw error;
		document.body.classList.toggle('visitor', error.status === NO_ACCOUNT);
	}
}

/** Says which mails are unread. */
export function unreadAre(keys) {
	unread.clear();
	for (const key of keys) unread.add(key);
	mark();
}

/** A mail has been read or deleted. */
export function seen(key) {
	unread.delete(key);
	mark();
}

function mark() {
	const badge = $('social-open').querySelector('.badge');
	badge.hidden = !unread.size;
	badge.textContent = unread.size;
	badge.ariaLabel = `${unread.size} unread`;
}

// ---- the panel ----

/** Opens the panel at a part; what is for the part. */
export async function open(name = unread.size ? 'mail' : part, what = undefined) {
	if (shown() !== 'talk') show('talk');
	if ($('social').hidden) before = document.activeElement;
	part = name;
	$('social').hidden = false;
	$('talk').classList.add('beside');
	$('social-open').ariaExpanded = true;
	for (const other of NAMES) {
		tabOf(other).ariaSelected = other === name;
		tabOf(other).tabIndex = other === name ? 0 : -1;
		$(`social-${other}`).hidden = other !== name;
	}
	note('');
	for (const toast of [...$('toasts').children]) if (toast.dataset.tab === name) toast.remove();
	if (!$(`social-${name}`).contains(document.activeElement)) tabOf(name).focus();
	loaded[name] ??= await PARTS[name][1]();
	if (part === name && place) await loaded[name].open(what);
}

/** Closes the panel; the focus goes back to where it was. */
export function close() {
	if ($('social').hidden) return;
	$('social').hidden = true;
	$('talk').classList.remove('beside');
	$('social-open').ariaExpanded = false;
	(before?.isConnected && before.checkVisibility() ? before : $('social-open')).focus();
}

/** Says what has been done. */
export function note(text) {
	say('social-problem', '');
	say('social-note', text);
}

/** Says what went wrong. */
export function problem(text) {
	say('social-note', '');
	say('social-problem', text);
}

/** Calls a function; what goes wrong is said in the panel, and null returned. */
export async function ask(route, content = {}) {
	try {
		return await node.call(route, content);
	} catch (error) {
		problem(explain(error));
		return null;
	}
}

/** Replaces the items of a list. The focus stays at the same thing (data-of), or goes to `instead`; a question of sure() goes on waiting. */
export function fill(id, items, instead = tabOf(part)) {
	const all = (selector) => [...$(id).querySelectorAll(selector)];
	const asking = all('[data-asks]').find((one) => one.textContent === one.dataset.asks)?.dataset;
	const old = $(id).contains(document.activeElement) ? document.activeElement : null;
	const of = old && `[data-of="${CSS.escape(old.dataset.of)}"]`;
	const nth = old && all(of).indexOf(old);
	$(id).replaceChildren(...items);
	if (old) (all(of)[nth] ?? all(of)[0] ?? instead).focus();
	if (asking) all('[data-asks]').find(({ dataset: { asks, of } }) => asks === asking.asks && of === asking.of)?.click();
}

// ---- what is told ----

/** Tells the player something: in passing, or in the panel when it shows what this is about; and in the list of news. */
export function tell({ text, tab = '', what, quiet = false }) {
	news.unshift({ text, tab, what, time: new Date() });
	news.length = Math.min(news.length, TOLD);
	if (!$('social').hidden && part === 'news') list();
	if (quiet) return;
	if (!$('social').hidden && part === tab) return note(text);
	const toast = button('toast', text, () => {
		toast.remove();
		open(tab || 'news', what);
	});
	toast.dataset.tab = tab;
	$('toasts').replaceChildren(toast); // one, as high as the bar, so that nothing else is covered
	const fade = () => { if (toast.matches(':hover, :focus')) setTimeout(fade, TOAST); else toast.remove(); };
	setTimeout(fade, TOAST);
}

function list() {
	const page = $('social-news');
	if (!page.firstChild) page.innerHTML = '<h2>News</h2><p id="no-news" class="lead">Nothing has happened since you came.</p><ul id="news"></ul>';
	$('no-news').hidden = news.length > 0;
	fill('news', news.map(({ text, tab, what, time }) => {
		const item = make('li', 'entry');
		const clock = make('time', 'tag', time.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }));
		clock.dateTime = time.toISOString();
		item.append(make('span', 'grow', text), clock);
		if (tab) {
			const go = button('quiet', 'Show', () => open(tab, what));
			go.dataset.of = time.toISOString();
			go.ariaLabel = `Show: ${text}`;
			item.append(go);
		}
		return item;
	}));
}
