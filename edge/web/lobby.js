/** The lobby: which games there are, making one, going in and out. The address of the page names the game: ?game=… */
import { CallError } from '/gosper.js';
import { Play } from '/play.js';
import { byID, explain, legibleText, make, onSubmit } from '/screens.js';

const LOOK_AGAIN = 5000; // ms between looks at the list

export class Lobby {
  #node;
  #play;
  #open = false; // the player is in a world

  constructor(node) {
    this.#node = node;
    this.#play = new Play(node, (why) => this.#back(why));
    window.gosper = this.#play; // for tests and the curious
    byID('to-lobby').addEventListener('click', () => { this.#play.close(); this.#back(''); });
    byID('new-game').addEventListener('click', () => this.#form(byID('create-form').hidden));
    onSubmit(byID('create-form'), (fields) => this.#create(fields));
    setInterval(() => this.#list(), LOOK_AGAIN);
    addEventListener('popstate', () => { if (this.#open) this.#follow(); });
  }

  /** The player entered a world: to the game that the address names, else to the list. */
  enter() {
    this.#open = true;
    this.#follow();
  }

  leave() {
    this.#open = false;
    this.#play.close();
  }

  resumed() {
    this.#play.resumed();
    this.#list();
  }

  push(route, content) { this.#play.push(route, content); }

  #follow() {
    const id = new URL(location.href).searchParams.get('game');
    if (id) return this.#enter(id);
    this.#play.close();
    this.#back('');
  }

  /** Shows the game or the list, and says so in the address. */
  #show(id) {
    byID('lobby').hidden = Boolean(id);
    byID('game').hidden = !id;
    byID('talk').classList.toggle('folded', Boolean(id));
    const address = new URL(location.href);
    if ((address.searchParams.get('game') ?? '') === id) return;
    if (id) address.searchParams.set('game', id);
    else address.searchParams.delete('game');
    history.pushState(null, '', address);
  }

  async #enter(id) {
    try {
      if (!await this.#play.open(id)) return;
      this.#show(id);
      byID('board').focus();
    } catch (error) {
      this.#back(explain(error));
    }
  }

  #back(why) {
    this.#show('');
    byID('lobby-note').textContent = why;
    this.#list();
  }

  async #list() {
    if (!this.#open || byID('lobby').hidden || document.hidden || this.#node.state !== 'open') return;
    try {
      const { games, next } = await this.#node.call('/game/list');
      const focus = document.activeElement?.closest?.('#games button')?.dataset.game;
      byID('games').replaceChildren(...games.map((game) => this.#line(game)));
      byID('no-games').hidden = games.length > 0;
      byID('more-games').hidden = !next;
      if (focus) byID('games').querySelector(`[data-game="${focus}"]`)?.focus();
    } catch (error) {
      if (!(error instanceof CallError && error.link)) byID('lobby-note').textContent = explain(error);
    }
  }

  #line(game) {
    const { width, height, rule } = game.grids[0];
    const players = game.users.filter(({ present }) => present);
    const button = make('button', 'line-game');
    button.type = 'button';
    button.dataset.game = game.id;
    const dots = make('span', 'dots');
    dots.append(...players.slice(0, 8).map(({ color }) => {
      const swatch = make('span', 'swatch');
      swatch.style.background = legibleText(color);
      return swatch;
    }));
    button.append(make('strong', '', game.name), dots,
      make('span', 'facts', `${players.length === 1 ? '1 player' : `${players.length} players`}, ${width} × ${height}, ${rule}, ${game.state}`));
    button.addEventListener('click', () => this.#enter(game.id));
    const item = make('li', '');
    item.append(button);
    return item;
  }

  #form(open) {
    byID('create-form').hidden = !open;
    byID('new-game').setAttribute('aria-expanded', String(open));
    byID('talk').classList.toggle('folded', open);
    if (open) byID('create-form').elements.name.focus();
  }

  async #create({ name, width, height, rule, topology, mode, interval, persistent }) {
    const { game } = await this.#node.call('/game/create', {
      name, interval: Number(interval), persistent: Boolean(persistent),
      grids: [{ width: Number(width), height: Number(height), rule, topology, mode }],
    });
    this.#form(false);
    byID('create-form').reset();
    await this.#enter(game.id);
  }
}
