/** Who is here: the list of the people of the world, kept by presence pushes. */
import { CallError } from '/gosper.js';
import { $, avatar, button, make, say } from '/screens.js';
import * as social from '/social.js';

const present = new Set();
let count = 0;
let me = '';

/** Loads the list and follows it from now on; after every enter and resume. */
export async function enter(node, name) {
	me = name;
	try {
		const answer = await node.call('/chat/presence', { watch: true });
		present.clear();
		push({ joined: answer.names, count: answer.count ?? answer.names.length });
	} catch (error) {
		if (!(error instanceof CallError)) throw error; // a refused or lost call leaves the list as it was
	}
}

/** Somebody came or went. In a crowded world only the count is told. */
export function push(content) {
	for (const name of content.left ?? []) present.delete(name);
	for (const name of content.joined ?? []) present.add(name);
	count = content.count;
	const crowd = present.size !== count;
	for (const id of ['people-count', 'people-count-tab']) say(id, count);
	$('people-crowd').hidden = !crowd;
	$('people-list').replaceChildren(...(crowd ? [] : [...present].sort((a, b) => a.localeCompare(b))).map((name) => {
		const item = make('li', '');
		const disc = make('span', 'avatar');
		disc.setAttribute('aria-hidden', 'true');
		avatar(disc, name);
		item.append(disc, make('span', 'who', name));
		if (name === me) item.append(make('span', 'tag', 'you'));
		else item.append(write(name));
		return item;
	}));
}

function write(name) {
	const choice = button('quiet', 'Write', () => social.open('mail', { to: name }));
	choice.ariaLabel = `Write to ${name}`;
	return choice;
}

export function leave() {
	present.clear();
	push({ count: 0 });
}
