/** The family: its members and their roles, notice, invitations, its end; or families to join. Loaded with its tab. */
import { $, avatar, button, make, on, onSubmit, say, sure } from '/screens.js';
import { ask, fill, node, note, place } from '/social.js';
import { ROLES, familyChange, span } from '/words.js';

const ADMIN = 8;
const OWNER = 10;
/** Changes by their names in the history. */
const KINDS = { fm_0: 'left', fm_1: 'removed', fm_2: 'invited', fm_3: 'joined', fm_5: 'icon', fm_6: 'role', fm_7: 'renamed', fm_8: 'ending', fm_9: 'kept', fm_10: 'owner' };
const NAME = 'name="name" maxlength="32" autocomplete="off" autocapitalize="none" spellcheck="false" required';
const form = (id, label, field, send) => `<form id="${id}"><label>${label} <input ${field}></label>
	<p class="problem" role="alert"></p><button class="quiet primary">${send}</button></form>`;

let family = null; // of the player, as the node tells it
let found = []; // families
let end = 0; // when the family ends, 0 for never
const asked = new Set(); // names of families

$('social-family').innerHTML = `<div id="in-family" hidden>
		<h2 id="family-name"></h2><p id="family-facts" class="hint"></p>
		<div id="family-end" class="warning" hidden><p id="family-timer"></p><button id="family-keep" class="quiet">Take it back</button></div>
		<p id="family-notice" class="text"></p><p id="family-board" class="text"></p>
		<ul id="members" aria-label="Members"></ul>
		<div id="family-officers">
			${form('invite-form', 'Invite a player', 'name="gn_target" maxlength="32" autocomplete="off" autocapitalize="none" required', 'Invite')}
			${form('notice-form', 'Notice for the members', 'name="msg" maxlength="200" autocomplete="off" required', 'Put up')}
		</div>
		<div class="buttons"><button id="family-check" class="quiet">Check in for today</button><button id="family-leave" class="quiet">Leave the family</button>
			<button id="family-disband" class="quiet">Disband the family</button></div>
		<details><summary>What has happened</summary><ul id="family-history"></ul></details>
	</div>
	<div id="no-family" hidden>
		<h2>Families</h2><p class="lead">A family has a talk of its own. You are in none yet.</p>
		${form('family-search', 'Find a family by the beginning of its name', NAME, 'Find')}
		<ul id="families" aria-label="Families"></ul>
		${form('family-found', 'Found a family', NAME, 'Found it')}
	</div>`;
onSubmit('family-search', async (name) => {
	found = (await node.call('/family/search', name)).families;
	families();
});
onSubmit('family-found', async (name) => {
	await node.call('/family/create', name);
	$('family-found').reset();
	open();
});
onSubmit('invite-form', async (who) => {
	const { gn } = await node.call('/family/invite', who);
	$('invite-form').reset();
	note(`${gn} is invited by mail.`);
});
onSubmit('notice-form', async (notice) => {
	await node.call('/family/notice', notice);
	$('notice-form').reset();
	note('The notice is up.');
});
const act = async (route, words) => { if (await ask(route)) note(words); };
on('family-check', 'click', async () => {
	const answer = await ask('/family/checkIn');
	if (!answer) return;
	note(`You have checked in: ${answer.reward} experience.`);
	load();
});
on('family-keep', 'click', () => act('/family/cancelDisband', 'The family goes on.'));
sure($('family-leave'), 'Leave it?', () => act('/family/leave', 'You have left the family.'));
sure($('family-disband'), 'Disband it for all?', () => act('/family/disband', 'The family will end. Until then it can be taken back.'));
setInterval(count, 1000);

/** Opens the family, or the families. */
export async function open() {
	await load();
	if (family || found.length) return;
	const before = found;
	const some = (await ask('/family/random'))?.families ?? [];
	if (found !== before) return; // others were searched for meanwhile
	found = some;
	families();
}

/** The visit is over, or the player is in another family. */
export function forget() {
	found = [];
	asked.clear();
}

/** A push of any route: the family is another now. */
export function push(route, content) {
	if (route !== '/family/changed' || content.world !== place.world) return;
	if (content.family !== family?.name) forget();
	open();
}

async function load() {
	const me = await ask('/user/player');
	if (!me) return;
	family = me.family ? await ask('/family/getAll') : null;
	$('in-family').hidden = !family;
	$('no-family').hidden = Boolean(family);
	if (family) draw();
}

// ---- the family of the player ----

const role = () => family.members.find(({ gn }) => gn === place.name)?.family_role ?? 0;

function draw() {
	const { name, members, members_max: most, exp, notice, board, timer, is_checkin: checked, history } = family;
	const mine = role();
	say('family-name', name);
	say('family-facts', `${members.length} of ${most} members, experience ${exp}`);
	say('family-notice', notice && `Notice: ${notice}`);
	say('family-board', board);
	end = timer < 0 ? 0 : Date.now() + timer * 1000;
	$('family-end').hidden = !end;
	for (const id of ['family-officers', 'family-keep', 'family-disband']) $(id).hidden = mine < ADMIN;
	if (end) $('family-disband').hidden = true;
	$('family-leave').hidden = mine === OWNER;
	$('family-check').disabled = checked === 1;
	fill('members', [...members].sort((a, b) => b.family_role - a.family_role || a.gn.localeCompare(b.gn)).map((member) => line(member, mine)));
	fill('family-history', [...history].reverse().map(({ time, key, ...rest }) => {
		const item = make('li', 'entry');
		item.append(make('span', 'grow', familyChange({ change: KINDS[key], name, ...rest }, place.name)), make('span', 'tag', new Date(time).toLocaleDateString()));
		return item;
	}));
	count();
}

function count() {
	if (!end || $('social-family').hidden || document.hidden) return;
	say('family-timer', `The family ends in ${span(end - Date.now())}.`);
}

function line({ gn, family_role: theirs, level }, mine) {
	const item = make('li', 'entry');
	const disc = make('span', 'avatar');
	disc.ariaHidden = true;
	avatar(disc, gn);
	item.append(disc, make('strong', 'grow', gn), make('span', 'tag', `${ROLES[theirs]}, level ${level}`));
	if (mine < ADMIN || theirs >= mine) return item;
	const acts = make('div', 'buttons');
	const choice = document.createElement('select');
	choice.dataset.of = gn;
	choice.ariaLabel = `Role of ${gn}`;
	choice.append(...Object.entries(ROLES).filter(([n]) => n < mine).map(([n, name]) => new Option(name, n, false, Number(n) === theirs)));
	choice.addEventListener('change', async () => {
		if (await ask('/family/setRole', { gn_target: gn, role: Number(choice.value) })) note(`${gn} is ${ROLES[choice.value]} now.`);
		else choice.value = theirs;
	});
	acts.append(choice);
	const more = (text, question, route, words) => {
		const one = button('quiet', text);
		one.dataset.of = gn;
		one.ariaLabel = `${text}: ${gn}`;
		sure(one, question, async () => { if (await ask(route, { gn_target: gn })) note(words); });
		acts.append(one);
	};
	more('Remove', `Remove ${gn}?`, '/family/remove', `${gn} is removed.`);
	if (mine === OWNER) more('Hand over', `Make ${gn} owner?`, '/family/abdicate', `The family is ${gn}’s now.`);
	item.append(acts);
	return item;
}

// ---- other families ----

function families() {
	fill('families', found.map(({ name, people, members_max: most, notice, board }) => {
		const item = make('li', 'entry');
		const choice = button('quiet', asked.has(name) ? 'Asked' : 'Ask to join');
		choice.disabled = asked.has(name);
		choice.dataset.of = name;
		choice.ariaLabel = `${choice.textContent}: ${name}`;
		sure(choice, `Ask ${name}?`, async () => {
			if (!await ask('/family/request', { name })) return;
			asked.add(name);
			note(`The family ${name} is asked. You are in as soon as it says yes.`);
			families();
		});
		item.append(make('strong', 'grow', name), make('span', 'tag', `${people} of ${most}`), choice);
		if (board || notice) item.append(make('p', 'hint', board || notice));
		return item;
	}));
}
