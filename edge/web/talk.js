/** A room of the chat on the screen: its feed, its lines, what is under way, the field to write in. */
import { CallError } from '/gosper.js';
import { Feed } from '/feed.js';
import { $, button, explain, hue, make } from '/screens.js';

const NEAR_END = 80; // pixels from the end within which the log follows new lines

export class Room {
	#node;
	#family; // whether it is the family's room
	#log;
	#list;
	#pendingList;
	#field;
	#badge;

	// The present talk.
	#feed = new Feed();
	#shown = new Map(); // line -> element
	#me = '';
	#open = false;
	#complete = false; // the history was shown
	unread = 0;

	/** Wires the room in the tab panel of that name. */
	constructor(node, name) {
		this.#node = node;
		this.#family = name === 'family';
		const root = $(`room-${name}`);
		root.prepend($('room').content.cloneNode(true));
		this.#log = root.querySelector('.log');
		[this.#list, this.#pendingList] = root.querySelectorAll('.lines');
		this.#badge = $(`tab-${name}`).querySelector('.badge');
		this.#field = root.querySelector('[name=text]');
		this.#field.id = `say-${name}`;
		this.#field.placeholder = `Say something to ${this.#family ? 'your family' : 'the world'}`;
		this.#field.setAttribute('aria-label', `Message to the ${name}`);
		this.#log.setAttribute('aria-label', `Chat of the ${name}`);
		this.#field.form.addEventListener('submit', (event) => {
			event.preventDefault();
			const text = this.#field.value.trim();
			this.#field.focus();
			this.#field.value = '';
			if (text) this.#say(text);
		});
	}

	/** Begins a new talk as `name`, with what the node remembers of it. */
	async enter(name) {
		this.leave();
		this.#open = true;
		this.#me = name;
		await this.#load();
	}

	/** Clears the room. */
	leave() {
		this.#open = this.#complete = false;
		this.#feed = new Feed();
		this.#shown.clear();
		this.#list.replaceChildren();
		this.#pendingList.replaceChildren();
		this.read();
	}

	/** A push of this room. */
	push(content, position, inSight) {
		if (!this.#open || !position) return;
		this.#add({ name: content.name, text: content.text, time: content.time, epoch: position.epoch, offset: position.offset });
		if (!inSight && content.name !== this.#me) this.#mark(this.unread + 1);
	}

	/** The node could not fill a hole: say so and show what it still has. */
	async gap() {
		if (!this.#open) return;
		this.#list.append(make('li', 'aside', 'Some messages may be missing here: the server no longer has them.'));
		this.#complete = false;
		await this.#load();
	}

	/** The link is back; recovered: all that was missed has been handed out. */
	resumed(recovered) {
		if (this.#open && !this.#complete) this.#load();
		for (const pending of this.#feed.resumed(recovered)) this.#deliver(pending);
		this.#drawPending();
	}

	/** The room came into sight. */
	read() {
		this.#mark(0);
		this.#end();
	}

	#end() { this.#log.scrollTop = this.#log.scrollHeight; }

	#mark(count) {
		this.unread = count;
		this.#badge.hidden = count === 0;
		this.#badge.textContent = count;
		this.#badge.setAttribute('aria-label', `${count} new`);
	}

	async #load() {
		const feed = this.#feed;
		this.#log.setAttribute('aria-busy', 'true'); // a page of old lines is not read out
		try {
			const { messages = [] } = await this.#node.call('/chat/history', { family: this.#family });
			if (feed !== this.#feed) return;
			this.#complete = true;
			for (const message of messages) this.#add(message);
			this.#end();
		} catch (error) {
			// After a broken link the resume that follows tries again.
			if (!(error instanceof CallError && error.link)) this.#list.append(make('li', 'aside', explain(error)));
		} finally {
			this.#log.removeAttribute('aria-busy');
		}
	}

	// ---- lines ----

	#add(line) {
		const at = this.#feed.add(line);
		if (at < 0) return;
		const follow = this.#log.scrollHeight - this.#log.scrollTop - this.#log.clientHeight < NEAR_END;
		const element = this.#draw(line);
		this.#list.insertBefore(element, this.#shown.get(this.#feed.lines[at + 1]) ?? null);
		this.#shown.set(line, element);
		this.#trim();
		const mine = line.name === this.#me;
		if (mine) this.#feed.recognise(line);
		this.#feed.settle();
		this.#drawPending();
		if (follow || mine) this.#end();
	}

	#trim() {
		const before = [...this.#feed.lines];
		for (const line of before.slice(0, this.#feed.trim())) {
			this.#shown.get(line)?.remove();
			this.#shown.delete(line);
		}
	}

	#draw({ name, text, time }) {
		const element = make('li', name === this.#me ? 'line mine' : 'line');
		const head = make('header', '');
		const author = make('span', 'name', name);
		author.style.color = `light-dark(hsl(${hue(name)} 70% 24%), hsl(${hue(name)} 70% 75%))`;
		const when = new Date(time);
		const clock = make('time', '', when.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }));
		clock.dateTime = when.toISOString();
		head.append(author, clock);
		element.append(head, make('p', 'text', text));
		return element;
	}

	// ---- our own lines under way ----

	#say(text) {
		const pending = this.#feed.write(text);
		if (this.#node.state === 'open') this.#deliver(pending);
		this.#drawPending();
		this.#end();
	}

	async #deliver(pending) {
		const feed = this.#feed;
		[pending.state, pending.problem] = ['sent'];
		try {
			const at = await this.#node.call(this.#family ? '/chat/family' : '/chat/public', { text: pending.text });
			feed.accept(pending, at);
		} catch (error) {
			if (error instanceof CallError && error.link) pending.state = error.status === 'offline' ? 'queued' : 'unsure';
			else [pending.state, pending.problem] = ['refused', explain(error)];
		}
		if (feed === this.#feed) this.#drawPending();
	}

	#drawPending() {
		this.#pendingList.replaceChildren(...this.#feed.pending.map((pending) => {
			const element = make('li', 'line');
			const { state, problem } = pending;
			const act = (text, work) => button('', text, () => {
				work();
				this.#drawPending();
				this.#field.focus(); // the button has gone
			});
			element.append(make('p', 'text', pending.text));
			if (state === 'queued') element.append(make('p', 'note', 'Waits for the connection'));
			if (state === 'refused' || state === 'unsure') {
				element.append(make('p', `note ${state}`, problem ?? 'The connection broke: this may not have arrived.'),
					act('Send again', () => this.#deliver(pending)), act('Discard', () => this.#feed.drop(pending)));
			}
			return element;
		}));
	}
}
