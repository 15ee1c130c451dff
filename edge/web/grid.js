// @ts-check
/**
 * grid.js: a grid of Life that follows the frames of a node, checks their hashes, and can compute generations by itself.
 * It knows no screen and no connection. The formats are those of the package grid (delta.go, snapshot.go, hash.go).
 *
 *   const frame = parseFrame(arrayBuffer);                  // what event 'frame' of a Connection brings
 *   const follower = new Follower(() => askForASnapshot()); // asks whenever it lost the thread
 *   follower.take(frame);
 *   follower.grid?.alive(3, 4);
 */

/** Kinds of frames. */
export const Kind = Object.freeze({ snapshot: 1, delta: 2, edits: 3, mark: 4 });

/**
 * A frame of a grid stream. hash: its high and low half. payload is what the grid applies.
 * @typedef {{kind: number, grid: number, epoch: number, game: string, generation: number, hash: [number, number],
 *   payload: Uint8Array}} Frame
 */

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz'; // of game ids
const HEADER = 32; // bytes of a frame before its payload
const SIDE = 64; // cells of a tile's side
const WORDS = 128; // 32-bit words of a tile
const STEP = 0xd1;
const EDITS = 0xd2;
const SNAPSHOT = 0xd3;

/** Reads a binary message; null when it is no grid frame. @param {ArrayBuffer} buffer @returns {Frame|null} */
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
  /** @param {Uint8Array} bytes */
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
    this.bits = 0; // bits of bytes[at] that are used up
  }

  byte() {
    if (this.at >= this.bytes.length) throw new RangeError('grid data is cut off');
    return this.bytes[this.at++];
  }

  /** @param {number} size bytes, little-endian */
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

  /** The next n bits, low bits first. @param {number} n */
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

/** @param {number} word how many bits are set */
export function popcount(word) {
  word -= word >>> 1 & 0x55555555;
  word = (word & 0x33333333) + (word >>> 2 & 0x33333333);
  return Math.imul(word + (word >>> 4) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

const majority = (/** @type {number} */ a, /** @type {number} */ b, /** @type {number} */ c) => a & b | c & (a ^ b);

/**
 * The cells of two generations, this and the one before, as rows of 32-bit words: cell (x, y) is bit x & 31 of word
 * y * stride + (x >> 5). marks hold for each tile of 64 by 64 that ever had a live cell the owners (numbers) or colours
 * (0xRRGGBB) of its cells; that of a dead cell stays until it is born again.
 */
export class Grid {
  generation = 0;
  now = 0; // which of the two buffers is this generation
  #all = 2; // steps that must compute every tile, after changes from outside
  #tile = new Uint32Array(WORDS);

  /**
   * @param {{width: number, height: number, torus?: boolean, birth?: number, survive?: number, owners?: number,
   *   colours?: number}} options birth, survive: bit n for n neighbours, default Life; owners: how many, 0 for none;
   *   colours: 0 none, 1 the mean of whole numbers, 2 of each channel
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
    const two = (/** @type {(n: number) => any} */ make) => [make(this.tiles), make(this.tiles)];
    this.cells = two((n) => new Uint32Array(n * WORDS));
    this.live = two((n) => new Uint16Array(n)); // cells of each tile
    this.high = two((n) => new Uint32Array(n)); // hash of each tile, halves
    this.low = two((n) => new Uint32Array(n));
    this.differs = new Uint8Array(this.tiles); // tiles whose two generations are not the same
    this.dirty = new Uint8Array(this.tiles).fill(1); // tiles to be drawn again: whoever draws clears it
    this.changed = new Uint8Array(this.tiles); // tiles that the last step made other than two generations ago
    /** @type {(Uint8Array|Uint32Array|undefined)[]} */ this.marks = new Array(this.tiles);
  }

  /** The grid that a snapshot says; throws a RangeError when it is none. @param {Uint8Array} bytes */
  static of(bytes) {
    const r = new Reader(bytes);
    if (r.byte() !== SNAPSHOT || r.byte() !== 1) throw new RangeError('not a snapshot');
    const [plane, colours] = [r.byte(), r.byte()];
    const [width, height, birth, survive, owners] = [r.number(4), r.number(4), r.number(2), r.number(2), r.byte()];
    const grid = new Grid({ width, height, torus: plane === 0, birth, survive, owners, colours });
    grid.#fill(r);
    return grid;
  }

  /** @param {number} x @param {number} y */
  alive(x, y) { return this.inside(x, y) && (this.cells[this.now][y * this.stride + (x >> 5)] >>> (x & 31) & 1) === 1; }

  /** @param {number} x @param {number} y */
  inside(x, y) { return x >= 0 && y >= 0 && x < this.width && y < this.height; }

  /** Owner or colour of a cell that lives, or lived. @param {number} x @param {number} y */
  mark(x, y) { return this.marks[(y >> 6) * this.tilesX + (x >> 6)]?.[(y & 63) * SIDE + (x & 63)] ?? 0; }

  /** @param {number} x @param {number} y @param {number} mark */
  setMark(x, y, mark) {
    const tile = (y >> 6) * this.tilesX + (x >> 6);
    (this.marks[tile] ??= new (this.owners ? Uint8Array : Uint32Array)(SIDE * SIDE))[(y & 63) * SIDE + (x & 63)] = mark;
  }

  /** Brings a cell to life, or kills it. @param {number} x @param {number} y @param {boolean} alive @param {number} [mark] */
  set(x, y, alive, mark = 0) {
    if (!this.inside(x, y) || this.alive(x, y) === alive) return;
    this.cells[this.now][y * this.stride + (x >> 5)] ^= 1 << (x & 31);
    if (alive && (this.owners || this.colours)) this.setMark(x, y, mark);
    const tile = (y >> 6) * this.tilesX + (x >> 6);
    this.#count(tile, this.now);
    this.dirty[tile] = 1;
    this.#all = 2;
  }

  get population() { return this.live[this.now].reduce((/** @type {number} */ sum, /** @type {number} */ n) => sum + n, 0); }

  /** Live cells by owner; one sum at 0 without owners. @returns {number[]} */
  populations() {
    if (!this.owners) return [this.population];
    const sums = new Array(this.owners).fill(0);
    this.each((x, y) => sums[this.mark(x, y)]++);
    return sums;
  }

  /** Calls f for every live cell. @param {(x: number, y: number) => void} f */
  each(f) {
    const cells = this.cells[this.now];
    for (let i = 0; i < cells.length; i++) {
      const x = i % this.stride * 32;
      const y = Math.floor(i / this.stride);
      for (let word = cells[i]; word; word &= word - 1) f(x + 31 - Math.clz32(word & -word), y);
    }
  }

  /** The hash of the live cells: its high and low half. @returns {[number, number]} */
  hash() {
    const sum = (/** @type {Uint32Array} */ list) => list.reduce((s, n) => (s + n) >>> 0, 0);
    return [sum(this.high[this.now]), sum(this.low[this.now])];
  }

  // ---- frames ----

  /** Reads this generation, then the one before, into an empty grid. @param {Reader} r */
  #fill(r) {
    this.generation = r.number(8);
    const [now, before] = [this.cells[0], this.cells[1]];
    const tiles = this.#records(r, 0);
    for (const tile of tiles) {
      const corner = Math.floor(tile / this.tilesX) * SIDE * this.stride + tile % this.tilesX * 2;
      for (let at = corner; at < corner + SIDE * this.stride; at += this.stride) before.set(now.subarray(at, at + 2), at);
    }
    for (const tile of new Set([...tiles, ...this.#records(r, 1)])) for (const buffer of [1, 0]) this.#count(tile, buffer);
  }

  /** Applies a delta of one step, or of edits; throws when it does not fit. @param {Uint8Array} bytes */
  applyDelta(bytes) {
    const r = new Reader(bytes);
    const kind = r.byte();
    const generation = r.number(8);
    const step = kind === STEP ? 1 : 0;
    if (kind !== STEP && kind !== EDITS || generation !== this.generation + step) throw new RangeError('another generation');
    const target = step ? 1 - this.now : this.now;
    for (const tile of this.#records(r, target)) {
      this.#count(tile, target);
      this.dirty[tile] = 1;
    }
    if (step) this.#turn();
    this.#all = 2;
  }

  /** Makes the other buffer this generation. */
  #turn() {
    this.now = 1 - this.now;
    this.generation++;
    for (let tile = 0; tile < this.tiles; tile++) this.dirty[tile] |= this.differs[tile];
  }

  /** Reads records up to their end. @param {Reader} r @param {number} target buffer that they change @returns {number[]} tiles */
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

  /** @param {Reader} r @param {number} target @param {number} tile */
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

  /** @param {Reader} r @param {boolean} raw */
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

  /** Takes what is known of a tile from its cells: population, hash, whether the generations differ. @param {number} tile @param {number} buffer */
  #count(tile, buffer) {
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

  // ---- computing ----

  /**
   * Computes one generation. A tile is left alone when it and all around it are as two generations ago: then the buffer
   * holds its next generation already.
   */
  step() {
    const before = this.changed.slice();
    const all = this.#all > 0;
    if (all) this.#all--;
    for (let tile = 0; tile < this.tiles; tile++) {
      this.changed[tile] = 0;
      if (!all && !this.#near(before, tile)) continue;
      if (this.#compute(tile)) this.changed[tile] = this.dirty[tile] = 1;
      this.#count(tile, 1 - this.now);
    }
    this.#turn();
  }

  /** Whether a tile or one beside it is set. @param {Uint8Array} flags @param {number} tile */
  #near(flags, tile) {
    const [tx, ty] = [tile % this.tilesX, Math.floor(tile / this.tilesX)];
    for (let y = ty - 1; y <= ty + 1; y++) {
      for (let x = tx - 1; x <= tx + 1; x++) {
        if (flags[(y + this.tilesY) % this.tilesY * this.tilesX + (x + this.tilesX) % this.tilesX]) return true;
      }
    }
    return false;
  }

  /** Writes the next generation of a tile; true when it is not that of two ago. @param {number} tile */
  #compute(tile) {
    const [from, to] = [this.cells[this.now], this.cells[1 - this.now]];
    const { width, height, stride, torus, birth, survive } = this;
    const marked = this.owners > 0 || this.colours > 0;
    const [last, edge] = [width - 1 >> 5, width - 1 & 31]; // word and bit of the last column
    const top = Math.floor(tile / this.tilesX) * SIDE;
    const first = tile % this.tilesX * 2;
    const row = (/** @type {number} */ y) => (torus ? (y + height) % height : y < height ? y : -1) * stride; // < 0: none
    const left = (/** @type {number} */ o, /** @type {number} */ i) => i ? from[o + i - 1] >>> 31 : torus ? from[o + last] >>> edge & 1 : 0;
    const right = (/** @type {number} */ o, /** @type {number} */ i) => i < last ? from[o + i + 1] << 31 : torus ? (from[o] & 1) << edge : 0;
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
        if (marked && next & ~c && this.#born(i * 32, y, next & ~c)) changed = true;
      }
    }
    return changed;
  }

  /** Gives newborn cells of one word what follows from their parents. @param {number} left @param {number} y @param {number} cells */
  #born(left, y, cells) {
    let changed = false;
    for (; cells; cells &= cells - 1) {
      const x = left + 31 - Math.clz32(cells & -cells);
      const mark = this.#inherit(x, y);
      if (this.mark(x, y) === mark) continue;
      this.setMark(x, y, mark);
      changed = true;
    }
    return changed;
  }

  /** The middle one of the parents' owners, or the mean of their colours. @param {number} x @param {number} y */
  #inherit(x, y) {
    const parents = [];
    for (let dy = -1; dy <= 1; dy++) {
      for (let dx = -1; dx <= 1; dx++) {
        let [px, py] = [x + dx, y + dy];
        if (this.torus) [px, py] = [(px + this.width) % this.width, (py + this.height) % this.height];
        if ((dx || dy) && this.alive(px, py)) parents.push(this.mark(px, py));
      }
    }
    if (this.owners) return parents.sort((a, b) => a - b)[parents.length - 1 >> 1];
    const mean = (/** @type {number} */ shift, /** @type {number} */ mask) => Math.floor(parents.reduce((sum, c) => sum + (c >> shift & mask), 0) / parents.length) << shift;
    return this.colours === 1 ? mean(0, 0xffffff) : mean(16, 255) | mean(8, 255) | mean(0, 255);
  }
}

/**
 * Follows one stream of one grid. What does not fit (a hole, another hash) makes it ask for a snapshot, once, and it takes
 * nothing else until that comes. `mismatches` counts hashes that did not agree, `asked` the snapshots asked for.
 */
export class Follower {
  /** @type {Grid|null} */ grid = null;
  synced = false;
  epoch = 0;
  mismatches = 0;
  asked = 0;
  #resync;

  /** @param {() => void} resync asks the node for a snapshot of this stream @param {{whole?: boolean}} [options] whole: false for a view, whose hash cannot be checked */
  constructor(resync, { whole = true } = {}) {
    this.#resync = resync;
    this.whole = whole;
  }

  /** Takes the next frame; true when the grid is another now. @param {Frame} frame */
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

  /** @param {Frame} frame */
  #start(frame) {
    if (this.synced && this.grid && frame.epoch === this.epoch && frame.generation <= this.grid.generation) return false; // for others
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

  /** Edits and marks name the generation to be at: a follower that computes goes there first. @param {Grid} grid @param {Frame} frame */
  #reach(grid, frame) {
    if (frame.generation < grid.generation || frame.generation > grid.generation + FURTHEST) throw new RangeError('out of reach');
    while (grid.generation < frame.generation) grid.step();
    if (frame.kind === Kind.edits) grid.applyDelta(frame.payload);
  }

  /** @param {Grid} grid @param {Frame} frame */
  #check(grid, frame) {
    const [high, low] = grid.hash();
    if (!this.whole || high === frame.hash[0] && low === frame.hash[1]) return true;
    this.mismatches++;
    this.lose();
    return true;
  }
}

const FURTHEST = 2000; // generations a follower computes to catch up; beyond, a snapshot is cheaper
