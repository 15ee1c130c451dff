/** One game on the screen: what is watched, what is drawn, who plays, how fast, and what was. */
import { CallError, Follower, Grid, parseFrame } from '/gosper.js';
import { Board } from '/board.js';
import { Palette, formatRLE, inRows } from '/patterns.js';
import { byID, explain, legible, legibleText, make, sure } from '/screens.js';

const INTERVALS = [5000, 2000, 1000, 500, 250, 125, 50, 25, 10]; // ms a generation, of the speed control
const BEHIND = 250; // ms that a page which computes by itself stays behind the node, so that edits come in time
const SAMPLE = 500; // ms between points of the chart
const SAMPLES = 120;
const WATCH_AGAIN = 1000; // ms after a watch that was refused or not answered
const GONE = new Set([1001, 1200]); // statuses of a game that is no more
const MOVE_WAIT = 80; // ms a view must rest before another part of a large board is asked for
const MODE = 'gosper.mode'; // localStorage: 'edits' when this browser computes generations by itself

const hashText = (grid) => grid.hash().map((half) => half.toString(16).padStart(8, '0')).join('');

export class Play {
  #node;
  #board;
  #palette;
  #left; // called when the game is over for this page

  // The game in sight; id '' for none.
  #id = '';
  #index = 0; // of the grid
  #game = null; // as the node describes it
  #me = null; // this player in it; null for who only watches
  #follower = null;
  #past = null; // a Grid of another time that is shown instead
  #known = { at: 0, generation: 0 }; // when the node was known to be where
  #samples = [];
  #retry = 0;
  #opened = 0; // calls of open
  #moving = 0; // timer
  #watched = 'cells'; // the mode asked for
  #computing = false; // a frame of it is asked for

  constructor(node, left) {
    this.#node = node;
    this.#left = left;
    this.#board = new Board(byID('board'), {
      edit: (cells, alive) => this.#edit(cells, alive),
      lay: (pattern, x, y) => this.#lay(pattern, x, y),
      say: (text) => { byID('board-note').textContent = text; },
      describe: (x, y) => this.#describe(x, y),
      chosen: () => this.#tools(),
      moved: () => this.#moved(),
    });
    this.#palette = new Palette(node, this.#board);
    node.on('frame', (frame) => this.#frame(frame));
    setInterval(() => this.#sample(), SAMPLE);
    this.#wire();
  }

  get id() { return this.#id; }

  /** For tests and the curious: where this page's grid is. */
  get report() {
    const { grid, mismatches, asked, synced } = this.#follower ?? {};
    return grid ? { generation: grid.generation, hash: hashText(grid), population: grid.population, mismatches, asked, synced } : null;
  }

  /** The grid of now. */
  get grid() { return this.#follower?.grid ?? null; }

  /** Brings cells [[x, y], …] to life. */
  draw(cells) { return this.#edit(cells, true); }

  /** Where the middle of a cell is in the window. */
  placeOf(x, y) { return this.#board.placeOf(x, y); }

  /** Joins a game and shows it; throws what the node refuses. False when another one was opened meanwhile. */
  async open(id) {
    this.close();
    const turn = ++this.#opened;
    const { game } = await this.#join(id);
    if (turn !== this.#opened) return false;
    this.#id = id;
    this.#index = 0;
    this.#samples = [];
    this.#board.grid = null;
    this.#describeGame(game);
    this.#follow();
    byID('board-note').textContent = this.#me ? '' : 'You are watching: the game has no place left.';
    await this.#watch();
    return true;
  }

  /** Stops watching; the player stays in the game. */
  close() {
    if (!this.#id) return;
    this.#node.call('/game/unwatch', { game: this.#id }).catch(() => {}); // a broken link watches nothing anyway
    this.#id = '';
    this.#follower = this.#game = this.#past = null;
    this.#board.grid = null;
  }

  /** The link is back: join and watch again. */
  async resumed() {
    if (!this.#id) return;
    try {
      this.#describeGame((await this.#join(this.#id)).game);
      await this.#watch();
    } catch (error) {
      if (!(error instanceof CallError && error.link)) this.#end(explain(error));
    }
  }

  async #join(id) {
    try {
      const answer = await this.#node.call('/game/join', { game: id });
      this.#me = answer.you;
      return answer;
    } catch (error) {
      if (error.status !== 1010) throw error;
      this.#me = null; // full: watch
      return { game: (await this.#node.call('/game/stats', { game: id })).game };
    }
  }

  // ---- the stream ----

  /** What to watch: a game that stands still sends nothing but steps, which are not announced to who computes. */
  get #mode() {
    if (this.#board.window) return 'view';
    return localStorage.getItem(MODE) === 'edits' && this.#game?.state === 'running' ? 'edits' : 'cells';
  }

  async #watch() {
    const follower = this.#follower;
    if (!follower) return;
    const view = this.#board.window ?? undefined;
    follower.synced = false;
    this.#watched = this.#mode;
    try {
      await this.#node.call('/game/watch', { game: this.#id, grid: this.#index, mode: this.#watched, view });
    } catch (error) {
      if (follower !== this.#follower) return;
      if (!error.link) this.#board.say(explain(error));
      if (!GONE.has(error.status)) this.#again(); // too many calls, or no answer; after a broken link resumed() is first
    }
  }

  /** Asks once more, unless frames have come meanwhile. */
  #again() {
    clearTimeout(this.#moving);
    this.#moving = setTimeout(() => {
      if (this.#node.state === 'open' && this.#follower && !this.#follower.synced) this.#watch();
    }, WATCH_AGAIN);
  }

  /** Begins to follow the grid that is chosen. */
  #follow() {
    const { width, height } = this.#game.grids[this.#index];
    this.#board.size(width, height);
    this.#follower = new Follower(() => this.#lost(), { whole: !this.#board.window });
  }

  /** Another part of a large board is to be seen: ask for it when the view has come to rest. */
  #moved() {
    clearTimeout(this.#moving);
    this.#moving = setTimeout(() => this.#watch(), MOVE_WAIT);
  }

  /** The follower needs a snapshot: at once, then after a growing wait, should the fault come back. */
  #lost() {
    setTimeout(() => this.#watch(), Math.min(5000, 100 * this.#retry ** 2));
    this.#retry++;
  }

  #frame(frame) {
    if (frame.game !== this.#id || frame.grid !== this.#index || !this.#follower?.take(frame)) return;
    this.#known = { at: performance.now(), generation: frame.generation };
    if (this.#follower.synced && frame.kind !== 1) this.#retry = 0;
    this.#show();
    this.#compute();
  }

  /** Computes generations by itself as time goes on. */
  #compute() {
    if (this.#computing || this.#watched !== 'edits') return;
    this.#computing = true;
    requestAnimationFrame(() => {
      this.#computing = false;
      const { grid, synced } = this.#follower ?? {};
      if (!grid || this.#watched !== 'edits') return;
      const { at, generation } = this.#known;
      const due = generation + Math.floor((performance.now() - at - BEHIND) / this.#game.interval);
      const before = grid.generation;
      for (let n = 0; synced && n < 20 && grid.generation < due; n++) grid.step();
      if (grid.generation > before) this.#show();
      this.#compute();
    });
  }

  #show() {
    if (this.#past) return;
    const { grid } = this.#follower;
    if (this.#board.grid !== grid) this.#board.grid = grid;
    this.#board.paint();
    this.#figures(grid);
  }

  #figures(grid) {
    byID('generation').textContent = grid.generation.toLocaleString();
    const whole = !this.#board.window;
    byID('population').textContent = grid.population.toLocaleString() + (whole ? '' : ' in sight');
    byID('hash').textContent = whole ? hashText(grid) : '';
  }

  // ---- pushes ----

  /** A push of a game. */
  push(route, content) {
    const game = content.game?.id ?? content.game;
    if (!this.#id || game !== this.#id) return;
    if (route === '/game/users') this.#describeGame({ ...this.#game, ...content, id: game });
    if (route === '/game/ownershipChanged') this.#owner(content);
    if (route !== '/game/state') return;
    if (content.state === 'ended') return this.#end('The game has ended.');
    this.#known = { at: performance.now(), generation: content.generation };
    this.#describeGame({ ...this.#game, ...content, id: game });
    if (this.#mode !== this.#watched) this.#watch();
  }

  #owner({ game }) {
    this.#describeGame(game);
    const name = game.users.find(({ id }) => id === game.owner)?.name;
    this.#board.say(game.owner === this.#me?.id ? 'The game is yours now.' : `The game belongs to ${name ?? 'nobody'} now.`);
  }

  #end(why) {
    this.#id = '';
    this.#follower = this.#game = this.#past = null;
    this.#left(why);
  }

  #describeGame(game) {
    this.#game = game;
    const me = game.users.find(({ id }) => id === this.#me?.id);
    this.#me = me?.present ? me : null;
    const running = game.state === 'running';
    const mine = Boolean(me) && game.owner === me.id;
    byID('game-name').textContent = game.name;
    byID('run').textContent = running ? 'Pause' : 'Start';
    byID('run').disabled = !me || game.state === 'stopped' && !mine;
    byID('step').disabled = !me || running || game.state === 'stopped';
    byID('speed').disabled = !mine;
    byID('speed').value = INTERVALS.reduce((best, ms, n) => Math.abs(ms - game.interval) < Math.abs(INTERVALS[best] - game.interval) ? n : best, 0);
    byID('speed-text').textContent = `${+(1000 / game.interval).toPrecision(2)} a second`;
    byID('grid-choice').hidden = game.grids.length < 2;
    if (byID('grid-choice').options.length !== game.grids.length) {
      byID('grid-choice').replaceChildren(...game.grids.map((grid, n) => make('option', '', `Grid ${n + 1}: ${grid.width} × ${grid.height}`)));
    }
    const { width, height, rule, topology } = game.grids[this.#index];
    byID('game-facts').textContent = `${width} × ${height}, ${topology}, ${rule}, ${game.state}${game.fault ? `: ${game.fault}` : ''}`;
    for (const part of ['end-game', 'rewind']) byID(part).hidden = !mine;
    byID('leave-game').hidden = !me;
    this.#board.owners = game.users.reduce((list, { number, color }) => { list[number] = legible(parseInt(color, 16)); return list; }, new Array(256).fill(0x888888));
    this.#players();
    this.#tools();
  }

  #players() {
    const { users, owner } = this.#game;
    const here = users.filter(({ present }) => present);
    byID('player-count').textContent = here.length;
    byID('players').replaceChildren(...users.map((user) => {
      const item = make('li', user.present ? '' : 'gone');
      const swatch = make('span', 'swatch');
      swatch.style.background = legibleText(user.color);
      item.append(swatch, make('span', '', user.name));
      const tags = [user.id === this.#me?.id && 'you', user.id === owner && 'owner', !user.present && 'left'].filter(Boolean);
      item.append(make('span', 'tag', tags.join(', ')), make('span', 'cells'));
      if (owner === this.#me?.id && user.present && user.id !== owner) {
        const away = make('button', 'quiet', 'Send away');
        away.type = 'button';
        away.addEventListener('click', () => this.#ask('/game/remove', { user: user.id }));
        item.append(away);
      }
      item.dataset.number = user.number;
      return item;
    }));
    if (this.#me) byID('color').value = `#${this.#me.color}`;
    byID('color-row').hidden = !this.#me;
  }

  #tools() {
    const { tool, pattern } = this.#board;
    this.#board.readOnly = !this.#me || Boolean(this.#past) || this.#game?.state === 'stopped';
    for (const button of document.querySelectorAll('[data-tool]')) {
      button.setAttribute('aria-pressed', String(button.dataset.tool === tool));
      button.disabled = this.#board.readOnly && button.dataset.tool !== 'move';
    }
    for (const part of document.querySelectorAll('.in-hand')) part.hidden = !pattern;
  }

  // ---- drawing ----

  async #ask(route, content = {}) {
    try {
      return await this.#node.call(route, { game: this.#id, ...content });
    } catch (error) {
      this.#board.say(explain(error));
      return null;
    }
  }

  async #edit(cells, alive) {
    const shown = this.#board.expect(cells, alive);
    const grid = this.#index;
    const answer = await (alive ? this.#ask('/game/cells', { grid, cells, policy: 'skip' }) : this.#ask('/game/kill', { grid, cells }));
    if (answer) await this.#seen(cells.find(([x, y]) => this.grid?.inside(x, y)), alive);
    shown();
    if (answer && cells.length === 1) this.#board.say(this.#describe(...cells[0]));
  }

  async #lay(pattern, x, y) {
    const shown = this.#board.expect(pattern.cells.map(([dx, dy]) => [x + dx, y + dy]), true);
    const answer = await this.#ask('/game/pattern', { grid: this.#index, text: formatRLE(inRows(pattern.cells)), x, y, wrap: true });
    if (answer) {
      this.#board.say(`${pattern.name} laid at ${x}, ${y}.`);
      await this.#seen([x + pattern.cells[0][0], y + pattern.cells[0][1]], true);
    }
    shown();
  }

  /** Waits a little for the frame behind an answer, which may come before it. */
  async #seen(cell, alive) {
    for (let n = 0; n < 10 && cell && this.grid?.alive(...cell) !== alive; n++) await new Promise((next) => setTimeout(next, 20));
  }

  #describe(x, y) {
    const { grid } = this.#board;
    if (!grid?.alive(x, y)) return `Column ${x}, row ${y}: empty`;
    const mark = grid.mark(x, y);
    const owner = grid.owners ? this.#game.users.find(({ number }) => number === mark)?.name : '';
    return `Column ${x}, row ${y}: alive${owner ? `, of ${owner}` : grid.colours ? `, colour ${mark.toString(16).padStart(6, '0')}` : ''}`;
  }

  // ---- figures over time ----

  #sample() {
    const grid = this.#follower?.grid;
    if (!grid || document.hidden) return;
    this.#samples.push(grid.populations());
    if (this.#samples.length > SAMPLES) this.#samples.shift();
    const { asked, mismatches } = this.#follower;
    byID('stream-facts').textContent = `${mismatches} hashes did not agree, ${asked} snapshots were asked for again.`;
    if (byID('players-drawer').hidden) return;
    const now = this.#samples.at(-1);
    if (grid.owners) for (const item of byID('players').children) item.querySelector('.cells').textContent = now[item.dataset.number]?.toLocaleString() ?? '';
    this.#chart(grid);
  }

  /** Population by player, one band upon the other. */
  #chart(grid) {
    const canvas = byID('chart');
    const context = canvas.getContext('2d');
    const [width, height] = [canvas.width = canvas.clientWidth * 2, canvas.height = canvas.clientHeight * 2];
    const most = Math.max(1, ...this.#samples.map((sums) => sums.reduce((sum, n) => sum + n, 0)));
    const base = this.#samples.map(() => 0);
    const at = (n, value) => [width * (1 - (base.length - 1 - n) / (SAMPLES - 1)), height * (1 - value / most)];
    const users = grid.owners ? this.#game.users : [{ number: 0, color: '' }];
    for (const { number, color } of users) {
      context.beginPath();
      this.#samples.forEach((sums, n) => context.lineTo(...at(n, base[n] + (sums[number] ?? 0))));
      for (let n = base.length - 1; n >= 0; n--) context.lineTo(...at(n, base[n]));
      context.fillStyle = color ? legibleText(color) : getComputedStyle(canvas).color;
      context.fill();
      this.#samples.forEach((sums, n) => { base[n] += sums[number] ?? 0; });
    }
    byID('chart-text').textContent = `${base.at(-1)?.toLocaleString()} cells now, at most ${most.toLocaleString()} in the last minute`;
  }

  // ---- time ----

  async #history() {
    const past = await this.#ask('/game/history', { limit: 1 });
    if (!past) return;
    const slider = byID('when');
    [slider.min, slider.max] = [past.oldest, past.newest];
    if (!this.#past) slider.value = past.newest;
    byID('when-text').textContent = `Generations ${past.oldest} to ${past.newest} are kept.`;
  }

  async #look() {
    const answer = await this.#ask('/game/look', { grid: this.#index, generation: Number(byID('when').value) });
    if (!answer || byID('past-drawer').hidden) return;
    const frame = parseFrame(Uint8Array.from(atob(answer.frame), (c) => c.charCodeAt(0)).buffer);
    const grid = Grid.of(frame.payload);
    this.#past = this.#board.grid = grid;
    this.#figures(grid);
    this.#pastShown(`You see generation ${grid.generation}. The game goes on meanwhile.`);
  }

  #present() {
    if (!this.#past) return;
    this.#past = null;
    this.#pastShown('');
    if (this.#follower?.grid) this.#show();
  }

  #pastShown(text) {
    for (const part of ['now', 'rewind']) byID(part).disabled = !this.#past;
    if (text) byID('when-text').textContent = text;
    this.#tools();
  }

  async #rewind() {
    const { generation } = this.#past;
    if (await this.#ask('/game/rewind', { generation })) this.#present();
    this.#history();
  }

  // ---- controls ----

  #wire() {
    const on = (id, type, act) => byID(id).addEventListener(type, act);
    on('run', 'click', () => this.#ask(this.#game.state === 'running' ? '/game/pause' : '/game/start'));
    on('step', 'click', () => this.#ask('/game/step'));
    on('speed', 'change', () => this.#ask('/game/configure', { interval: INTERVALS[byID('speed').value] }));
    on('color', 'change', () => this.#ask('/game/color', { color: byID('color').value.slice(1) }));
    on('grid-choice', 'change', () => {
      this.#node.call('/game/unwatch', { game: this.#id, grid: this.#index }).catch(() => {});
      this.#index = byID('grid-choice').selectedIndex;
      this.#samples = [];
      this.#follow();
      this.#describeGame(this.#game);
      this.#watch();
    });
    on('when', 'input', ({ target }) => { byID('when-text').textContent = `Generation ${target.value}`; });
    on('when', 'change', () => this.#look());
    on('now', 'click', () => { this.#present(); this.#history(); });
    sure(byID('rewind'), 'Forget all after it?', () => this.#rewind());
    on('share', 'click', () => this.#share());
    on('save', 'click', () => this.#save());
    on('leave-game', 'click', async () => { if (await this.#ask('/game/leave')) this.#end(''); });
    sure(byID('end-game'), 'End it for all?', () => this.#ask('/game/end'));
    on('computes', 'change', ({ target }) => {
      localStorage.setItem(MODE, target.checked ? 'edits' : 'cells');
      this.#watch();
    });
    byID('computes').checked = localStorage.getItem(MODE) === 'edits';
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { if (this.#game) this.#describeGame(this.#game); });
    on('rotate', 'click', () => this.#board.turn());
    on('flip', 'click', () => this.#board.flip());
    on('zoom-in', 'click', () => this.#board.zoom(1.5));
    on('zoom-out', 'click', () => this.#board.zoom(1 / 1.5));
    on('zoom-fit', 'click', () => this.#board.fit());
    for (const button of document.querySelectorAll('[data-tool]')) button.addEventListener('click', () => this.#tool(button.dataset.tool));
    for (const button of document.querySelectorAll('[data-drawer]')) button.addEventListener('click', () => this.#drawer(button.dataset.drawer));
    on('board', 'keydown', (event) => this.#key(event));
    on('game', 'dragover', (event) => event.preventDefault());
    on('game', 'drop', (event) => {
      event.preventDefault();
      this.#board.hover(event);
      const source = event.dataTransfer.files[0] ?? event.dataTransfer.getData('text');
      if (source) this.#palette.read(source);
    });
    addEventListener('paste', (event) => {
      if (!this.#id || event.target.matches?.('input')) return;
      const source = event.clipboardData.files[0] ?? event.clipboardData.getData('text');
      if (source) this.#palette.read(source);
    });
  }

  #tool(tool) {
    this.#board.choose(null);
    this.#board.tool = tool;
    this.#tools();
  }

  /** Opens a drawer, or closes the one that is open. */
  #drawer(name) {
    for (const button of document.querySelectorAll('[data-drawer]')) {
      const drawer = byID(`${button.dataset.drawer}-drawer`);
      drawer.hidden = button.dataset.drawer !== name || !drawer.hidden;
      button.setAttribute('aria-expanded', String(!drawer.hidden));
    }
    if (!byID('patterns-drawer').hidden) this.#palette.open();
    if (byID('past-drawer').hidden) this.#present();
    else this.#history();
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const act = {
      ' ': () => this.#board.act(), Enter: () => this.#board.act(), Escape: () => this.#tool('draw'), d: () => this.#tool('draw'),
      e: () => this.#tool('erase'), m: () => this.#tool('move'), r: () => this.#board.turn(), f: () => this.#board.flip(),
      p: () => byID('run').click(), n: () => byID('step').click(), '+': () => this.#board.zoom(1.5), '-': () => this.#board.zoom(1 / 1.5),
      0: () => this.#board.fit(), t: () => this.#drawer('patterns'), '?': () => this.#drawer('more'),
    }[event.key];
    if (!step && !act) return;
    event.preventDefault();
    if (step) this.#board.step(...step, event.shiftKey);
    else act();
  }

  async #share() {
    const url = `${location.origin}/?game=${this.#id}`;
    try {
      if (navigator.share && matchMedia('(pointer: coarse)').matches) await navigator.share({ title: this.#game.name, url });
      else await navigator.clipboard.writeText(url);
      this.#board.say('The link to this game is copied.');
    } catch {
      this.#board.say(`The link to this game: ${url}`);
    }
  }

  /** Hands the cells out as a file. Of a large board only the node has all of them. */
  async #save() {
    const { grid } = this.#board;
    if (!grid) return;
    const { name, grids } = this.#game;
    let text;
    if (this.#board.window) {
      text = (await this.#ask('/game/pattern', { grid: this.#index }))?.text;
      if (!text) return;
    } else {
      const cells = [];
      grid.each((x, y) => cells.push([x, y]));
      text = `#N ${name}\n#C generation ${grid.generation}\nx = ${grid.width}, y = ${grid.height}, rule = ${grids[this.#index].rule}`
        + `:${grid.torus ? 'T' : 'P'}${grid.width},${grid.height}\n${formatRLE(cells).replace(/.{1,60}[^\d]/g, '$&\n')}`;
    }
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([text], { type: 'text/plain' }));
    link.download = `${name.replace(/[^\w-]+/g, '-') || 'gosper'}-${grid.generation}.rle`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }
}
