/** The mailbox: reading, answering, writing. Loaded with its tab. */
import { $, button, explain, make, on, onSubmit, say, sure } from '/screens.js';
import { ask, fill, node, note, open as openPart, place, problem, seen, unreadAre } from '/social.js';
import { subject, thing, things } from '/words.js';

const INVALID = 1001; // status of what was accepted already, or has no effect any more

let mails = []; // newest first
let opened = ''; // key of the mail that is read
const done = new Map(); // keys of mails that were answered here -> in words

$('social-mail').innerHTML = `<div class="row"><h2>Mailbox <span id="mail-count" class="count"></span></h2>
		<button id="mail-write" class="quiet primary" aria-expanded="false" aria-controls="mail-form">Write</button></div>
	<form id="mail-form" hidden>
		<label>To <input name="gn_target" maxlength="32" list="mail-names" autocomplete="off" autocapitalize="none" required></label>
		<datalist id="mail-names"></datalist>
		<label>Subject <input name="subj" maxlength="80" autocomplete="off"></label>
		<label>Message <textarea name="body" rows="4" maxlength="2000"></textarea></label>
		<div class="pair"><label>Gift <select name="gift"></select></label><label>How many <input name="many" type="number" min="1" value="1" required></label></div>
		<p class="problem" role="alert"></p>
		<div class="pair"><button id="mail-cancel" type="button">Cancel</button><button class="primary">Send</button></div>
	</form>
	<p id="no-mail" class="lead" hidden>No mail. Write to somebody.</p>
	<ul id="mails" aria-label="Mails"></ul>
	<div class="buttons"><button id="mail-accept" class="quiet">Accept all gifts</button><button id="mail-clear" class="quiet">Delete what was read</button></div>`;
on('mail-write', 'click', () => form($('mail-form').hidden));
on('mail-cancel', 'click', () => form(false));
on('mail-accept', 'click', acceptAll);
sure($('mail-clear'), 'Delete all that was read?', async () => {
	const answer = await ask('/mail/deleteRead');
	if (!answer) return;
	note(`${answer.keys.length} deleted.`);
	load();
});
onSubmit('mail-form', send);

/** Opens the mailbox; what: {key} of a mail to read, {to, gift} to write. */
export async function open(what) {
	if (what?.to !== undefined || what?.gift) return form(true, what);
	if (what?.key) form(false);
	await load();
	const mail = mails.find(({ key }) => key === what?.key);
	if (!mail) return;
	opened = '';
	read(mail);
	headOf(mail)?.focus();
}

/** A push of any route. */
export function push(route) { if (route === '/mail/new' || route === '/family/changed') load(); }

async function load() {
	const answer = await ask('/mail/all');
	if (!answer) return;
	const { mail, count: { cur, max }, zone } = answer;
	for (const one of mail) one.when = new Date(Date.parse(`${one.time.replace(' ', 'T')}Z`) - zone * 3_600_000);
	mails = mail.reverse().sort((a, b) => b.time.localeCompare(a.time)); // of one second: the later one first
	unreadAre(mails.filter((one) => !one.read).map(({ key }) => key));
	say('mail-count', `${cur} of ${max}`);
	draw();
}

// ---- reading ----

const headOf = ({ key }) => $('mails').querySelector(`[data-of="${CSS.escape(key)}"]`);

function draw() {
	$('no-mail').hidden = mails.length > 0;
	$('mail-clear').hidden = !mails.some((mail) => mail.read);
	$('mail-accept').hidden = !mails.some(({ type, key }) => type === '1' && !done.has(key));
	fill('mails', mails.map(line), $('mail-write'));
}

function line(mail) {
	const { key, from, when, read: was } = mail;
	const item = make('li', was ? 'mail' : 'mail new');
	const head = button('mail-head', '', () => read(mail));
	head.dataset.of = key;
	head.ariaExpanded = key === opened;
	const today = when.toDateString() === new Date().toDateString();
	const clock = make('time', 'tag', today ? when.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }) : when.toLocaleDateString());
	clock.dateTime = when.toISOString();
	head.append(make('strong', '', from), clock, make('span', 'facts', subject(mail)));
	if (!was) head.append(make('span', 'badge', 'new'));
	item.append(head);
	if (key === opened) item.append(letter(mail));
	return item;
}

/** Opens a mail, or closes it again. */
function read(mail) {
	opened = opened === mail.key ? '' : mail.key;
	if (!mail.read) {
		mail.read = 1;
		seen(mail.key);
		ask('/mail/markRead', { key: mail.key });
	}
	note('');
	draw();
}

/** What stands in a mail, and what can be done with it. */
function letter(mail) {
	const { key, type, body, items, from, subj } = mail;
	const part = make('div', 'letter');
	if (body) part.append(make('p', 'text', body));
	if (items) part.append(make('p', 'gift', things(items)));
	const acts = make('div', 'buttons');
	const act = (text, work) => {
		const choice = button('quiet', text, work);
		choice.dataset.of = key;
		acts.append(choice);
		return choice;
	};
	if (done.has(key)) part.append(make('p', 'hint', done.get(key)));
	else if (type === '1') act('Accept the gift', () => accept(mail));
	else if (type === '2' || type === '3') {
		const route = type === '2' ? '/friend/respond' : '/family/respond';
		act('Accept', () => respond(mail, route, true));
		act('Turn down', () => respond(mail, route, false));
	}
	if (type === '1' && done.has(key)) act('To your gifts', () => openPart('gifts'));
	if (type === '0' || type === '1') act('Reply', () => form(true, { to: from, subj: subj && `Re: ${subj.replace(/^Re: /, '')}` }));
	sure(act('Delete'), type === '1' && !done.has(key) ? 'Delete it with the gift?' : 'Delete it?', () => remove(mail));
	part.append(acts);
	return part;
}

/** Answers a mail; a refusal that stays is kept with it. */
async function answered(mail, route, content = {}) {
	try {
		return await node.call(route, { key: mail.key, ...content });
	} catch (error) {
		problem(explain(error));
		if (mail.type !== '3' && error.status === INVALID) {
			done.set(mail.key, `It does not count any more: ${explain(error)}.`);
			draw();
		}
		return null;
	}
}

async function accept(mail) {
	if (!await answered(mail, '/mail/acceptGift')) return;
	took(mail, `You have accepted ${things(mail.items)}.`);
}

async function acceptAll() {
	const answer = await ask('/mail/acceptGifts');
	if (!answer) return;
	for (const { key } of answer.accepted) done.set(key, 'You have accepted this.');
	await load();
	const all = answer.items.map(({ gid, iid, qty }) => `${qty} × ${thing(gid, iid)}`).join(', ');
	note([all ? `You have accepted ${all}.` : 'There is no gift left to accept.', ...answer.refused.map(({ message }) => message)].join(' '));
}

async function respond(mail, route, yes) {
	if (!await answered(mail, route, { accept: yes })) return;
	if (mail.type === '3') await load(); // the node has deleted it
	took(mail, !yes ? 'You have turned it down.' : mail.type === '2' ? `${mail.from} is your friend now.` : 'You have accepted it.');
}

/** A mail was answered: says so, there and above. */
function took(mail, text) {
	done.set(mail.key, text);
	mail.read = 1;
	seen(mail.key);
	draw();
	note(text);
}

async function remove(mail) {
	if (!await ask('/mail/delete', { key: mail.key })) return;
	note('The mail is deleted.');
	seen(mail.key);
	load();
}

// ---- writing ----

/** Opens or closes the form; filled in with what is known: {to, subj, gift}. */
async function form(yes, { to = '', subj = '', gift = '' } = {}) {
	$('mail-form').hidden = !yes;
	$('mail-write').ariaExpanded = yes;
	if (!yes) return $('mail-write').focus();
	const fields = $('mail-form').elements;
	if (to || subj || gift) [fields.gn_target.value, fields.subj.value] = [to, subj];
	(to ? fields.body : fields.gn_target).focus();
	$('mail-names').replaceChildren(...[...$('people-list').querySelectorAll('.who')].map(({ textContent }) => textContent)
		.filter((name) => name !== place.name).map((name) => new Option(name, name)));
	const have = await ask('/gift/inventory');
	const all = have ? [...have.patterns.map(({ name, qty }) => ({ gid: 9, iid: name, qty })), ...have.items] : [];
	fields.gift.replaceChildren(new Option('none', ''), ...all.map(({ gid, iid, qty }) => new Option(`${thing(gid, iid)} (you have ${qty})`, `${gid}:${iid}`)));
	fields.gift.value = gift;
}

async function send({ gift, many, ...letterOf }) {
	await node.call('/mail/send', { ...letterOf, items: gift && `${gift}:${many}` });
	$('mail-form').reset();
	form(false);
	note(`The mail to ${letterOf.gn_target} is sent.`);
}
