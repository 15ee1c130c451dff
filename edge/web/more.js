/** Seldom used parts of a game: facts, saving, leaving, stopping, keys. Loaded with its drawer. */
import * as play from '/play.js';
import { $, on, say, sure } from '/screens.js';

$('more-drawer').innerHTML = `<p id="game-facts" class="hint"></p>
	<p id="stream-facts" class="hint"></p>
	<label class="check"><input id="computes" type="checkbox"> Save data: this page computes the generations itself</label>
	<div class="buttons"><button id="save">Save as RLE</button><button id="leave-game">Leave game</button>
	<button id="stop">Stop for all</button><button id="end-game">End game</button></div>
	<dl class="keys">
		<dt>Arrows</dt><dd>move the cursor, with Shift by 8</dd><dt>Space</dt><dd>draw, kill, or lay the pattern</dd>
		<dt>D E M</dt><dd>draw, erase, move</dd><dt>T B R F</dt><dd>patterns, build, turn, flip</dd>
		<dt>P N</dt><dd>start or pause, step</dd><dt>+ − 0</dt><dd>zoom, show all</dd><dt>Esc</dt><dd>put the pattern away</dd>
	</dl>`;
on('save', 'click', async () => (await import('/patterns.js')).save());
on('leave-game', 'click', async () => { if (await play.ask('/game/leave')) play.end(''); });
on('stop', 'click', () => play.ask('/game/stop'));
sure($('end-game'), 'End it for all?', () => play.ask('/game/end'));
$('computes').checked = localStorage.getItem(play.MODE) === 'edits';
on('computes', 'change', ({ target }) => {
	localStorage.setItem(play.MODE, target.checked ? 'edits' : 'cells');
	play.watch();
});

export { update as open };

/** The game is another now. */
export function update() {
	const { game: { grids, state, fault }, index, me } = play;
	const { width, height, topology, rule, mode } = grids[index];
	say('game-facts', `${width} × ${height}, ${topology}, ${rule}, ${mode}, ${state}${fault ? `: ${fault}` : ''}`);
	for (const id of ['stop', 'end-game']) $(id).hidden = !play.mine();
	$('stop').disabled = state === 'stopped';
	$('leave-game').hidden = !me;
	sample();
}

export function sample() {
	const { mismatches, asked } = play.follower;
	say('stream-facts', `${mismatches} hashes did not agree, ${asked} snapshots were asked for again.`);
}
