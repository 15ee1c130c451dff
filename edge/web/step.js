/**
 * step.js: computes generations of a Grid. A Follower of mode `edits` needs it: new Follower(ask, { step }).
 * Loaded when a page computes by itself.
 */
const SIDE = 64; // cells of a tile's side

const majority = (a, b, c) => a & b | c & (a ^ b);

/**
 * Computes the next generation of a Grid. A tile is left alone when it and all around it are as two generations ago: then the buffer
 * holds its next generation already.
 */
export function step(grid) {
	const before = grid.changed.slice();
	const all = grid.stale > 0;
	if (all) grid.stale--;
	for (let tile = 0; tile < grid.tiles; tile++) {
		grid.changed[tile] = 0;
		if (!all && !near(grid, before, tile)) continue;
		if (compute(grid, tile)) grid.changed[tile] = grid.dirty[tile] = 1;
		grid.count(tile, 1 - grid.now);
	}
	grid.turn();
}

/** Whether a tile or one beside it is set. */
function near(grid, flags, tile) {
	const [tx, ty] = [tile % grid.tilesX, Math.floor(tile / grid.tilesX)];
	for (let y = ty - 1; y <= ty + 1; y++) {
		for (let x = tx - 1; x <= tx + 1; x++) {
			if (flags[(y + grid.tilesY) % grid.tilesY * grid.tilesX + (x + grid.tilesX) % grid.tilesX]) return true;
		}
	}
	return false;
}

/** Writes the next generation of a tile; true when it is not that of two ago. */
function compute(grid, tile) {
	const [from, to] = [grid.cells[grid.now], grid.cells[1 - grid.now]];
	const { width, height, stride, torus, birth, survive } = grid;
	const marked = grid.owners > 0 || grid.colours > 0;
	const [last, edge] = [width - 1 >> 5, width - 1 & 31]; // word and bit of the last column
	const top = Math.floor(tile / grid.tilesX) * SIDE;
	const first = tile % grid.tilesX * 2;
	const row = (y) => (torus ? (y + height) % height : y < height ? y : -1) * stride; // < 0: none
	const left = (o, i) => i ? from[o + i - 1] >>> 31 : torus ? from[o + last] >>> edge & 1 : 0;
	const right = (o, i) => i < last ? from[o + i + 1] << 31 : torus ? (from[o] & 1) << edge : 0;
	let changed = false;
	for (let y = top; y < Math.min(top + SIDE, height); y++) {
		const up = row(y - 1);
		const middle = row(y);
		const down = row(y + 1);
		for (let i = first; i <= Math.min(first + 1, last); i++) {
			const c = from[middle + i];
			const ml = c << 1 | left(middle, i);
			const mr = c >>> 1 | right(middle, i);
			const uc = up < 0 ? 0 : from[up + i];
			const ul = up < 0 ? 0 : uc << 1 | left(up, i);
			const ur = up < 0 ? 0 : uc >>> 1 | right(up, i);
			const dc = down < 0 ? 0 : from[down + i];
			const dl = down < 0 ? 0 : dc << 1 | left(down, i);
			const dr = down < 0 ? 0 : dc >>> 1 | right(down, i);
			// Adders, a cell a bit: the eight neighbours as bits n0 (ones) to n3 (eights).
			const s0 = ul ^ uc ^ ur;
			const s1 = dl ^ dc ^ dr;
			const c0 = majority(ul, uc, ur);
			const c1 = majority(dl, dc, dr);
			const c2 = ml & mr;
			const c3 = majority(s0, s1, ml ^ mr);
			const p = c0 ^ c1;
			const q = c2 ^ c3;
			const n0 = s0 ^ s1 ^ ml ^ mr;
			const n1 = p ^ q;
			const n2 = c0 & c1 ^ c2 & c3 | p & q;
			const n3 = c0 & c1 & c2 & c3;
			let next = 0;
			for (let n = 1; n <= 8; n++) {
				const when = birth >> n & 1 ? survive >> n & 1 ? -1 : ~c : survive >> n & 1 ? c : 0;
				if (when) next |= when & (n & 1 ? n0 : ~n0) & (n & 2 ? n1 : ~n1) & (n & 4 ? n2 : ~n2) & (n & 8 ? n3 : ~n3);
			}
			if (survive & 1) next |= c & ~(n0 | n1 | n2 | n3);
			if (i === last) next &= 0xffffffff >>> 31 - edge;
			next >>>= 0;
			if (to[middle + i] !== next) {
				to[middle + i] = next;
				changed = true;
			}
			if (marked && next & ~c && born(grid, i * 32, y, next & ~c)) changed = true;
		}
	}
	return changed;
}

/** Gives newborn cells of one word what follows from their parents. */
function born(grid, left, y, cells) {
	let changed = false;
	for (; cells; cells &= cells - 1) {
		const x = left + 31 - Math.clz32(cells & -cells);
		const mark = inherit(grid, x, y);
		if (grid.mark(x, y) === mark) continue;
		grid.setMark(x, y, mark);
		changed = true;
	}
	return changed;
}

/** The middle one of the parents' owners, or the mean of their colours. */
function inherit(grid, x, y) {
	const parents = [];
	for (let dy = -1; dy <= 1; dy++) {
		for (let dx = -1; dx <= 1; dx++) {
			let [px, py] = [x + dx, y + dy];
			if (grid.torus) [px, py] = [(px + grid.width) % grid.width, (py + grid.height) % grid.height];
			if ((dx || dy) && grid.alive(px, py)) parents.push(grid.mark(px, py));
		}
	}
	if (grid.owners) return parents.sort((a, b) => a - b)[parents.length - 1 >> 1];
	const mean = (shift, mask) => Math.floor(parents.reduce((sum, c) => sum + (c >> shift & mask), 0) / parents.length) << shift;
	return grid.colours === 1 ? mean(0, 0xffffff) : mean(16, 255) | mean(8, 255) | mean(0, 255);
}
