// Tables that keep their rows: what has focus stays, and only what changed is written.

/** element makes an element with text. */
export function element(name, text = '', kind = '') {
	const e = document.createElement(name);
	e.textContent = text;
	if (kind) e.className = kind;
	return e;
}

function write(e, text) {
	if (e.textContent !== text) e.textContent = text;
}

/** Table shows a list. columns are {title, kind, text(row), state(row)}; acts are {label(row), when(row), run(row, button)}. */
export class Table {
	constructor(table, {key, columns, acts = [], none, details}) {
		Object.assign(this, {key, columns, acts, none, details});
		this.rows = new Map();
		const head = table.createTHead().insertRow();
		for (const c of columns) {
			const th = element('th', c.title, c.kind ?? '');
			th.scope = 'col';
			head.append(th);
		}
		if (acts.length > 0) head.append(element('td'));
		this.body = table.createTBody();
		this.empty = element('tr', '', 'none');
		const cell = element('td', none);
		cell.colSpan = columns.length + 1;
		this.empty.append(cell);
		this.body.append(this.empty);
	}

	/** show makes the table that of a list. */
	show(list) {
		const keep = new Set();
		let place = this.body.firstChild;
		for (const row of list) {
			const key = this.key(row);
			keep.add(key);
			const shown = this.rows.get(key) ?? this.enter(key);
			this.write(shown, row);
			if (shown.tr !== place) this.body.insertBefore(shown.tr, place);
			place = shown.tr.nextSibling;
			if (shown.more) {
				if (shown.more !== place) this.body.insertBefore(shown.more, place);
				place = shown.more.nextSibling;
			}
		}
		for (const [key, shown] of this.rows) {
			if (keep.has(key)) continue;
			shown.tr.remove();
			shown.more?.remove();
			this.rows.delete(key);
		}
		this.empty.hidden = list.length > 0;
	}

	/** enter makes the cells and buttons of a new row. */
	enter(key) {
		const shown = {tr: document.createElement('tr'), cells: [], buttons: [], row: null, more: null};
		for (const c of this.columns) {
			const td = element('td', '', c.kind ?? '');
			shown.tr.append(td);
			shown.cells.push(td);
		}
		if (this.acts.length > 0) {
			const td = element('td', '', 'acts');
			for (const act of this.acts) {
				const b = element('button');
				b.type = 'button';
				b.onclick = () => act.run(shown.row, b, shown);
				td.append(b);
				shown.buttons.push(b);
			}
			shown.tr.append(td);
		}
		this.rows.set(key, shown);
		return shown;
	}

	write(shown, row) {
		shown.row = row;
		this.columns.forEach((c, i) => {
			write(shown.cells[i], c.text(row));
			if (c.state) shown.cells[i].dataset.state = c.state(row);
			if (c.title2) shown.cells[i].title = c.title2(row);
		});
		this.acts.forEach((act, i) => {
			const b = shown.buttons[i];
			write(b, act.label(row, shown));
			b.hidden = act.when ? !act.when(row) : false;
			if (act.expands) b.setAttribute('aria-expanded', shown.more ? 'true' : 'false');
		});
	}

	/** open puts a row with an element below a row, or takes it away. */
	open(shown, content) {
		shown.more?.remove();
		shown.more = null;
		if (content) {
			shown.more = element('tr', '', 'steps');
			const td = element('td');
			td.colSpan = this.columns.length + 1;
			td.append(content);
			shown.more.append(td);
			shown.tr.after(shown.more);
		}
		this.write(shown, shown.row);
	}
}
