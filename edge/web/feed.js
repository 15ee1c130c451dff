/**
 * What one room of the chat shows: messages {name, text, time, epoch, offset} in the order of their history, none twice,
 * and the player's own lines {id, text, state: 'queued', 'sent', 'unsure' or 'refused', problem, at} that are under way.
 */
const LONGEST = 500; // lines kept on the page, the oldest go first

export class Feed {
	lines = [];
	pending = [];
	#nextID = 1;

	/** Puts a line at its place: behind all of its epoch with a smaller offset. Its index, or -1 when it is there or too old. */
	add(line) {
		if (this.has(line.epoch, line.offset)) return -1;
		let at = this.lines.length;
		for (; at > 0; at--) {
			const before = this.lines[at - 1];
			if (before.epoch !== line.epoch || before.offset < line.offset) break;
		}
		if (at === 0 && this.lines.length >= LONGEST) return -1;
		this.lines.splice(at, 0, line);
		return at;
	}

	/** Takes off the oldest lines beyond the limit, and returns how many. */
	trim() { return this.lines.splice(0, Math.max(0, this.lines.length - LONGEST)).length; }

	has(epoch, offset) { return this.lines.some((line) => line.epoch === epoch && line.offset === offset); }

	/** Notes a line of our own that is to be sent. */
	write(text) {
		const pending = { id: this.#nextID++, text, state: 'queued' };
		this.pending.push(pending);
		return pending;
	}

	/** The node took the line as this position: it is done as soon as the line itself is here. */
	accept(pending, at) {
		pending.at = at;
		this.settle();
	}

	/** Takes off the pending lines that have arrived. */
	settle() { this.pending = this.pending.filter(({ at }) => !at || !this.has(at.epoch, at.offset)); }

	drop(pending) { this.pending = this.pending.filter((other) => other !== pending); }

	/** A line of our own came in. If one with the same words is unsure (the link broke before its answer), this is it. */
	recognise(line) { this.drop(this.pending.find(({ state, text }) => state === 'unsure' && text === line.text)); }

	/**
	 * The link is back: the lines to send now. After a full recovery what is unsure never reached the node; without one that
	 * is not known, so those lines wait for the player's decision.
	 */
	resumed(recovered) {
		if (recovered) for (const pending of this.pending) if (pending.state === 'unsure') pending.state = 'queued';
		return this.pending.filter(({ state }) => state === 'queued');
	}
}
