/** What the player has: patterns, which can be laid on a board, and other things. Loaded with its tab. */
import * as board from '/board.js';
import { Pattern, parseRLE, preview } from '/patterns.js';
import * as play from '/play.js';
import { $, button, make } from '/screens.js';
import { ask, close, fill, open as openPart, problem } from '/social.js';
import { thing } from '/words.js';

// Orientations as the node calls them, and which one follows on a turn or a flip.
const WAYS = ['identity', 'rotate90', 'rotate180', 'rotate270', 'flipx', 'antitranspose', 'flipy', 'transpose'];
const TURNED = [1, 2, 3, 0, 5, 6, 7, 4];
const FLIPPED = [4, 7, 6, 5, 0, 3, 2, 1];

/** A pattern of the player's own in the hand: it is used up when it is laid. */
class Gift extends Pattern {
	constructor(cells, name, way = 0) {
		super(cells, name);
		this.way = way;
	}

	turned() { return new Gift(super.turned().cells, this.name, TURNED[this.way]); }

	flipped() { return new Gift(super.flipped().cells, this.name, FLIPPED[this.way]); }

	async lay(x, y) {
		const answer = await play.ask('/gift/place', { grid: play.index, x, y, pattern: this.name, orientation: WAYS[this.way], wrap: true });
		if (!answer) return;
		if (!answer.left) board.choose(null);
		board.say(`${this.name} laid at ${x}, ${y}: you have ${answer.left} left.`);
	}
}

$('social-gifts').innerHTML = `<h2>Gifts</h2><p class="hint">What you were given. A pattern that is laid on a board is used up.</p>
	<ul id="gift-patterns" aria-label="Patterns"></ul><ul id="gift-items" aria-label="Other things"></ul>
	<p id="no-gifts" class="lead" hidden>You have nothing now. Friends can send you gifts.</p>`;

/** Opens the list. */
export async function open() {
	const have = await ask('/gift/inventory');
	if (!have) return;
	$('no-gifts').hidden = have.patterns.length + have.items.length > 0;
	fill('gift-patterns', have.patterns.map(({ name, qty, rle }) => {
		const item = entry(9, name, qty);
		if (!rle) return item;
		const pattern = new Gift(parseRLE(rle).cells, name);
		const picture = make('span', 'picture');
		picture.append(preview(pattern));
		item.prepend(picture);
		const lay = button('quiet primary', 'Place', () => place(pattern));
		lay.dataset.of = name;
		lay.ariaLabel = `Place ${name} on the board`;
		item.lastChild.before(lay);
		return item;
	}));
	fill('gift-items', have.items.map(({ gid, iid, qty }) => entry(gid, iid, qty)));
}

function entry(group, id, count) {
	const item = make('li', 'entry');
	const give = button('quiet', 'Give', () => openPart('mail', { gift: `${group}:${id}` }));
	give.dataset.of = id;
	give.ariaLabel = `Give ${thing(group, id)}`;
	item.append(make('strong', 'grow', thing(group, id)), make('span', 'tag', `× ${count.toLocaleString()}`), give);
	return item;
}

/** Takes a pattern into the hand, over the board. */
function place(pattern) {
	if (!play.id || !play.me) return problem('Join a game first: a pattern is laid on its board.');
	close();
	board.choose(pattern);
	$('board').focus();
}
