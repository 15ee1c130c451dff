/**
 * The board: a grid on a canvas that can be moved, zoomed and drawn on, by mouse, touch and keys. Each cell is a pixel of a
 * picture, of which only tiles that changed are painted anew; the canvas shows the part in sight.
 */
import { $, onScheme, say as write } from '/screens.js';

const SIDE = 64;
const KEY_STEP = 8; // cells of an arrow key with Shift
const TOUCH_HOLD = 120; // ms before a stroke of a finger counts: it may be the first of two
const LARGEST = 4096; // side of a board that is shown as a whole; of a larger one there is a window
const WINDOW = 2048; // side of the window, in cells
const SIGHT = 1536; // cells of the window that may be in sight, so that moves rarely leave it

const canvas = $('board');
const context = canvas.getContext('2d');
const picture = document.createElement('canvas');
const tile = new ImageData(SIDE, SIDE);
const pixels = new Uint32Array(tile.data.buffer);
const colours = new Uint32Array(256); // of owners, as pixels
let tasks; // {edit(cells, alive), describe(x, y), chosen(), moved()}

// What is shown.
export let grid = null;
let [width, height] = [1, 1];
let part = { x: 0, y: 0, width: 1, height: 1 }; // of the board, that the picture holds
let style = {};
let ink = 0;
let extra = () => {}; // draws more on top
let scheduled = false;

// Where: CSS pixels a cell, and the cell at the top left corner.
let [scale, left, top] = [8, 0, 0];
let fitted = true; // the whole board is to be seen, whatever the size of the canvas

// Drawing.
export let tool = 'draw';
export let pattern = null; // in the hand: {name, width, height, cells, turned(), flipped(), lay(x, y)}
export let readOnly = true;
let cursor = { x: 0, y: 0 };
let keys = false; // the cursor is used, so it is shown
let stroke = null; // {cells, at, started} of the pointer that draws
const pointers = new Map();
const pending = new Map(); // 'x,y' -> alive, sent and not yet on the grid

/** Wires the board. */
export function start(whatToDo) {
	tasks = whatToDo;
	new ResizeObserver(resize).observe(canvas);
	onScheme(restyle);
	for (const type of ['pointerdown', 'pointermove', 'pointerup', 'pointercancel']) canvas.addEventListener(type, pointer);
	canvas.addEventListener('pointerleave', () => { if (pattern && !pointers.size) paint(); });
	canvas.addEventListener('contextmenu', (event) => event.preventDefault());
	canvas.addEventListener('wheel', wheel, { passive: false });
	canvas.addEventListener('focus', paint);
	canvas.addEventListener('blur', () => { keys = false; paint(); });
	restyle();
}

// ---- what others ask for ----

/** Shows a grid, null for none. */
export function show(other) {
	if (other !== grid) other?.dirty.fill(1);
	grid = other;
	paint();
}

/** Makes room for a board of this size, before its grid comes. */
export function size(w, h) {
	if (w === width && h === height) return;
	[width, height] = [w, h];
	const large = Math.max(w, h) > LARGEST;
	part = { x: 0, y: 0, width: large ? Math.min(WINDOW, w) : w, height: large ? Math.min(WINDOW, h) : h };
	[picture.width, picture.height] = [part.width, part.height];
	cursor = { x: w >> 1, y: h >> 1 };
	fit();
}

/** The part of the board that is needed, null for all of it. */
export const view = () => part.width < width || part.height < height ? part : null;

/** Sets the colours of owners by number, as 0xRRGGBB. */
export function owners(list) {
	list.forEach((colour, number) => { colours[number] = pixel(colour); });
	repaint();
}

/** Whether cells can be drawn. */
export function enable(can) { readOnly = !can; }

/** Tells the player, by ear too. */
export const say = (text) => write('board-note', text);

/** Draws more on top: f(context, place), where place(x, y, w, h) is a box of cells in pixels. */
export function decorate(f) {
	extra = f;
	paint();
}

/** Draws at the next frame. */
export function paint() {
	if (scheduled) return;
	scheduled = true;
	requestAnimationFrame(() => { scheduled = false; draw(); });
}

function repaint() {
	grid?.dirty.fill(1);
	paint();
}

function restyle() {
	const all = getComputedStyle(canvas);
	style = Object.fromEntries(['board', 'rule', 'accent', 'wrong', 'ink'].map((name) => [name, all.getPropertyValue(`--${name}`)]));
	ink = pixel(parseInt(style.accent.slice(1), 16));
	repaint();
}

/** Takes a pattern into the hand, or with null puts it away for another tool. */
export function choose(other, instead = 'draw') {
	pattern = other;
	tool = pattern ? 'stamp' : instead;
	if (pattern) {
		const { clientWidth, clientHeight } = canvas;
		cursor = { x: Math.floor(left + clientWidth / scale / 2), y: Math.floor(top + clientHeight / scale / 2) };
		say(`${pattern.name}, ${pattern.width} by ${pattern.height}: click, or press Space, to lay it.`);
	}
	tasks.chosen();
	paint();
}

export function turn() { if (pattern) choose(pattern.turned()); }

export function flip() { if (pattern) choose(pattern.flipped()); }

/** Lays the pattern in the hand where it is shown. */
export function stamp() {
	if (pattern && !readOnly) pattern.lay(...corner());
}

/** Shows cells as they will be until the returned function is called. */
export function expect(cells, alive) {
	for (const cell of cells) pending.set(cell.join(), alive);
	paint();
	return () => {
		for (const cell of cells) pending.delete(cell.join());
		paint();
	};
}

/** Whether a pointer is over the board. */
export function covers({ clientX, clientY }) {
	const box = canvas.getBoundingClientRect();
	return clientX >= box.left && clientX < box.right && clientY >= box.top && clientY < box.bottom;
}

/** Takes the cursor to where a pointer is. */
export function hover(event) {
	const [x, y] = cellAt(event);
	cursor = { x: Math.floor(x), y: Math.floor(y) };
	keys = false;
	paint();
}

// ---- where the view is ----

/** Where the middle of a cell is in the window. */
export function placeOf(x, y) {
	const box = canvas.getBoundingClientRect();
	return [box.left + (x + 0.5 - left) * scale, box.top + (y + 0.5 - top) * scale];
}

/** Shows all of the board. */
export function fit() {
	const { clientWidth, clientHeight } = canvas;
	if (!clientWidth || !clientHeight) return;
	scale = Math.min(32, Math.max(least(), Math.min(clientWidth / width, clientHeight / height)));
	left = (width - clientWidth / scale) / 2;
	top = (height - clientHeight / scale) / 2;
	move(0, 0);
	fitted = !view();
}

/** The smallest scale. */
function least() {
	const { clientWidth, clientHeight } = canvas;
	return view() ? Math.max(clientWidth, clientHeight) / SIGHT : Math.min(1, clientWidth / width, clientHeight / height) / 2;
}

/** Zooms by a factor around a place of the canvas, its middle unless named. */
export function zoom(factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
	const next = Math.min(64, Math.max(least(), scale * factor));
	left += x / scale - x / next;
	top += y / scale - y / next;
	scale = next;
	move(0, 0);
}

/** Moves the view by pixels; some of the board stays in sight. */
function move(dx, dy) {
	const [w, h] = [canvas.clientWidth / scale, canvas.clientHeight / scale];
	const within = (at, sight, end) => Math.max(-sight * 0.8, Math.min(end - sight * 0.2, at));
	fitted = false;
	left = within(left - dx / scale, w, width);
	top = within(top - dy / scale, h, height);
	if (view()) follow(w, h);
	paint();
}

/** Takes the window along when what is in sight leaves it. */
function follow(w, h) {
	const inside = (at, sight, from, length, end) => (at >= from || from === 0) && (at + sight <= from + length || from + length >= end);
	if (inside(left, w, part.x, part.width, width) && inside(top, h, part.y, part.height, height)) return;
	const around = (at, sight, length, end) => Math.max(0, Math.min(Math.ceil(end / SIDE) * SIDE - length, Math.round((at + (sight - length) / 2) / SIDE) * SIDE));
	part.x = around(left, w, part.width, width);
	part.y = around(top, h, part.height, height);
	repaint();
	tasks.moved();
}

function cellAt({ clientX, clientY }) {
	const box = canvas.getBoundingClientRect();
	return [left + (clientX - box.left) / scale, top + (clientY - box.top) / scale];
}

/** Where the top left corner of the pattern in the hand is. */
const corner = () => [cursor.x - (pattern.width >> 1), cursor.y - (pattern.height >> 1)];

function resize() {
	const ratio = devicePixelRatio || 1;
	canvas.width = Math.round(canvas.clientWidth * ratio);
	canvas.height = Math.round(canvas.clientHeight * ratio);
	if (fitted) fit();
	else move(0, 0);
	draw(); // now: setting the size cleared it
}

// ---- pointers ----

function pointer(event) {
	const known = pointers.get(event.pointerId);
	if (event.type === 'pointerdown') return press(event);
	if (event.type === 'pointermove') return known ? drag(event, known) : hover(event);
	pointers.delete(event.pointerId);
	if (!pointers.size && stroke) finish(event.type === 'pointerup');
}

function press(event) {
	canvas.setPointerCapture(event.pointerId);
	pointers.set(event.pointerId, event);
	if (pointers.size > 1) return finish(false);
	hover(event);
	if (event.button || readOnly || tool === 'move') return;
	stroke = { cells: new Map(), at: null, started: event.timeStamp };
	if (tool !== 'stamp') extend(event);
}

function drag(event, before) {
	pointers.set(event.pointerId, event);
	if (pointers.size === 2) return pinch(event, before);
	hover(event);
	if (!stroke) move(event.clientX - before.clientX, event.clientY - before.clientY);
	else if (tool !== 'stamp') for (const step of event.getCoalescedEvents?.() ?? [event]) extend(step);
}

function pinch(event, before) {
	const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
	const gap = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY) || 1;
	const box = canvas.getBoundingClientRect();
	move((event.clientX - before.clientX) / 2, (event.clientY - before.clientY) / 2);
	zoom(gap(event) / gap(before), (event.clientX + other.clientX) / 2 - box.left, (event.clientY + other.clientY) / 2 - box.top);
}

function wheel(event) {
	event.preventDefault();
	const box = canvas.getBoundingClientRect();
	if (event.shiftKey) return move(-(event.deltaX || event.deltaY), 0);
	zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), event.clientX - box.left, event.clientY - box.top);
}

/** Draws on to where the pointer is, in a straight line. */
function extend(event) {
	const to = cellAt(event).map(Math.floor);
	const from = stroke.at ?? to;
	const steps = Math.max(1, Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1]));
	for (let n = 0; n <= steps; n++) {
		const cell = from.map((at, k) => Math.round(at + (to[k] - at) * n / steps));
		if (grid?.inside(...cell) && grid.alive(...cell) !== (tool === 'draw')) stroke.cells.set(cell.join(), cell);
	}
	stroke.at = to;
	paint();
	const held = event.pointerType !== 'touch' || event.timeStamp - stroke.started > TOUCH_HOLD;
	if (held && stroke.cells.size > 30) send();
}

function finish(good) {
	if (!stroke) return;
	if (good && tool === 'stamp') stamp();
	else if (good) send();
	stroke = null;
	paint();
}

function send() {
	const cells = [...stroke.cells.values()];
	stroke.cells.clear();
	if (cells.length) tasks.edit(cells, tool === 'draw');
}

// ---- keys ----

/** Moves the cursor by cells, and the view with it. */
export function step(dx, dy, far) {
	const stay = (at, end) => Math.max(0, Math.min(end - 1, at));
	const by = far ? KEY_STEP : 1;
	cursor = { x: stay(cursor.x + dx * by, width), y: stay(cursor.y + dy * by, height) };
	keys = true;
	const beyond = (at, from, sight) => Math.max(0, at + 2 - from - sight) + Math.min(0, at - 1 - from);
	const [x, y] = [beyond(cursor.x, left, canvas.clientWidth / scale), beyond(cursor.y, top, canvas.clientHeight / scale)];
	if (!fitted && (x || y)) move(-x * scale, -y * scale);
	paint();
	say(tasks.describe(cursor.x, cursor.y));
}

/** What Space does: lay the pattern, or turn the cell at the cursor. */
export function act() {
	const { x, y } = cursor;
	keys = true;
	if (pattern) stamp();
	else if (!readOnly && grid?.inside(x, y)) tasks.edit([[x, y]], !grid.alive(x, y));
}

// ---- painting ----

function draw() {
	const ratio = devicePixelRatio || 1;
	const { clientWidth, clientHeight } = canvas;
	context.setTransform(ratio, 0, 0, ratio, 0, 0);
	context.clearRect(0, 0, clientWidth, clientHeight);
	if (!grid || grid.width !== width || grid.height !== height) return;
	fill();
	const [x0, y0] = [Math.max(part.x, Math.floor(left)), Math.max(part.y, Math.floor(top))];
	const x1 = Math.min(width, part.x + part.width, Math.ceil(left + clientWidth / scale));
	const y1 = Math.min(height, part.y + part.height, Math.ceil(top + clientHeight / scale));
	if (x1 <= x0 || y1 <= y0) return;
	const place = (x, y, w = 1, h = 1) => [(x - left) * scale, (y - top) * scale, w * scale, h * scale];
	const sight = [x0, y0, x1 - x0, y1 - y0];
	context.fillStyle = style.board;
	context.fillRect(...place(...sight));
	context.imageSmoothingEnabled = scale * ratio < 1;
	context.drawImage(picture, x0 - part.x, y0 - part.y, sight[2], sight[3], ...place(...sight));
	if (scale >= 7) lines(x0, y0, x1, y1);
	context.strokeStyle = style.rule;
	context.strokeRect(...place(0, 0, width, height));
	overlay(place);
}

/** Paints the tiles that changed into the picture. */
function fill() {
	const target = picture.getContext('2d');
	const cells = grid.cells[grid.now];
	for (let n = 0; n < grid.tiles; n++) {
		if (!grid.dirty[n]) continue;
		grid.dirty[n] = 0;
		const x = n % grid.tilesX * SIDE;
		const y = Math.floor(n / grid.tilesX) * SIDE;
		if (x < part.x || y < part.y || x >= part.x + part.width || y >= part.y + part.height) continue;
		fillTile(cells, grid.marks[n], y * grid.stride + (x >> 5));
		target.putImageData(tile, x - part.x, y - part.y);
	}
}

function fillTile(cells, marks, corner) {
	const { owners, stride } = grid;
	for (let n = 0, at = 0; n < 2 * SIDE; n++, at += 32) {
		const word = cells[corner + (n >> 1) * stride + (n & 1)];
		if (!word) {
			pixels.fill(0, at, at + 32);
			continue;
		}
		for (let bit = 0; bit < 32; bit++) {
			pixels[at + bit] = word >>> bit & 1 ? !marks ? ink : owners ? colours[marks[at + bit]] : pixel(marks[at + bit]) : 0;
		}
	}
}

function lines(x0, y0, x1, y1) {
	const at = (cell, from) => Math.round((cell - from) * scale) + 0.5;
	context.beginPath();
	for (let x = x0; x <= x1; x++) {
		context.moveTo(at(x, left), at(y0, top));
		context.lineTo(at(x, left), at(y1, top));
	}
	for (let y = y0; y <= y1; y++) {
		context.moveTo(at(x0, left), at(y, top));
		context.lineTo(at(x1, left), at(y, top));
	}
	context.lineWidth = 1;
	for (const colour of [style.board, style.rule]) {
		context.strokeStyle = colour;
		context.stroke();
	}
}

/** What is on its way, the pattern in the hand, and the cursor. */
function overlay(place) {
	const cell = (x, y, colour) => {
		context.fillStyle = colour;
		context.fillRect(...place(x, y));
	};
	extra(context, place, style);
	context.globalAlpha = 0.7;
	for (const [key, alive] of pending) cell(...key.split(','), alive ? style.ink : style.board);
	if (stroke) for (const at of stroke.cells.values()) cell(...at, tool === 'draw' ? style.ink : style.board);
	context.globalAlpha = 0.55;
	if (pattern && !readOnly) {
		const [x, y] = corner();
		const colour = fits(x, y) ? style.accent : style.wrong;
		for (const [dx, dy] of pattern.cells) cell(x + dx, y + dy, colour);
	}
	context.globalAlpha = 1;
	if (!keys && document.activeElement !== canvas) return;
	context.lineWidth = 2;
	context.strokeStyle = style.ink;
	const [x, y, w, h] = place(cursor.x, cursor.y);
	context.strokeRect(x - 2, y - 2, w + 4, h + 4);
}

/** Whether nothing is in the way of the pattern in the hand with its corner there. */
function fits(x0, y0) {
	const { torus } = grid;
	if (torus && (pattern.width > width || pattern.height > height)) return false;
	return pattern.cells.every(([dx, dy]) => {
		let [x, y] = [x0 + dx, y0 + dy];
		if (torus) [x, y] = [(x % width + width) % width, (y % height + height) % height];
		return grid.inside(x, y) && !grid.alive(x, y);
	});
}

/** A colour 0xRRGGBB as a pixel of an ImageData. */
function pixel(colour) { return (0xff000000 | (colour & 255) << 16 | colour & 0xff00 | colour >>> 16 & 255) >>> 0; }
