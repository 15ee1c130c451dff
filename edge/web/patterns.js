/** Patterns: reading and writing rows of run length encoding, turning, and the palette they are chosen from. */
import { byID, explain, make } from '/screens.js';

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

/** Sorts cells as rows are written. */
export const inRows = (cells) => [...cells].sort((a, b) => a[1] - b[1] || a[0] - b[0]);

function preview(pattern) {
  const canvas = document.createElement('canvas');
  const cell = Math.min(12, Math.max(1, Math.floor(168 / Math.max(pattern.width, pattern.height))));
  canvas.width = pattern.width * cell;
  canvas.height = pattern.height * cell;
  const context = canvas.getContext('2d');
  context.fillStyle = getComputedStyle(document.body).getPropertyValue('--accent');
  for (const [x, y] of pattern.cells) context.fillRect(x * cell, y * cell, cell - (cell > 5 ? 1 : 0), cell - (cell > 5 ? 1 : 0));
  return canvas;
}

/** The catalogue of the node in a drawer, a group at a time. What is chosen goes to the board, by click or by dragging it there. */
export class Palette {
  #node;
  #board;
  #groups = null;

  constructor(node, board) {
    this.#node = node;
    this.#board = board;
    byID('group').addEventListener('change', () => this.#show());
    byID('pattern-file').addEventListener('change', async ({ target }) => {
      if (target.files[0]) await this.read(target.files[0]);
      target.value = '';
    });
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#show());
  }

  /** Loads the catalogue at the first use. */
  async open() {
    if (this.#groups) return;
    try {
      this.#groups = (await this.#node.call('/game/templates')).groups;
    } catch (error) {
      this.#board.say(explain(error));
      return;
    }
    byID('group').replaceChildren(...this.#groups.map(({ name }) => make('option', '', name)));
    byID('group').value = 'Guns';
    if (!byID('group').value) byID('group').selectedIndex = 0;
    this.#show();
  }

  /** Takes a file or a text in any format that the node knows. */
  async read(source) {
    try {
      const text = typeof source === 'string' ? source : await source.text();
      const answer = await this.#node.call('/game/pattern', { text });
      this.#board.choose(new Pattern(parseRLE(answer.text).cells, answer.name || source.name || 'pattern'));
    } catch (error) {
      this.#board.say(explain(error));
    }
  }

  #show() {
    const group = this.#groups?.find(({ name }) => name === byID('group').value);
    byID('templates').replaceChildren(...(group?.templates ?? []).map((template) => {
      const pattern = new Pattern(parseRLE(template.rle).cells, template.name);
      const button = make('button', 'template');
      button.type = 'button';
      button.title = [template.also, `${template.width} × ${template.height}, ${template.cells} cells`, template.period > 1 && `period ${template.period}`,
        template.speed, template.growth && `${template.growth} more cells a period`].filter(Boolean).join(', ');
      button.append(preview(pattern), make('span', '', template.name));
      button.addEventListener('click', () => this.#board.choose(pattern));
      button.addEventListener('pointerdown', (event) => this.#drag(event, pattern));
      return button;
    }));
  }

  /** Follows a pointer that took a pattern until it lets go: over the board, the pattern is laid there. */
  #drag(down, pattern) {
    const { target, pointerId } = down;
    const move = (event) => {
      if (event.pointerId !== pointerId || !this.#board.covers(event)) return;
      if (this.#board.pattern?.name !== pattern.name) this.#board.choose(pattern);
      this.#board.hover(event);
    };
    const up = (event) => {
      if (event.pointerId !== pointerId) return;
      removeEventListener('pointermove', move);
      removeEventListener('pointerup', up);
      removeEventListener('pointercancel', up);
      if (event.type === 'pointerup' && this.#board.covers(event)) this.#board.stamp();
    };
    if (target.hasPointerCapture(pointerId)) target.releasePointerCapture(pointerId);
    addEventListener('pointermove', move);
    addEventListener('pointerup', up);
    addEventListener('pointercancel', up);
  }
}
