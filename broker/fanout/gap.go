package fanout

// Gap tells the subscribers of every pattern for which affected answers true that messages may have been missed, and
// returns how many were told. Handlers are called on this goroutine, without a lock, so they may use the table.
func (t *Table) Gap(reason string, affected func(pattern string) bool) (told int) {
	for _, e := range t.entries(affected) {
		if e.gap != nil && !e.gone.Load() {
			e.tell(reason)
			told++
		}
	}
	return told
}

// tell calls the handler; its panic is logged, and the others are told all the same.
func (e *entry) tell(reason string) {
	defer caught(e.pattern)
	e.gap(reason)
}

// entries returns the live subscriptions of the patterns that were asked for.
func (t *Table) entries(of func(pattern string) bool) (found []*entry) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	add := func(l *list) {
		for _, e := range l.entries {
			if !e.gone.Load() && of(e.pattern) {
				found = append(found, e)
			}
		}
	}
	for _, l := range t.exact {
		add(l)
	}
	t.root.visit(add)
	return found
}

// visit calls fn for every list at n and below.
func (n *node) visit(fn func(*list)) {
	fn(&n.here)
	fn(&n.rest)
	if n.star != nil {
		n.star.visit(fn)
	}
	for _, kid := range n.kids {
		kid.visit(fn)
	}
}
