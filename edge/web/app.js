// @ts-check
/** The page: one connection, the screens around it, and who gets which push. */
import { Connection, State } from '/gosper.js';
import { accountScreens, logOut } from '/account.js';
import { LifeCanvas } from '/life.js';
import { Lobby } from '/lobby.js';
import { People } from '/people.js';
import { avatar, byID, explain, onSubmit, show, shown } from '/screens.js';
import { Room } from '/talk.js';

const SESSION = 'gosper.session'; // localStorage: token that resumes the session after a reload
const CLIENT_CODE = 'gosper.clientCode';
const PLACE = 'gosper.place'; // localStorage: name, world and family of the last visit, to fill the form

const node = new Connection({
  session: localStorage.getItem(SESSION) ?? '',
  clientCode: localStorage.getItem(CLIENT_CODE) ?? '',
});
const rooms = {
  world: new Room(node, byID('room-world'), byID('tab-world'), false),
  family: new Room(node, byID('room-family'), byID('tab-family'), true),
};
const people = new People(node);
const lobby = new Lobby(node);

/** Who the player is in the talk; null outside. @type {{name: string, world: string, family: string}|null} */
let here = null;

// ---- connection ----

node.on('state', ({ state, code, retryIn }) => {
  /** @type {Record<string, string>} */
  const words = {
    [State.idle]: 'Not connected',
    [State.connecting]: 'Connecting…',
    [State.open]: 'Connected',
    [State.waiting]: retryIn > 3000 ? `Connection lost, next try in ${Math.round(retryIn / 1000)} s` : 'Connection lost, trying again…',
    [State.closed]: code === 4003 ? 'You are playing elsewhere' : 'Not connected',
  };
  byID('state').dataset.state = state;
  byID('state-text').textContent = words[state];
  byID('retry').hidden = !(state === State.closed || (state === State.waiting && retryIn > 3000));
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
    return;
  }
  if (!samePlace(place)) {
    enterTalk(place);
    return;
  }
  const recovered = (/** @type {boolean} */ family) => (content.subjects ?? [])
    .every((/** @type {any} */ at) => isFamily(at.subject) !== family || at.recovered !== false);
  rooms.world.resumed(recovered(false));
  if (place.family) rooms.family.resumed(recovered(true));
  people.enter(place.name);
  lobby.resumed();
});

node.on('gap', ({ subject }) => {
  if (!here) return;
  const words = subject.split('.');
  if (words[0] === 'chat') rooms[isFamily(subject) ? 'family' : 'world'].gap();
});

node.on('push', ({ route, content, position }) => {
  if (route === '/chat/public' || route === '/chat/family') {
    const room = route === '/chat/family' ? 'family' : 'world';
    rooms[room].push(content, position, !document.hidden && tab() === room && panelOf(room).checkVisibility());
    title();
  } else if (route === '/chat/presence') {
    people.push(content);
  } else if (route.startsWith('/game/')) {
    lobby.push(route, content);
  }
});

byID('retry').addEventListener('click', () => node.open());

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

/** @param {string} subject */
function isFamily(subject) {
  const words = subject.split('.');
  return words.length === 4 && words[2] === 'family';
}

/** Where the identity of a reply is, or null when it is in no world. @param {any} content */
function placeOf(content) {
  const { name = '', world = '', family = '' } = content;
  return name && world ? { name, world, family } : null;
}

/** @param {{name: string, world: string, family: string}} place */
function samePlace(place) {
  return here && here.name === place.name && here.world === place.world && here.family === place.family;
}

/** @param {{name: string, world: string, family: string}} place */
function enterTalk(place) {
  here = place;
  localStorage.setItem(PLACE, JSON.stringify(place));
  byID('who-name').textContent = place.name;
  byID('who-place').textContent = `World ${place.world}${place.family ? `, family ${place.family}` : ''}`;
  avatar(byID('avatar'), place.name);
  byID('account').hidden = false;
  byID('account').open = false;
  byID('family-form').hidden = Boolean(place.family);
  for (const part of byID('room-family').querySelectorAll('.log, .say')) part.hidden = !place.family;
  show('talk');
  select('world');
  if (!location.search.includes('game=')) byID('say-world').focus();
  lobby.enter();
  rooms.world.enter(place.name);
  if (place.family) rooms.family.enter(place.name);
  else rooms.family.leave();
  people.enter(place.name);
}

/** @param {string} suggestedName */
function askPlace(suggestedName) {
  const last = JSON.parse(localStorage.getItem(PLACE) ?? '{}');
  const fields = byID('enter-form').elements;
  fields.name.value = last.name ?? suggestedName;
  fields.world.value = last.world ?? '0';
  fields.family.value = last.family ?? '';
  show('enter');
}

function loggedOut() {
  here = null;
  byID('account').hidden = true;
  rooms.world.leave();
  rooms.family.leave();
  people.leave();
  lobby.leave();
  show('welcome');
  title();
  if (node.state === State.closed) {
    node.forget();
    node.open();
  }
}

accountScreens(node, { loggedIn: askPlace, loggedOut });

onSubmit(byID('enter-form'), async ({ name, world, family }) => {
  enterTalk(placeOf(await node.call('/user/enterWorld', { name, world, family })) ?? { name, world, family });
});

onSubmit(byID('family-form'), async ({ family }) => {
  if (!here) return;
  const { name, world } = here;
  enterTalk(placeOf(await node.call('/user/enterWorld', { name, world, family })) ?? { name, world, family });
  select('family');
  byID('say-family').focus();
});

byID('change-world').addEventListener('click', () => {
  byID('account').open = false;
  askPlace('');
});

byID('leave-enter').addEventListener('click', () => {
  if (here) show('talk');
  else logOut(node, loggedOut);
});

// ---- tabs ----

const TABS = ['world', 'family', 'people'];
const panelOf = (/** @type {string} */ name) => byID(name === 'people' ? 'people' : `room-${name}`);

/** The name of the open tab. */
function tab() {
  return TABS.find((name) => byID(`tab-${name}`).getAttribute('aria-selected') === 'true') ?? 'world';
}

/** @param {string} chosen */
function select(chosen) {
  for (const name of TABS) {
    const button = byID(`tab-${name}`);
    button.setAttribute('aria-selected', String(name === chosen));
    button.tabIndex = name === chosen ? 0 : -1;
    panelOf(name).hidden = name !== chosen;
  }
  seen();
}

/** What stands in the open room has been seen. */
function seen() {
  if (document.hidden || shown() !== 'talk' || !panelOf(tab()).checkVisibility()) return;
  if (tab() !== 'people') rooms[/** @type {'world'|'family'} */ (tab())].read();
  title();
}

function title() {
  const unread = rooms.world.unread + rooms.family.unread;
  document.title = unread ? `(${unread}) gosper` : 'gosper';
}

for (const [index, name] of TABS.entries()) {
  const button = byID(`tab-${name}`);
  button.addEventListener('click', () => {
    byID('talk').classList.toggle('folded', tab() === name && !byID('talk').classList.contains('folded')); // phones: again folds it
    select(name);
  });
  button.addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => {
    const step = { ArrowRight: index + 1, ArrowLeft: index + TABS.length - 1, Home: 0, End: TABS.length - 1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const next = TABS[step % TABS.length];
    select(next);
    byID(`tab-${next}`).focus();
  });
}
document.addEventListener('visibilitychange', seen);
document.addEventListener('keydown', (event) => {
  if (event.key !== 'Escape' || !byID('account').open) return;
  byID('account').open = false;
  byID('account').querySelector('summary').focus();
});

document.addEventListener('click', ({ target }) => {
  if (!byID('account').contains(target)) byID('account').open = false;
});

// ---- start ----

byID('invited').hidden = !location.search.includes('game=');
new LifeCanvas(byID('backdrop'), { cell: 10, left: 2, top: 8 });
show(node.session || location.search.includes('nonce=') ? 'back' : 'welcome');
node.open();
