// @ts-check
/**
 * A small Life for decoration: Gosper's glider gun, drawn on a canvas a few times a second. It stands still when
 * the player asked for less motion, and costs nothing while the page or the canvas cannot be seen.
 */

import { Grid } from '/grid.js';

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
  /** @type {Grid|null} */ #grid = null;
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
    if (width !== this.#grid?.width || height !== this.#grid.height) this.#restart(Math.max(width, GUN[0].length + 8), Math.max(height, GUN.length + 8));
    this.#draw();
    this.#wake();
  }

  /** @param {number} width @param {number} height */
  #restart(width, height) {
    this.#grid = new Grid({ width, height, torus: false });
    GUN.forEach((row, y) => [...row].forEach((mark, x) => { if (mark === '#') this.#grid?.set(x + this.#left, y + this.#top, true); }));
    for (let n = 0; n < WARM_UP; n++) this.#step();
  }

  #wake() {
    const run = this.#seen && !document.hidden && !this.#still.matches && this.#grid !== null;
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

  /** Every 30 generations the gliders that left the picture are taken away, before they crash into the edge and come back. */
  #step() {
    const grid = this.#grid;
    if (!grid) return;
    grid.step();
    if (grid.generation % 30) return;
    const empty = (/** @type {(n: number) => boolean} */ alive, /** @type {number} */ length) => !Array.from({ length }, (_, n) => alive(n)).some(Boolean);
    const column = (/** @type {number} */ x) => empty((y) => grid.alive(x, y), grid.height);
    const row = (/** @type {number} */ y) => empty((x) => grid.alive(x, y), grid.width);
    let [right, bottom] = [grid.width - MARGIN + 2, grid.height - MARGIN + 2]; // a gap there lets no half of a glider stay behind
    while (right < grid.width && !(column(right) && column(right + 1))) right++;
    while (bottom < grid.height && !(row(bottom) && row(bottom + 1))) bottom++;
    grid.each((x, y) => { if (x >= right || y >= bottom) grid.set(x, y, false); });
  }

  #draw() {
    const context = this.#canvas.getContext('2d');
    if (!context) return;
    const size = this.#cell;
    context.clearRect(0, 0, this.#canvas.clientWidth, this.#canvas.clientHeight);
    context.fillStyle = getComputedStyle(this.#canvas).color;
    context.beginPath();
    this.#grid?.each((x, y) => context.roundRect(x * size + 1, y * size + 1, size - 2, size - 2, size / 4));
    context.fill();
  }
}
