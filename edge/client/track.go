package client

import (
	"fmt"
	"sync"

	"gosper/protocol"
)

// tracker knows the newest position of every subject and judges each push by it: new, seen before, or after a hole.
type tracker struct {
	mu   sync.Mutex
	seen map[string]protocol.Position
}

func (t *tracker) init() { t.seen = map[string]protocol.Position{} }

// verdict is what the tracker thinks of a push.
type verdict uint8

const (
	fresh verdict = iota
	double
	afterHole
)

// judge takes the position of a push that has one and moves on.
func (t *tracker) judge(p protocol.Position) verdict {
	t.mu.Lock()
	defer t.mu.Unlock()
	last, known := t.seen[p.Subject]
	switch {
	case !known:
		t.seen[p.Subject] = p
		return fresh
	case last.Epoch == p.Epoch && p.Offset <= last.Offset:
		return double
	}
	t.seen[p.Subject] = p
	if last.Epoch == p.Epoch && p.Offset == last.Offset+1 {
		return fresh
	}
	return afterHole
}

// resumed takes the server's word on one subject after a resume. It returns the reason of a gap, or "".
func (t *tracker) resumed(r protocol.Resumed) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	last, known := t.seen[r.Subject]
	switch {
	case !known || r.Recovered && last.Epoch == r.Epoch:
		// Nothing was missed. Pushes on their way bring the position up to date; without one before, this is the start.
		if !known && r.Epoch != 0 {
			t.seen[r.Subject] = r.Position
		}
		return ""
	case last.Epoch == r.Epoch && r.Offset <= last.Offset:
		return "" // a push that came before this answer was told as a gap already
	}
	t.seen[r.Subject] = r.Position
	return fmt.Sprintf("the server could not tell what was said since position %d", last.Offset)
}

func (t *tracker) set(p protocol.Position) {
	t.mu.Lock()
	t.seen[p.Subject] = p
	t.mu.Unlock()
}

// all returns the newest position of every subject.
func (t *tracker) all() []protocol.Position {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]protocol.Position, 0, len(t.seen))
	for _, p := range t.seen {
		list = append(list, p)
	}
	return list
}
