/**
 * The board: a grid on a canvas that can be moved, zoomed and drawn on, by mouse, touch and keys. Each cell is a pixel of a
 * picture, of which only tiles that changed are painted anew; the canvas shows the part in sight.
 */
const SIDE = 64;
const KEY_STEP = 8; // cells of an arrow key with Shift
const TOUCH_HOLD = 120; // ms before a stroke of a finger counts: it may be the first of two
const LARGEST = 4096; // side of a board that is shown as a whole; of a larger one there is a window
const WINDOW = 2048; // side of the window, in cells
const SIGHT = 1536; // cells of the window that may be in sight, so that moves rarely leave it

export class Board {
  // Static after construction.
  #canvas;
  #context;
  #tasks; // {edit(cells, alive), lay(pattern, x, y), say(text), describe(x, y), chosen(), moved()}
  #tile = new ImageData(SIDE, SIDE);
  #pixels = new Uint32Array(this.#tile.data.buffer);

  // What is shown.
  #grid = null;
  #width = 1;
  #height = 1;
  #window = { x: 0, y: 0, width: 1, height: 1 }; // the part that the picture holds
  #picture = document.createElement('canvas');
  #colours = new Uint32Array(256); // of owners, as pixels
  #ink = 0;
  #style = {};
  #scheduled = false;

  // Where: CSS pixels a cell, and the cell at the top left corner.
  #scale = 8;
  #left = 0;
  #top = 0;
  #fitted = true; // the whole board is to be seen, whatever the size of the canvas

  // Drawing.
  tool = 'draw';
  pattern = null; // to lay, with tool 'stamp'
  readOnly = true;
  cursor = { x: 0, y: 0 };
  #keys = false; // the cursor is used, so it is shown
  #pointers = new Map();
  #stroke = null; // {cells, at, from, timer} of the pointer that draws
  #pending = new Map(); // 'x,y' -> alive, sent and not yet on the grid

  constructor(canvas, tasks) {
    this.#canvas = canvas;
    this.#context = canvas.getContext('2d');
    this.#tasks = tasks;
    new ResizeObserver(() => this.#resize()).observe(canvas);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.restyle());
    for (const type of ['pointerdown', 'pointermove', 'pointerup', 'pointercancel']) canvas.addEventListener(type, (event) => this.#pointer(event));
    canvas.addEventListener('pointerleave', () => { if (this.pattern && !this.#pointers.size) this.paint(); });
    canvas.addEventListener('contextmenu', (event) => event.preventDefault());
    canvas.addEventListener('wheel', (event) => this.#wheel(event), { passive: false });
    canvas.addEventListener('focus', () => this.paint());
    canvas.addEventListener('blur', () => { this.#keys = false; this.paint(); });
    this.restyle();
  }

  // ---- what others ask for ----

  /** The grid that is shown, null for none. */
  get grid() { return this.#grid; }

  set grid(grid) {
    this.#grid = grid;
    grid?.dirty.fill(1);
    this.paint();
  }

  /** Makes room for a board of this size, before its grid comes. */
  size(width, height) {
    if (width === this.#width && height === this.#height) return;
    [this.#width, this.#height] = [width, height];
    const large = Math.max(width, height) > LARGEST;
    this.#window = { x: 0, y: 0, width: large ? Math.min(WINDOW, width) : width, height: large ? Math.min(WINDOW, height) : height };
    this.#picture.width = this.#window.width;
    this.#picture.height = this.#window.height;
    this.cursor = { x: width >> 1, y: height >> 1 };
    this.fit();
  }

  /** The part of the board that is needed, null for all of it. */
  get window() { return this.#window.width < this.#width || this.#window.height < this.#height ? this.#window : null; }

  /** Colours of owners by number, as 0xRRGGBB. */
  set owners(colours) {
    colours.forEach((colour, number) => { this.#colours[number] = pixel(colour); });
    this.#grid?.dirty.fill(1);
    this.paint();
  }

  say(text) { this.#tasks.say(text); }

  /** Draws at the next frame. */
  paint() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    requestAnimationFrame(() => { this.#scheduled = false; this.#draw(); });
  }

  restyle() {
    const style = getComputedStyle(this.#canvas);
    this.#style = Object.fromEntries(['board', 'rule', 'accent', 'wrong', 'ink'].map((name) => [name, style.getPropertyValue(`--${name}`)]));
    this.#ink = pixel(parseInt(this.#style.accent.slice(1), 16));
    this.#grid?.dirty.fill(1);
    this.paint();
  }

  /** Takes a pattern into the hand, or with null puts it away. */
  choose(pattern) {
    this.pattern = pattern;
    this.tool = pattern ? 'stamp' : 'draw';
    if (pattern) {
      this.#centre();
      this.say(`${pattern.name}, ${pattern.width} by ${pattern.height}: click, or press Space, to lay it.`);
    }
    this.#tasks.chosen();
    this.paint();
  }

  turn() { if (this.pattern) this.choose(this.pattern.turned()); }

  flip() { if (this.pattern) this.choose(this.pattern.flipped()); }

  /** Lays the pattern in the hand where it is shown. */
  stamp() {
    if (!this.pattern || this.readOnly) return;
    const { x, y } = this.#corner();
    this.#tasks.lay(this.pattern, x, y);
  }

  /** Shows cells as they will be until the returned function is called. */
  expect(cells, alive) {
    for (const [x, y] of cells) this.#pending.set(`${x},${y}`, alive);
    this.paint();
    return () => {
      for (const [x, y] of cells) this.#pending.delete(`${x},${y}`);
      this.paint();
    };
  }

  /** Whether a pointer is over the board. */
  covers({ clientX, clientY }) {
    const box = this.#canvas.getBoundingClientRect();
    return clientX >= box.left && clientX < box.right && clientY >= box.top && clientY < box.bottom;
  }

  /** Takes the cursor to where a pointer is. */
  hover(event) {
    const { x, y } = this.#cellAt(event);
    this.cursor = { x: Math.floor(x), y: Math.floor(y) };
    this.#keys = false;
    this.paint();
  }

  // ---- where the view is ----

  /** Where the middle of a cell is in the window. */
  placeOf(x, y) {
    const box = this.#canvas.getBoundingClientRect();
    return [box.left + (x + 0.5 - this.#left) * this.#scale, box.top + (y + 0.5 - this.#top) * this.#scale];
  }

  fit() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    if (!width || !height) return;
    this.#scale = Math.min(32, Math.max(this.#least, Math.min(width / this.#width, height / this.#height)));
    this.#left = (this.#width - width / this.#scale) / 2;
    this.#top = (this.#height - height / this.#scale) / 2;
    this.#move(0, 0);
    this.#fitted = !this.window;
  }

  /** The smallest scale. */
  get #least() {
    const { clientWidth, clientHeight } = this.#canvas;
    return this.window ? Math.max(clientWidth, clientHeight) / SIGHT : Math.min(1, clientWidth / this.#width, clientHeight / this.#height) / 2;
  }

  /** Zooms by a factor around a place of the canvas, its middle unless named. */
  zoom(factor, x = this.#canvas.clientWidth / 2, y = this.#canvas.clientHeight / 2) {
    const scale = Math.min(64, Math.max(this.#least, this.#scale * factor));
    this.#left += x / this.#scale - x / scale;
    this.#top += y / this.#scale - y / scale;
    this.#scale = scale;
    this.#move(0, 0);
  }

  /** Moves the view by pixels; some of the board stays in sight. */
  #move(dx, dy) {
    const { clientWidth, clientHeight } = this.#canvas;
    this.#fitted = false;
    const within = (at, sight, size) => Math.max(-sight * 0.8, Math.min(size - sight * 0.2, at));
    this.#left = within(this.#left - dx / this.#scale, clientWidth / this.#scale, this.#width);
    this.#top = within(this.#top - dy / this.#scale, clientHeight / this.#scale, this.#height);
    if (this.window) this.#follow(clientWidth / this.#scale, clientHeight / this.#scale);
    this.paint();
  }

  /** Takes the window along when what is in sight leaves it. */
  #follow(width, height) {
    const window = this.#window;
    const inside = (at, sight, from, size, end) => (at >= from || from === 0) && (at + sight <= from + size || from + size >= end);
    if (inside(this.#left, width, window.x, window.width, this.#width) && inside(this.#top, height, window.y, window.height, this.#height)) return;
    const around = (at, sight, size, end) => Math.max(0, Math.min(end - size, Math.round((at + (sight - size) / 2) / SIDE) * SIDE));
    window.x = around(this.#left, width, window.width, Math.ceil(this.#width / SIDE) * SIDE);
    window.y = around(this.#top, height, window.height, Math.ceil(this.#height / SIDE) * SIDE);
    this.#grid?.dirty.fill(1);
    this.#tasks.moved();
  }

  #centre() {
    const { clientWidth, clientHeight } = this.#canvas;
    this.cursor = { x: Math.floor(this.#left + clientWidth / this.#scale / 2), y: Math.floor(this.#top + clientHeight / this.#scale / 2) };
  }

  #cellAt({ clientX, clientY }) {
    const box = this.#canvas.getBoundingClientRect();
    return { x: this.#left + (clientX - box.left) / this.#scale, y: this.#top + (clientY - box.top) / this.#scale };
  }

  /** Where the top left corner of the pattern in the hand is. */
  #corner() { return { x: this.cursor.x - (this.pattern.width >> 1), y: this.cursor.y - (this.pattern.height >> 1) }; }

  #resize() {
    const ratio = devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this.#canvas;
    this.#canvas.width = Math.round(clientWidth * ratio);
    this.#canvas.height = Math.round(clientHeight * ratio);
    if (this.#fitted) this.fit();
    else this.#move(0, 0);
    this.#draw(); // now: setting the size cleared it
  }

  // ---- pointers ----

  #pointer(event) {
    const known = this.#pointers.get(event.pointerId);
    if (event.type === 'pointerdown') return this.#down(event);
    if (event.type === 'pointermove' && known) return this.#drag(event, known);
    if (event.type === 'pointermove') return this.hover(event);
    this.#pointers.delete(event.pointerId);
    if (!this.#pointers.size && this.#stroke) this.#finish(event.type === 'pointerup');
  }

  #down(event) {
    this.#canvas.setPointerCapture(event.pointerId);
    this.#pointers.set(event.pointerId, event);
    if (this.#pointers.size > 1) return this.#finish(false);
    this.hover(event);
    if (event.button || this.readOnly || this.tool === 'move') return;
    this.#stroke = { cells: new Map(), at: null, from: event, started: event.timeStamp };
    if (this.tool !== 'stamp') this.#extend(event);
  }

  #drag(event, before) {
    this.#pointers.set(event.pointerId, event);
    if (this.#pointers.size === 2) return this.#pinch(event, before);
    this.hover(event);
    if (!this.#stroke) this.#move(event.clientX - before.clientX, event.clientY - before.clientY);
    else if (this.tool !== 'stamp') for (const step of event.getCoalescedEvents?.() ?? [event]) this.#extend(step);
  }

  #pinch(event, before) {
    const other = [...this.#pointers].find(([id]) => id !== event.pointerId)[1];
    const gap = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY) || 1;
    const box = this.#canvas.getBoundingClientRect();
    this.#move((event.clientX - before.clientX) / 2, (event.clientY - before.clientY) / 2);
    this.zoom(gap(event) / gap(before), (event.clientX + other.clientX) / 2 - box.left, (event.clientY + other.clientY) / 2 - box.top);
  }

  #wheel(event) {
    event.preventDefault();
    const box = this.#canvas.getBoundingClientRect();
    if (event.shiftKey) return this.#move(-(event.deltaX || event.deltaY), 0);
    this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), event.clientX - box.left, event.clientY - box.top);
  }

  /** Draws on to where the pointer is, in a straight line. */
  #extend(event) {
    const { x, y } = this.#cellAt(event);
    const to = [Math.floor(x), Math.floor(y)];
    const stroke = this.#stroke;
    const from = stroke.at ?? to;
    const steps = Math.max(1, Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1]));
    for (let n = 0; n <= steps; n++) {
      const cell = [Math.round(from[0] + (to[0] - from[0]) * n / steps), Math.round(from[1] + (to[1] - from[1]) * n / steps)];
      if (this.#grid?.inside(...cell) && this.#grid.alive(...cell) !== (this.tool === 'draw')) stroke.cells.set(cell.join(), cell);
    }
    stroke.at = to;
    this.paint();
    const held = event.pointerType !== 'touch' || event.timeStamp - stroke.started > TOUCH_HOLD;
    if (held && stroke.cells.size > 30) this.#send();
  }

  #finish(good) {
    const stroke = this.#stroke;
    if (!stroke) return;
    if (good && this.tool === 'stamp') this.stamp();
    else if (good) this.#send();
    this.#stroke = null;
    this.paint();
  }

  #send() {
    const cells = [...this.#stroke.cells.values()];
    this.#stroke.cells.clear();
    if (cells.length) this.#tasks.edit(cells, this.tool === 'draw');
  }

  // ---- keys ----

  /** Moves the cursor by cells, and the view with it. */
  step(dx, dy, far) {
    const stay = (at, size) => Math.max(0, Math.min(size - 1, at));
    const by = far ? KEY_STEP : 1;
    this.cursor = { x: stay(this.cursor.x + dx * by, this.#width), y: stay(this.cursor.y + dy * by, this.#height) };
    this.#keys = true;
    const { clientWidth, clientHeight } = this.#canvas;
    const beyond = (at, from, sight) => Math.max(0, at + 2 - from - sight) + Math.min(0, at - 1 - from);
    const [x, y] = [beyond(this.cursor.x, this.#left, clientWidth / this.#scale), beyond(this.cursor.y, this.#top, clientHeight / this.#scale)];
    if (!this.#fitted && (x || y)) this.#move(-x * this.#scale, -y * this.#scale);
    this.paint();
    this.say(this.#tasks.describe(this.cursor.x, this.cursor.y));
  }

  /** What Space does: lay the pattern, or turn the cell at the cursor. */
  act() {
    const { x, y } = this.cursor;
    this.#keys = true;
    if (this.pattern) this.stamp();
    else if (!this.readOnly && this.#grid?.inside(x, y)) this.#tasks.edit([[x, y]], !this.#grid.alive(x, y));
  }

  // ---- painting ----

  #draw() {
    const [context, grid, scale] = [this.#context, this.#grid, this.#scale];
    const ratio = devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this.#canvas;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, clientWidth, clientHeight);
    if (!grid || grid.width !== this.#width || grid.height !== this.#height) return;
    this.#repaint(grid);
    const window = this.#window;
    const [x0, y0] = [Math.max(window.x, Math.floor(this.#left)), Math.max(window.y, Math.floor(this.#top))];
    const x1 = Math.min(grid.width, window.x + window.width, Math.ceil(this.#left + clientWidth / scale));
    const y1 = Math.min(grid.height, window.y + window.height, Math.ceil(this.#top + clientHeight / scale));
    if (x1 <= x0 || y1 <= y0) return;
    const place = (x, y, w = 1, h = 1) => [(x - this.#left) * scale, (y - this.#top) * scale, w * scale, h * scale];
    context.fillStyle = this.#style.board;
    context.fillRect(...place(x0, y0, x1 - x0, y1 - y0));
    context.imageSmoothingEnabled = scale * ratio < 1;
    context.drawImage(this.#picture, x0 - window.x, y0 - window.y, x1 - x0, y1 - y0, ...place(x0, y0, x1 - x0, y1 - y0));
    if (scale >= 7) this.#lines(x0, y0, x1, y1);
    context.strokeStyle = this.#style.rule;
    context.strokeRect(...place(0, 0, grid.width, grid.height));
    this.#overlay(context, place);
  }

  /** Paints the tiles that changed into the picture. */
  #repaint(grid) {
    const target = this.#picture.getContext('2d');
    const cells = grid.cells[grid.now];
    const pixels = this.#pixels;
    const window = this.#window;
    for (let tile = 0; tile < grid.tiles; tile++) {
      if (!grid.dirty[tile]) continue;
      grid.dirty[tile] = 0;
      const left = tile % grid.tilesX * SIDE;
      const top = Math.floor(tile / grid.tilesX) * SIDE;
      if (left < window.x || top < window.y || left >= window.x + window.width || top >= window.y + window.height) continue;
      const marks = grid.marks[tile];
      for (let n = 0; n < 2 * SIDE; n++) {
        const word = cells[(top + (n >> 1)) * grid.stride + (left >> 5) + (n & 1)];
        const at = n * 32;
        if (!word) {
          pixels.fill(0, at, at + 32);
          continue;
        }
        for (let bit = 0; bit < 32; bit++) {
          pixels[at + bit] = word >>> bit & 1 ? !marks ? this.#ink : grid.owners ? this.#colours[marks[at + bit]] : pixel(marks[at + bit]) : 0;
        }
      }
      target.putImageData(this.#tile, left - window.x, top - window.y);
    }
  }

  #lines(x0, y0, x1, y1) {
    const context = this.#context;
    const at = (cell, from) => Math.round((cell - from) * this.#scale) + 0.5;
    context.beginPath();
    for (let x = x0; x <= x1; x++) {
      context.moveTo(at(x, this.#left), at(y0, this.#top));
      context.lineTo(at(x, this.#left), at(y1, this.#top));
    }
    for (let y = y0; y <= y1; y++) {
      context.moveTo(at(x0, this.#left), at(y, this.#top));
      context.lineTo(at(x1, this.#left), at(y, this.#top));
    }
    context.lineWidth = 1;
    context.strokeStyle = this.#style.board;
    context.stroke();
    context.strokeStyle = this.#style.rule;
    context.stroke();
  }

  /** What is on its way, the pattern in the hand, and the cursor. */
  #overlay(context, place) {
    const cell = (x, y, colour) => {
      context.fillStyle = colour;
      context.fillRect(...place(x, y));
    };
    context.globalAlpha = 0.7;
    for (const [key, alive] of this.#pending) cell(...key.split(','), alive ? this.#style.ink : this.#style.board);
    if (this.#stroke) for (const [x, y] of this.#stroke.cells.values()) cell(x, y, this.tool === 'draw' ? this.#style.ink : this.#style.board);
    context.globalAlpha = 0.55;
    if (this.pattern && !this.readOnly) {
      const { x, y } = this.#corner();
      const free = this.fits(this.pattern, x, y);
      for (const [dx, dy] of this.pattern.cells) cell(x + dx, y + dy, free ? this.#style.accent : this.#style.wrong);
    }
    context.globalAlpha = 1;
    if (!this.#keys && document.activeElement !== this.#canvas) return;
    context.lineWidth = 2;
    context.strokeStyle = this.#style.ink;
    const [x, y, w, h] = place(this.cursor.x, this.cursor.y);
    context.strokeRect(x - 2, y - 2, w + 4, h + 4);
  }

  /** Whether nothing is in the way of a pattern with its corner there. */
  fits(pattern, left, top) {
    const { width, height, torus } = this.#grid;
    if (torus && (pattern.width > width || pattern.height > height)) return false;
    return pattern.cells.every(([dx, dy]) => {
      let [x, y] = [left + dx, top + dy];
      if (torus) [x, y] = [(x % width + width) % width, (y % height + height) % height];
      return this.#grid.inside(x, y) && !this.#grid.alive(x, y);
    });
  }
}

/** A colour 0xRRGGBB as a pixel of an ImageData. */
function pixel(colour) { return (0xff000000 | (colour & 255) << 16 | colour & 0xff00 | colour >>> 16 & 255) >>> 0; }
