// @ts-check
/**
 * A small Life for decoration: Gosper's glider gun, drawn on a canvas a few times a second. It stands still when
 * the player asked for less motion, and costs nothing while the page or the canvas cannot be seen.
 */

const GUN = [
  '........................#...........',
  '......................#.#...........',
  '............##......##............##',
  '...........#...#....##............##',
  '##........#.....#...##..............',
  '##........#...#.##....#.#...........',
  '..........#.....#.......#...........',
  '...........#...#....................',
  '............##......................',
];
const FRAME = 1000 / 8; // ms a generation
const MARGIN = 16; // cells beyond the canvas, where gliders leave without being seen to crash
const WARM_UP = 720; // generations before the first picture, so that gliders are under way

export class LifeCanvas {
  #canvas;
  #cell;
  #left;
  #top;
  #width = 0;
  #height = 0;
  #cells = new Uint8Array(0);
  #generation = 0;
  #running = false;
  #seen = true;
  #last = 0;
  #still = matchMedia('(prefers-reduced-motion: reduce)');

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {{cell?: number, left?: number, top?: number}} [options] cell: pixels a cell; left, top: where the gun
   *   stands, in cells
   */
  constructor(canvas, { cell = 8, left = 2, top = 3 } = {}) {
    this.#canvas = canvas;
    this.#cell = cell;
    this.#left = left;
    this.#top = top;
    new ResizeObserver(() => this.#resize()).observe(canvas);
    new IntersectionObserver(([entry]) => { this.#seen = entry.isIntersecting; this.#wake(); }).observe(canvas);
    document.addEventListener('visibilitychange', () => this.#wake());
    this.#still.addEventListener('change', () => this.#wake());
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#draw());
  }

  #resize() {
    const { clientWidth, clientHeight } = this.#canvas;
    if (!clientWidth || !clientHeight) return;
    const ratio = Math.min(2, devicePixelRatio || 1);
    this.#canvas.width = Math.round(clientWidth * ratio);
    this.#canvas.height = Math.round(clientHeight * ratio);
    this.#canvas.getContext('2d')?.scale(ratio, ratio);
    const width = Math.ceil(clientWidth / this.#cell) + MARGIN;
    const height = Math.ceil(clientHeight / this.#cell) + MARGIN;
    if (width !== this.#width || height !== this.#height) this.#restart(Math.max(width, GUN[0].length + 8), Math.max(height, GUN.length + 8));
    this.#draw();
    this.#wake();
  }

  /** @param {number} width @param {number} height */
  #restart(width, height) {
    this.#width = width;
    this.#height = height;
    this.#cells = new Uint8Array(width * height);
    this.#generation = 0;
    GUN.forEach((row, y) => [...row].forEach((mark, x) => {
      const [cx, cy] = [x + this.#left, y + this.#top];
      if (mark === '#' && cx < width && cy < height) this.#cells[cy * width + cx] = 1;
    }));
    for (let n = 0; n < WARM_UP; n++) this.#step();
  }

  #wake() {
    const run = this.#seen && !document.hidden && !this.#still.matches && this.#width > 0;
    if (run === this.#running) return;
    this.#running = run;
    if (run) requestAnimationFrame((now) => this.#frame(now));
  }

  /** @param {number} now */
  #frame(now) {
    if (!this.#running) return;
    if (now - this.#last >= FRAME) {
      this.#last = now;
      this.#step();
      this.#draw();
    }
    requestAnimationFrame((next) => this.#frame(next));
  }

  #step() {
    const [width, height, cells] = [this.#width, this.#height, this.#cells];
    const next = new Uint8Array(cells.length);
    for (let y = 1; y < height - 1; y++) {
      for (let x = 1; x < width - 1; x++) {
        const at = y * width + x;
        const around = cells[at - width - 1] + cells[at - width] + cells[at - width + 1] + cells[at - 1] + cells[at + 1]
          + cells[at + width - 1] + cells[at + width] + cells[at + width + 1];
        next[at] = around === 3 || (around === 2 && cells[at]) ? 1 : 0;
      }
    }
    this.#cells = next;
    if (++this.#generation % 30 === 0) this.#sweep();
  }

  /** Takes away the gliders that left the picture, cut where a gap lets no half of one stay behind. */
  #sweep() {
    const [width, height, cells] = [this.#width, this.#height, this.#cells];
    const empty = (/** @type {number} */ from, /** @type {number} */ stride, /** @type {number} */ count) => {
      for (let n = 0; n < count; n++) if (cells[from + n * stride]) return false;
      return true;
    };
    let y = height - MARGIN + 2;
    while (y < height - 1 && !(empty(y * width, 1, width) && empty((y + 1) * width, 1, width))) y++;
    cells.fill(0, y * width);
    let x = width - MARGIN + 2;
    while (x < width - 1 && !(empty(x, width, height) && empty(x + 1, width, height))) x++;
    for (; x < width; x++) for (let row = 0; row < height; row++) cells[row * width + x] = 0;
  }

  #draw() {
    const context = this.#canvas.getContext('2d');
    if (!context) return;
    const size = this.#cell;
    context.clearRect(0, 0, this.#canvas.clientWidth, this.#canvas.clientHeight);
    context.fillStyle = getComputedStyle(this.#canvas).color;
    context.beginPath();
    for (let y = 0; y < this.#height; y++) {
      for (let x = 0; x < this.#width; x++) {
        if (this.#cells[y * this.#width + x]) context.roundRect(x * size + 1, y * size + 1, size - 2, size - 2, size / 4);
      }
    }
    context.fill();
  }
}
