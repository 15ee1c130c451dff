/** Patterns: rows of run length encoding, turning, the palette, files. Loaded when somebody wants a pattern. */
import * as board from '/board.js';
import * as play from '/play.js';
import { $, button, explain, make, on, onScheme } from '/screens.js';

const MOST_CELLS = 100_000; // of one pattern, as the node has it

/** Live cells as [x, y] from the top left corner of their box. */
export class Pattern {
	constructor(cells, name = '') {
		const low = (n) => cells.reduce((least, cell) => Math.min(least, cell[n]), Infinity);
		const [left, top] = [low(0), low(1)];
		this.name = name;
		this.cells = cells.map(([x, y]) => [x - left, y - top]);
		this.width = this.cells.reduce((most, [x]) => Math.max(most, x + 1), 0);
		this.height = this.cells.reduce((most, [, y]) => Math.max(most, y + 1), 0);
	}

	/** A quarter turn clockwise. */
	turned() { return new Pattern(this.cells.map(([x, y]) => [this.height - 1 - y, x]), this.name); }

	/** Left and right change places. */
	flipped() { return new Pattern(this.cells.map(([x, y]) => [this.width - 1 - x, y]), this.name); }

	/** Brings it to life on the board with its corner there. */
	async lay(x, y) {
		const cells = this.cells.map(([dx, dy]) => [x + dx, y + dy]);
		const text = formatRLE([...this.cells].sort((a, b) => a[1] - b[1] || a[0] - b[0]));
		const shown = board.expect(cells, true);
		if (await play.ask('/game/pattern', { grid: play.index, text, x, y, wrap: true })) {
			board.say(`${this.name} laid at ${x}, ${y}.`);
			await play.seen(cells[0], true);
		}
		shown();
	}
}

/** Reads RLE; cells of every live state count alike. */
export function parseRLE(text) {
	const name = /^#N (.*)$/m.exec(text)?.[1].trim();
	const rows = text.replace(/^(#|\s*x\s*=).*$/gm, '');
	const cells = [];
	let [x, y] = [0, 0];
	for (const [, digits, item] of rows.matchAll(/(\d*)\s*([^\d\s])/g)) {
		const run = Number(digits || 1);
		if (item === '!') break;
		if (item === '$') [x, y] = [0, y + run];
		else if (/[b.]/.test(item)) x += run;
		else if (!/[oA-X]/.test(item) || cells.length + run > MOST_CELLS) throw new Error('This is no pattern in RLE, or too large.');
		else for (const end = x + run; x < end; x++) cells.push([x, y]);
	}
	return new Pattern(cells, name);
}

/** Writes cells in row-major order as rows of RLE on one line. */
export function formatRLE(cells) {
	let [text, x, y] = ['', 0, 0];
	const add = (run, item) => { if (run > 0) text += (run > 1 ? run : '') + item; };
	for (let n = 0; n < cells.length;) {
		let run = 1;
		while (cells[n + run]?.[1] === cells[n][1] && cells[n + run][0] === cells[n][0] + run) run++;
		if (cells[n][1] > y) {
			add(cells[n][1] - y, '$');
			[x, y] = [0, cells[n][1]];
		}
		add(cells[n][0] - x, 'b');
		add(run, 'o');
		x = cells[n][0] + run;
		n += run;
	}
	return `${text}!`;
}

// ---- the palette ----

let groups = null;

/** The catalogue of the node, which is loaded once: [{name, templates: [{name, rle, …}]}]; null when that was refused. */
export async function catalogue() { return groups ??= (await play.ask('/game/templates'))?.groups ?? null; }

$('patterns-drawer').innerHTML = `<div class="row"><label><span class="visually-hidden">Kind of pattern</span><select id="group"></select></label>
	<label class="file">Open file<input id="pattern-file" type="file" class="visually-hidden" accept=".rle,.cells,.lif,.life,.mc,.txt"></label></div>
	<div id="templates" class="templates" role="group" aria-label="Patterns"></div>
	<p class="hint">Choose one, or drag it onto the board. A file or text in RLE can be dropped or pasted too.</p>`;
on('group', 'change', show);
on('pattern-file', 'change', async ({ target }) => {
	if (target.files[0]) await read(target.files[0]);
	target.value = '';
});
onScheme(show);

/** The drawer was opened. */
export async function open() {
	if ($('group').value || !await catalogue()) return;
	$('group').replaceChildren(...groups.map(({ name }) => make('option', '', name)));
	$('group').selectedIndex = Math.max(0, groups.findIndex(({ name }) => name === 'Guns'));
	show();
}

/** Takes a file or a text in any format that the node knows. */
export async function read(source) {
	try {
		const text = typeof source === 'string' ? source : await source.text();
		const answer = await play.node.call('/game/pattern', { text });
		board.choose(new Pattern(parseRLE(answer.text).cells, answer.name || source.name || 'pattern'));
	} catch (error) {
		board.say(explain(error));
	}
}

function show() {
	const group = groups?.find(({ name }) => name === $('group').value);
	$('templates').replaceChildren(...(group?.templates ?? []).map((template) => {
		const pattern = new Pattern(parseRLE(template.rle).cells, template.name);
		const item = button('template', '', () => board.choose(pattern));
		item.title = [template.also, `${template.width} × ${template.height}, ${template.cells} cells`, template.period > 1 && `period ${template.period}`,
			template.speed, template.growth && `${template.growth} more cells a period`].filter(Boolean).join(', ');
		item.append(preview(pattern), make('span', '', template.name));
		item.addEventListener('pointerdown', (event) => drag(event, pattern));
		return item;
	}));
}

/** A picture of a pattern. */
export function preview(pattern) {
	const canvas = make('canvas', '');
	const cell = Math.min(12, Math.max(1, Math.floor(168 / Math.max(pattern.width, pattern.height))));
	canvas.width = pattern.width * cell;
	canvas.height = pattern.height * cell;
	const context = canvas.getContext('2d');
	context.fillStyle = getComputedStyle(document.body).getPropertyValue('--accent');
	for (const [x, y] of pattern.cells) context.fillRect(x * cell, y * cell, cell - (cell > 5), cell - (cell > 5));
	return canvas;
}

/** Follows a pointer that took a pattern until it lets go: over the board, the pattern is laid there. */
function drag({ target, pointerId }, pattern) {
	const move = (event) => {
		if (event.pointerId !== pointerId || !board.covers(event)) return;
		if (board.pattern?.name !== pattern.name) board.choose(pattern);
		board.hover(event);
	};
	const up = (event) => {
		if (event.pointerId !== pointerId) return;
		removeEventListener('pointermove', move);
		for (const type of ['pointerup', 'pointercancel']) removeEventListener(type, up);
		if (event.type === 'pointerup' && board.covers(event)) board.stamp();
	};
	if (target.hasPointerCapture(pointerId)) target.releasePointerCapture(pointerId);
	addEventListener('pointermove', move);
	for (const type of ['pointerup', 'pointercancel']) addEventListener(type, up);
}

/** Hands the cells of the board out as a file. Of a large board only the node has all of them. */
export async function save() {
	const { grid } = board;
	if (!grid) return;
	const { name, grids } = play.game;
	let text;
	if (board.view()) {
		text = (await play.ask('/game/pattern', { grid: play.index }))?.text;
		if (!text) return;
	} else {
		const cells = [];
		grid.each((x, y) => cells.push([x, y]));
		text = `#N ${name}\n#C generation ${grid.generation}\nx = ${grid.width}, y = ${grid.height}, rule = ${grids[play.index].rule}`
			+ `:${grid.torus ? 'T' : 'P'}${grid.width},${grid.height}\n${formatRLE(cells).replace(/.{1,60}[^\d]/g, '$&\n')}`;
	}
	const link = make('a', '');
	link.href = URL.createObjectURL(new Blob([text], { type: 'text/plain' }));
	link.download = `${name.replace(/[^\w-]+/g, '-') || 'gosper'}-${grid.generation}.rle`;
	link.click();
	setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
