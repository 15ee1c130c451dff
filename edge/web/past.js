/** Looking back: a game as it was, and taking it back there. Loaded with its drawer. */
import { Grid, parseFrame } from '/gosper.js';
import * as play from '/play.js';
import { $, on, say, sure } from '/screens.js';

$('past-drawer').innerHTML = `<label>Look back <input id="when" type="range" step="1"></label>
	<p id="when-text" class="hint" role="status"></p>
	<div class="pair"><button id="now" type="button" disabled>Back to now</button><button id="rewind" type="button" disabled>Rewind to here</button></div>`;
on('when', 'input', ({ target }) => say('when-text', `Generation ${target.value}`));
on('when', 'change', look);
on('now', 'click', () => { close(); open(); });
sure($('rewind'), 'Forget all after it?', rewind);

/** The drawer was opened: what is kept? */
export async function open() {
	$('rewind').hidden = !play.mine();
	const kept = await play.ask('/game/history', { limit: 1 });
	if (!kept) return;
	[$('when').min, $('when').max] = [kept.oldest, kept.newest];
	if (!play.past) $('when').value = kept.newest;
	say('when-text', `Generations ${kept.oldest} to ${kept.newest} are kept.`);
}

/** Back to now. */
export function close() { shown(null); }

function shown(grid) {
	play.showPast(grid);
	for (const id of ['now', 'rewind']) $(id).disabled = !grid;
}

async function look() {
	const answer = await play.ask('/game/look', { grid: play.index, generation: Number($('when').value) });
	if (!answer || $('past-drawer').hidden) return;
	const grid = Grid.of(parseFrame(Uint8Array.from(atob(answer.frame), (c) => c.charCodeAt(0)).buffer).payload);
	shown(grid);
	say('when-text', `You see generation ${grid.generation}. The game goes on meanwhile.`);
}

async function rewind() {
	if (await play.ask('/game/rewind', { generation: play.past.generation })) close();
	open();
}
