/** Who plays, in which colour, and how many cells they had over the last minute. Loaded with its drawer. */
import * as play from '/play.js';
import { $, button, legibleText, make, on, say, swatch } from '/screens.js';

$('players-drawer').innerHTML = `<canvas id="chart" role="img" aria-labelledby="chart-text"></canvas>
	<p id="chart-text" class="hint"></p><ul id="players"></ul>
	<label id="color-row" class="check">Your colour <input id="color" type="color"></label>`;
on('color', 'change', () => play.ask('/game/color', { color: $('color').value.slice(1) }));

export { update as open };

/** The game is another now. */
export function update() {
	const { game: { users, owner }, me } = play;
	$('players').replaceChildren(...users.map((user) => {
		const item = make('li', user.present ? '' : 'gone');
		const tags = [user.id === me?.id && 'you', user.id === owner && 'owner', !user.present && 'left'].filter(Boolean);
		item.append(swatch(user.color), make('span', '', user.name), make('span', 'tag', tags.join(', ')), make('span', 'cells'));
		if (play.mine() && user.present && user.id !== owner) item.append(button('quiet', 'Send away', () => play.ask('/game/remove', { user: user.id })));
		item.dataset.number = user.number;
		return item;
	}));
	if (me) $('color').value = `#${me.color}`;
	$('color-row').hidden = !me;
	sample();
}

/** There is another sample: figures, and population by player, one band upon the other. */
export function sample() {
	const { grid, game, samples } = play;
	if (!samples.length) return;
	const now = samples.at(-1);
	if (grid.owners) for (const item of $('players').children) item.querySelector('.cells').textContent = now[item.dataset.number]?.toLocaleString() ?? '';
	const canvas = $('chart');
	const context = canvas.getContext('2d');
	const [width, height] = [canvas.width = canvas.clientWidth * 2, canvas.height = canvas.clientHeight * 2];
	const most = Math.max(1, ...samples.map((sums) => sums.reduce((sum, n) => sum + n, 0)));
	const base = samples.map(() => 0);
	const at = (n, value) => [width * (1 - (base.length - 1 - n) / (play.SAMPLES - 1)), height * (1 - value / most)];
	for (const { number, color } of grid.owners ? game.users : [{ number: 0 }]) {
		context.beginPath();
		samples.forEach((sums, n) => context.lineTo(...at(n, base[n] + (sums[number] ?? 0))));
		for (let n = base.length - 1; n >= 0; n--) context.lineTo(...at(n, base[n]));
		context.fillStyle = color ? legibleText(color) : getComputedStyle(canvas).color;
		context.fill();
		samples.forEach((sums, n) => { base[n] += sums[number] ?? 0; });
	}
	say('chart-text', `${base.at(-1).toLocaleString()} cells now, at most ${most.toLocaleString()} in the last minute`);
}
