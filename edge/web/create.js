/** Making a game: its form, with a part for each grid. Loaded when somebody wants one. */
import { $, button, on, onSubmit } from '/screens.js';

const MOST = 8; // grids of a game on this page
const GRID = `<legend></legend>
	<div class="pair">
		<label>Width <input name="width" type="number" min="1" max="4096" value="256" required></label>
		<label>Height <input name="height" type="number" min="1" max="4096" value="256" required></label>
	</div>
	<div class="pair">
		<label>Rule <input name="rule" value="B3/S23" list="rules" autocapitalize="none" spellcheck="false" required></label>
		<label>Edges <select name="topology"><option value="torus">joined<option value="plane">walls</select></label>
		<label>Cells show <select name="mode"><option value="owners">owners<option value="blended">blends<option value="channels">mixed light<option value="plain">only life</select></label>
	</div>`;

let wired = false;
let grids; // the element that holds a part for each grid

/** Opens or closes the form. done gets the id of a game that was made. */
export function toggle(node, done) {
	if (!wired) wire(node, done);
	wired = true;
	form($('create-form').hidden);
}

function form(open) {
	$('create-form').hidden = !open;
	$('new-game').setAttribute('aria-expanded', open);
	$('talk').classList.toggle('folded', open);
	if (open) $('create-form').elements.name.focus();
}

function wire(node, done) {
	$('create-form').innerHTML = `<label>Name of the game <input name="name" maxlength="32" autocomplete="off" required></label>
		<div id="create-grids"></div>
		<button id="add-grid" type="button" class="quiet">Another grid</button>
		<datalist id="rules"><option value="B3/S23">Life<option value="B36/S23">HighLife<option value="B3678/S34678">Day &amp; Night<option value="B2/S">Seeds<option value="B3/S012345678">Life without death</datalist>
		<label>Speed <select name="interval"><option value="1000">1 a second<option value="500">2 a second<option value="250" selected>4 a second<option value="125">8 a second<option value="50">20 a second</select></label>
		<label class="check"><input name="persistent" type="checkbox"> Keep it when everybody has left</label>
		<p class="problem" role="alert"></p>
		<button class="primary wide">Make it</button>`;
	grids = $('create-grids');
	add();
	on('add-grid', 'click', () => add().querySelector('input').focus());
	onSubmit('create-form', async ({ name, interval, persistent }) => {
		const { game } = await node.call('/game/create', {
			name, interval: Number(interval), persistent: Boolean(persistent), grids: [...grids.children].map(read),
		});
		form(false);
		$('create-form').reset();
		grids.replaceChildren();
		add();
		done(game.id);
	});
}

/** What the part of a grid says. */
function read(part) {
	const { width, height, rule, topology, mode } = Object.fromEntries([...part.querySelectorAll('[name]')].map(({ name, value }) => [name, value]));
	return { width: Number(width), height: Number(height), rule: rule.trim(), topology, mode };
}

/** Adds the part of one more grid, which begins like the last one. */
function add() {
	const part = document.createElement('fieldset');
	part.innerHTML = GRID;
	if (grids.lastChild) Object.entries(read(grids.lastChild)).forEach(([name, value]) => { part.querySelector(`[name=${name}]`).value = value; });
	part.append(button('quiet remove', 'Remove this grid', () => {
		part.remove();
		count();
		$('add-grid').focus();
	}));
	grids.append(part);
	count();
	return part;
}

function count() {
	[...grids.children].forEach((part, n) => { part.querySelector('legend').textContent = `Grid ${n + 1}`; });
	grids.classList.toggle('one', grids.children.length === 1);
	$('add-grid').disabled = grids.children.length >= MOST;
}
