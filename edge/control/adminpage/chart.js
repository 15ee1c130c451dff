// Small line charts of SVG.

const ns = 'http://www.w3.org/2000/svg';
const width = 120;
const height = 32;

function shape(name, kind) {
	const s = document.createElementNS(ns, name);
	s.setAttribute('class', kind);
	return s;
}

/** Chart is a tile with a name, the newest figure and a line of those before. */
export class Chart {
	constructor(parent, title, format) {
		this.format = format;
		const tile = document.createElement('div');
		tile.className = 'tile';
		const list = tile.appendChild(document.createElement('dl'));
		list.appendChild(document.createElement('dt')).textContent = title;
		this.figure = list.appendChild(document.createElement('dd'));
		this.figure.textContent = '–';
		const svg = tile.appendChild(document.createElementNS(ns, 'svg'));
		svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
		svg.setAttribute('preserveAspectRatio', 'none');
		svg.setAttribute('aria-hidden', 'true'); // the figure says it
		this.area = svg.appendChild(shape('path', 'area'));
		this.line = svg.appendChild(shape('path', 'line'));
		parent.append(tile);
	}

	/** show draws figures, oldest first, of which at most length fit. */
	show(figures, length) {
		if (figures.length === 0) return;
		const text = this.format(figures.at(-1));
		if (this.figure.textContent !== text) this.figure.textContent = text;
		const top = Math.max(...figures, 1e-9);
		const step = width / Math.max(1, length - 1);
		const begin = width - step * (figures.length - 1);
		const points = figures.map((v, i) => `${(begin + i * step).toFixed(1)},${(height - 1 - (height - 3) * v / top).toFixed(1)}`);
		this.line.setAttribute('d', `M${points.join('L')}`);
		this.area.setAttribute('d', `M${begin.toFixed(1)},${height}L${points.join('L')}L${width},${height}Z`);
	}
}

const units = ['', 'k', 'M', 'G', 'T'];

/** short writes a figure in at most four characters and a unit. */
export function short(v) {
	let i = 0;
	for (; v >= 999.5 && i < units.length - 1; i++) v /= 1000;
	return (v >= 99.5 || Number.isInteger(v) ? v.toFixed(0) : v.toPrecision(2)) + units[i];
}

export const perSecond = (v) => `${short(v)}/s`;
export const bytesPerSecond = (v) => `${short(v)}B/s`;
export const percent = (v) => `${Math.round(v)} %`;
