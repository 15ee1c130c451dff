/**
 * The ground of the first screens: Gosper's glider gun, a few generations a second. It stands still when the player asked
 * for less motion, and costs nothing while it cannot be seen.
 */
import { Grid } from '/grid.js';
import { onScheme } from '/screens.js';
import { step as compute } from '/step.js';

const GUN = '24bo$22bobo$12b2o6b2o12b2o$11bo3bo4b2o12b2o$2o8bo5bo3b2o$2o8bo3bob2o4bobo$10bo5bo7bo$11bo3bo$12b2o';
const [LEFT, TOP] = [2, 8]; // of the gun, in cells
const CELL = 10; // pixels
const FRAME = 1000 / 8; // ms a generation
const MARGIN = 16; // cells beyond the canvas, where gliders leave without being seen to crash
const WARM_UP = 720; // generations before the first picture, so that gliders are under way

/** Draws on a canvas from now on. */
export function animate(canvas) {
	const still = matchMedia('(prefers-reduced-motion: reduce)');
	const context = canvas.getContext('2d');
	let [grid, running, seen, last] = [null, false, true, 0];
	new ResizeObserver(resize).observe(canvas);
	new IntersectionObserver(([entry]) => { seen = entry.isIntersecting; wake(); }).observe(canvas);
	document.addEventListener('visibilitychange', wake);
	still.addEventListener('change', wake);
	onScheme(draw);

	function resize() {
		const { clientWidth, clientHeight } = canvas;
		if (!clientWidth || !clientHeight) return;
		const ratio = Math.min(2, devicePixelRatio || 1);
		canvas.width = clientWidth * ratio;
		canvas.height = clientHeight * ratio;
		context.scale(ratio, ratio);
		const [width, height] = [clientWidth, clientHeight].map((pixels) => Math.max(48, Math.ceil(pixels / CELL) + MARGIN));
		if (width !== grid?.width || height !== grid.height) restart(width, height);
		draw();
		wake();
	}

	function restart(width, height) {
		grid = new Grid({ width, height, torus: false });
		const rows = GUN.replace(/(\d+)(.)/g, (_, n, mark) => mark.repeat(n)).split('$');
		rows.forEach((row, y) => [...row].forEach((mark, x) => grid.set(x + LEFT, y + TOP, mark === 'o')));
		for (let n = 0; n < WARM_UP; n++) step();
	}

	function wake() {
		const run = seen && !document.hidden && !still.matches && grid !== null;
		if (run && !running) requestAnimationFrame(frame);
		running = run;
	}

	function frame(now) {
		if (!running) return;
		if (now - last >= FRAME) {
			last = now;
			step();
			draw();
		}
		requestAnimationFrame(frame);
	}

	/** Every 30 generations the gliders that left the picture are taken away, before they crash into the edge and come back. */
	function step() {
		compute(grid);
		if (grid.generation % 30) return;
		const empty = (alive, length) => !Array.from({ length }, (_, n) => alive(n)).some(Boolean);
		const column = (x) => empty((y) => grid.alive(x, y), grid.height);
		const row = (y) => empty((x) => grid.alive(x, y), grid.width);
		let [right, bottom] = [grid.width - MARGIN + 2, grid.height - MARGIN + 2]; // a gap there lets no half of a glider stay behind
		while (right < grid.width && !(column(right) && column(right + 1))) right++;
		while (bottom < grid.height && !(row(bottom) && row(bottom + 1))) bottom++;
		grid.each((x, y) => { if (x >= right || y >= bottom) grid.set(x, y, false); });
	}

	function draw() {
		context.clearRect(0, 0, canvas.width, canvas.height);
		context.fillStyle = getComputedStyle(canvas).color;
		context.beginPath();
		grid?.each((x, y) => context.roundRect(x * CELL + 1, y * CELL + 1, CELL - 2, CELL - 2, CELL / 4));
		context.fill();
	}
}
