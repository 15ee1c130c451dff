// The node's metrics: parsed, and their rates between two looks.

const sample = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? ([^ ]+)/;
const label = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;

/** parse reads the text format of Prometheus into [{name, labels, value}]. */
export function parse(text) {
	const samples = [];
	for (const line of text.split('\n')) {
		const found = line[0] === '#' ? null : sample.exec(line);
		if (!found) continue;
		const labels = {};
		for (const [, name, value] of (found[2] ?? '').matchAll(label)) labels[name] = value.replace(/\\(.)/g, '$1');
		samples.push({name: found[1], labels, value: Number(found[3])});
	}
	return samples;
}

/** sum adds the samples of a name, those that fit if a test is given. */
export function sum(samples, name, fits = () => true) {
	let total = 0;
	for (const s of samples) if (s.name === name && fits(s.labels)) total += s.value;
	return total;
}

/** History keeps figures of the last minutes, one list for each name. */
export class History {
	constructor(length) {
		this.length = length;
		this.lists = new Map();
		this.before = new Map();
	}

	/** level notes a figure as it is. */
	level(name, value) {
		const list = this.lists.get(name) ?? [];
		list.push(value);
		if (list.length > this.length) list.shift();
		this.lists.set(name, list);
		return list;
	}

	/** rate notes how fast a counter grows. The first look tells nothing; a counter that fell began anew. */
	rate(name, counter, now) {
		const before = this.before.get(name);
		this.before.set(name, {counter, now});
		if (!before || now <= before.now) return this.lists.get(name) ?? [];
		const grown = counter >= before.counter ? counter - before.counter : counter;
		return this.level(name, grown / ((now - before.now) / 1000));
	}
}

/** Window tells how much counters grew within a time, by key. */
export class Window {
	constructor(span) {
		this.span = span;
		this.looks = []; // {now, counters: Map}
	}

	/** add notes counters and returns [key, growth] within the span, most first. */
	add(now, counters) {
		this.looks.push({now, counters});
		while (this.looks.length > 2 && now - this.looks[1].now >= this.span) this.looks.shift();
		const first = this.looks[0].counters;
		const grown = [];
		for (const [key, value] of counters) {
			const before = first.get(key) ?? 0;
			const growth = value >= before ? value - before : value;
			if (growth > 0) grown.push([key, growth]);
		}
		return grown.sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
	}
}
