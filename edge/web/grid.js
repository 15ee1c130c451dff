/**
 * grid.js: a grid of Life that follows the frames of a node and checks their hashes; step.js computes generations. It knows no
 * screen and no connection. The formats are those of the package grid (delta.go, snapshot.go, hash.go).
 */

/** Kinds of frames. */
export const Kind = Object.freeze({ snapshot: 1, delta: 2, edits: 3, mark: 4 });

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz'; // of game ids
const HEADER = 32; // bytes of a frame before its payload
const SIDE = 64; // cells of a tile's side
const WORDS = 128; // 32-bit words of a tile
const STEP = 0xd1;
const EDITS = 0xd2;
const SNAPSHOT = 0xd3;

/**
 * Reads a binary message into {kind, game, grid, epoch, generation, hash: [high, low], payload}; null when it is no grid frame.
 * The payload is what the grid applies, a part of the buffer.
 */
export function parseFrame(buffer) {
	if (buffer.byteLength < HEADER) return null;
	const view = new DataView(buffer);
	const kind = view.getUint8(0);
	if (kind < Kind.snapshot || kind > Kind.mark) return null;
	let id = view.getBigUint64(8, true);
	let game = '';
	for (let n = 0; n < 10; n++, id >>= 5n) game = ALPHABET[Number(id & 31n)] + game;
	return {
		kind, game, grid: view.getUint16(2, true), epoch: view.getUint32(4, true), generation: Number(view.getBigUint64(16, true)),
		hash: [view.getUint32(28, true), view.getUint32(24, true)], payload: new Uint8Array(buffer, HEADER),
	};
}

/** Takes numbers off a Uint8Array; throws a RangeError behind its end. */
class Reader {
	constructor(bytes) {
		this.bytes = bytes;
		this.at = 0;
		this.bits = 0; // bits of bytes[at] that are used up
	}

	byte() {
		if (this.at >= this.bytes.length) throw new RangeError('grid data is cut off');
		return this.bytes[this.at++];
	}

	number(size) {
		let value = 0;
		for (let n = 0, unit = 1; n < size; n++, unit *= 256) value += this.byte() * unit;
		return value;
	}

	varint() {
		let value = 0;
		for (let unit = 1; unit < 2 ** 40; unit *= 128) {
			const byte = this.byte();
			value += (byte & 127) * unit;
			if (byte < 128) return value;
		}
		throw new RangeError('a number is too long');
	}

	/** The next n bits, low bits first. */
	packed(n) {
		let value = 0;
		for (let have = 0; have < n;) {
			if (this.at >= this.bytes.length) throw new RangeError('grid data is cut off');
			const take = Math.min(8 - this.bits, n - have);
			value |= (this.bytes[this.at] >> this.bits & (1 << take) - 1) << have;
			have += take;
			this.bits += take;
			if (this.bits === 8) this.align();
		}
		return value;
	}

	/** Goes on at a whole byte. */
	align() {
		if (this.bits) this.at++;
		this.bits = 0;
	}
}

export function popcount(word) {
	word -= word >>> 1 & 0x55555555;
	word = (word & 0x33333333) + (word >>> 2 & 0x33333333);
	return Math.imul(word + (word >>> 4) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/**
 * The cells of two generations, this and the one before, as rows of 32-bit words: cell (x, y) is bit x & 31 of word
 * y * stride + (x >> 5). marks hold for each tile of 64 by 64 that ever had a live cell the owners (numbers) or colours
 * (0xRRGGBB) of its cells; that of a dead cell stays until it is born again.
 */
export class Grid {
	generation = 0;
	now = 0; // which of the two buffers is this generation
	stale = 2; // steps that must compute every tile, after changes from outside
	#tile = new Uint32Array(WORDS);

	/**
	 * birth, survive: bit n for n neighbours, default Life; owners: how many, 0 for none; colours: 0 none, 1 the mean of whole
	 * numbers, 2 of each channel.
	 */
	constructor({ width, height, torus = true, birth = 1 << 3, survive = 1 << 2 | 1 << 3, owners = 0, colours = 0 }) {
		this.width = width;
		this.height = height;
		this.torus = torus;
		this.birth = birth;
		this.survive = survive;
		this.owners = owners;
		this.colours = colours;
		this.tilesX = Math.ceil(width / SIDE);
		this.tilesY = Math.ceil(height / SIDE);
		this.tiles = this.tilesX * this.tilesY;
		this.stride = this.tilesX * 2;
		const two = (make) => [make(this.tiles), make(this.tiles)];
		this.cells = two((n) => new Uint32Array(n * WORDS));
		this.live = two((n) => new Uint16Array(n)); // cells of each tile
		this.high = two((n) => new Uint32Array(n)); // hash of each tile, halves
		this.low = two((n) => new Uint32Array(n));
		this.differs = new Uint8Array(this.tiles); // tiles whose two generations are not the same
		this.dirty = new Uint8Array(this.tiles).fill(1); // tiles to be drawn again: whoever draws clears it
		this.changed = new Uint8Array(this.tiles); // tiles that the last step made other than two generations ago
		this.marks = new Array(this.tiles);
	}

	/** The grid that a snapshot says; throws a RangeError when it is none. */
	static of(bytes) {
		const r = new Reader(bytes);
		if (r.byte() !== SNAPSHOT || r.byte() !== 1) throw new RangeError('not a snapshot');
		const [plane, colours] = [r.byte(), r.byte()];
		const [width, height, birth, survive, owners] = [r.number(4), r.number(4), r.number(2), r.number(2), r.byte()];
		const grid = new Grid({ width, height, torus: plane === 0, birth, survive, owners, colours });
		grid.#fill(r);
		return grid;
	}

	alive(x, y) { return this.inside(x, y) && (this.cells[this.now][y * this.stride + (x >> 5)] >>> (x & 31) & 1) === 1; }

	inside(x, y) { return x >= 0 && y >= 0 && x < this.width && y < this.height; }

	/** Owner or colour of a cell that lives, or lived. */
	mark(x, y) { return this.marks[(y >> 6) * this.tilesX + (x >> 6)]?.[(y & 63) * SIDE + (x & 63)] ?? 0; }

	setMark(x, y, mark) {
		const tile = (y >> 6) * this.tilesX + (x >> 6);
		(this.marks[tile] ??= new (this.owners ? Uint8Array : Uint32Array)(SIDE * SIDE))[(y & 63) * SIDE + (x & 63)] = mark;
	}

	/** Brings a cell to life, or kills it. */
	set(x, y, alive, mark = 0) {
		if (!this.inside(x, y) || this.alive(x, y) === alive) return;
		this.cells[this.now][y * this.stride + (x >> 5)] ^= 1 << (x & 31);
		if (alive && (this.owners || this.colours)) this.setMark(x, y, mark);
		const tile = (y >> 6) * this.tilesX + (x >> 6);
		this.count(tile, this.now);
		this.dirty[tile] = 1;
		this.stale = 2;
	}

	get population() { return this.live[this.now].reduce((sum, n) => sum + n, 0); }

	/** Live cells by owner; one sum at 0 without owners. */
	populations() {
		if (!this.owners) return [this.population];
		const sums = new Array(this.owners).fill(0);
		this.each((x, y) => sums[this.mark(x, y)]++);
		return sums;
	}

	/** Calls f for every live cell. */
	each(f) {
		const cells = this.cells[this.now];
		for (let i = 0; i < cells.length; i++) {
			const x = i % this.stride * 32;
			const y = Math.floor(i / this.stride);
			for (let word = cells[i]; word; word &= word - 1) f(x + 31 - Math.clz32(word & -word), y);
		}
	}

	/** The hash of the live cells: its high and low half. */
	hash() {
		const sum = (list) => list.reduce((s, n) => (s + n) >>> 0, 0);
		return [sum(this.high[this.now]), sum(this.low[this.now])];
	}

	// ---- frames ----

	/** Reads this generation, then the one before, into an empty grid. */
	#fill(r) {
		this.generation = r.number(8);
		const [now, before] = [this.cells[0], this.cells[1]];
		const tiles = this.#records(r, 0);
		for (const tile of tiles) {
			const corner = Math.floor(tile / this.tilesX) * SIDE * this.stride + tile % this.tilesX * 2;
			for (let at = corner; at < corner + SIDE * this.stride; at += this.stride) before.set(now.subarray(at, at + 2), at);
		}
		for (const tile of new Set([...tiles, ...this.#records(r, 1)])) for (const buffer of [1, 0]) this.count(tile, buffer);
	}

	/** Applies a delta of one step, or of edits; throws when it does not fit. */
	applyDelta(bytes) {
		const r = new Reader(bytes);
		const kind = r.byte();
		const generation = r.number(8);
		const step = kind === STEP ? 1 : 0;
		if (kind !== STEP && kind !== EDITS || generation !== this.generation + step) throw new RangeError('another generation');
		const target = step ? 1 - this.now : this.now;
		for (const tile of this.#records(r, target)) {
			this.count(tile, target);
			this.dirty[tile] = 1;
		}
		if (step) this.turn();
		this.stale = 2;
	}

	/** Makes the other buffer this generation. */
	turn() {
		this.now = 1 - this.now;
		this.generation++;
		for (let tile = 0; tile < this.tiles; tile++) this.dirty[tile] |= this.differs[tile];
	}

	/** Reads records up to their end. */
	#records(r, target) {
		const tiles = [];
		for (let tile = -1; ;) {
			const gap = r.varint();
			if (gap === 0) return tiles;
			tile += gap;
			if (tile >= this.tiles) throw new RangeError('a tile beyond the grid');
			this.#record(r, target, tile);
			tiles.push(tile);
		}
	}

	#record(r, target, tile) {
		const tag = r.byte();
		const content = this.#content(r, (tag & 2) !== 0);
		const [cells, other] = [this.cells[target], this.cells[1 - target]];
		const form = tag >> 2 & 3;
		const size = this.owners ? Math.ceil(Math.log2(this.owners)) : 24;
		const one = form === 1 ? r.number(this.owners ? 1 : 3) : 0;
		const [left, top] = [tile % this.tilesX * SIDE, Math.floor(tile / this.tilesX) * SIDE];
		for (let n = 0; n < WORDS; n++) {
			const at = (top + (n >> 1)) * this.stride + (left >> 5) + (n & 1);
			const word = cells[at] = tag & 1 ? content[n] : content[n] ^ cells[at];
			if (!form) continue;
			for (let rest = tag & 16 ? word : word & ~other[at]; rest; rest &= rest - 1) {
				const x = left + (n & 1) * 32 + 31 - Math.clz32(rest & -rest);
				this.setMark(x, top + (n >> 1), form === 1 ? one : r.packed(size));
			}
		}
		r.align();
	}

	#content(r, raw) {
		const tile = this.#tile.fill(0);
		if (raw) {
			for (let n = 0; n < WORDS; n++) tile[n] = r.number(4);
			return tile;
		}
		const rows = [r.number(4), r.number(4)];
		const set = [];
		for (let y = 0; y < SIDE; y++) if (rows[y >> 5] >>> (y & 31) & 1) set.push([y, r.byte()]);
		for (const [y, mask] of set) {
			for (let n = 0; n < 8; n++) if (mask >> n & 1) tile[2 * y + (n >> 2)] |= r.byte() << 8 * (n & 3);
		}
		return tile;
	}

	/** Takes what is known of a tile from its cells: population, hash, whether the generations differ. */
	count(tile, buffer) {
		const cells = this.cells[buffer];
		const other = this.cells[1 - buffer];
		const top = Math.floor(tile / this.tilesX) * SIDE;
		const first = tile % this.tilesX * 2;
		let live = 0;
		let high = 0;
		let low = 0;
		let differs = 0;
		for (let n = 0; n < WORDS; n++) {
			const y = top + (n >> 1);
			const i = first + (n & 1);
			const word = cells[y * this.stride + i];
			differs |= word ^ other[y * this.stride + i];
			if (!word) continue;
			live += popcount(word);
			const key = Math.imul(y, 0x9e3779b1) + Math.imul(i, 0x85ebca77);
			let x = Math.imul(word, 0xc2b2ae3d) ^ key;
			x = Math.imul(x ^ x >>> 15, 0x2c1b3c6d);
			x = Math.imul(x ^ x >>> 13, 0x297a2d39);
			const b = Math.imul(x ^ key, 0x94d049bb);
			high += (x ^ x >>> 16) >>> 0;
			low += (b ^ b >>> 15) >>> 0;
		}
		this.live[buffer][tile] = live;
		this.high[buffer][tile] = high; // modulo 2^32
		this.low[buffer][tile] = low;
		this.differs[tile] = differs ? 1 : 0;
	}
}

/**
 * Follows one stream of one grid. What does not fit (a hole, another hash) makes it ask for a snapshot, once, and it takes
 * nothing else until that comes. `mismatches` counts hashes that did not agree, `asked` the snapshots asked for.
 */
export class Follower {
	grid = null;
	synced = false;
	epoch = 0;
	mismatches = 0;
	asked = 0;
	#resync;

	/** resync asks for a snapshot of this stream; whole: false for a view, whose hash cannot be checked; step: that of step.js, to compute. */
	constructor(resync, { whole = true, step = null } = {}) {
		this.#resync = resync;
		this.whole = whole;
		this.step = step;
	}

	/** Takes the next frame; true when the grid is another now. */
	take(frame) {
		if (frame.kind === Kind.snapshot) return this.#start(frame);
		const grid = this.grid;
		if (!this.synced || !grid) return false;
		try {
			if (frame.epoch !== this.epoch) throw new RangeError('another epoch');
			if (frame.kind === Kind.delta) grid.applyDelta(frame.payload);
			else this.#reach(grid, frame);
		} catch (error) {
			if (!(error instanceof RangeError)) throw error;
			this.lose();
			return false;
		}
		return this.#check(grid, frame);
	}

	/** Asks for a snapshot. */
	lose() {
		this.synced = false;
		this.asked++;
		this.#resync();
	}

	#start(frame) {
		// It may be for others. Not that of a view: it may begin another one, and every frame behind it is of that.
		if (this.whole && this.synced && this.grid && frame.epoch === this.epoch && frame.generation <= this.grid.generation) return false;
		try {
			this.grid = Grid.of(frame.payload);
		} catch {
			this.lose();
			return false;
		}
		this.synced = true;
		this.epoch = frame.epoch;
		return this.#check(this.grid, frame);
	}

	/** Edits and marks name the generation to be at: a follower that computes goes there first. */
	#reach(grid, frame) {
		const ahead = frame.generation - grid.generation;
		if (ahead < 0 || ahead > (this.step ? FURTHEST : 0)) throw new RangeError('out of reach');
		while (grid.generation < frame.generation) this.step(grid);
		if (frame.kind === Kind.edits) grid.applyDelta(frame.payload);
	}

	#check(grid, frame) {
		const [high, low] = grid.hash();
		if (!this.whole || high === frame.hash[0] && low === frame.hash[1]) return true;
		this.mismatches++;
		this.lose();
		return true;
	}
}

const FURTHEST = 2000; // generations a follower computes to catch up; beyond, a snapshot is cheaper
