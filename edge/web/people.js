// @ts-check
/** Who is here: the list of the people of the world, kept by presence pushes. */
import { CallError } from '/gosper.js';
import { avatar, byID, make } from '/screens.js';

export class People {
  #node;
  /** @type {Set<string>} */ #present = new Set();
  #count = 0;
  #me = '';

  /** @param {import('/gosper.js').Connection} node */
  constructor(node) { this.#node = node; }

  /** Loads the list and follows it from now on. Called after every enter and resume. @param {string} me */
  async enter(me) {
    this.#me = me;
    try {
      const { names = [], count = names.length } = await this.#node.call('/chat/presence', { watch: true });
      this.#present = new Set(names);
      this.#count = count;
    } catch (error) {
      if (!(error instanceof CallError)) throw error; // a refused or lost call leaves the list as it was
    }
    this.#draw();
  }

  /** Somebody came or went. In a crowded world only the count is told. @param {{joined?: string[], left?: string[], count: number}} content */
  push({ joined = [], left = [], count }) {
    for (const name of left) this.#present.delete(name);
    for (const name of joined) this.#present.add(name);
    this.#count = count;
    this.#draw();
  }

  leave() {
    this.#present.clear();
    this.#count = 0;
    this.#draw();
  }

  #draw() {
    byID('people-count').textContent = String(this.#count);
    byID('people-count-tab').textContent = String(this.#count);
    const names = this.#present.size === this.#count ? [...this.#present].sort((a, b) => a.localeCompare(b)) : [];
    byID('people-crowd').hidden = this.#present.size === this.#count;
    byID('people-list').replaceChildren(...names.map((name) => {
      const item = make('li', '');
      const disc = make('span', 'avatar');
      disc.setAttribute('aria-hidden', 'true');
      avatar(disc, name);
      item.append(disc, make('span', '', name));
      if (name === this.#me) item.append(make('span', 'tag', 'you'));
      return item;
    }));
  }
}
