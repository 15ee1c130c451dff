// Package fanout is the half of a Bus that every engine has in common: the table of local subscriptions, the lanes that
// keep the order of each subject without ever blocking a publisher, and the bounded histories.
package fanout

import (
	"strings"
	"sync"
	"sync/atomic"

	"gosper/broker"
)

// Table is the set of local subscriptions. Exact subjects are found by one map lookup; patterns live in a trie by
// token, which is walked level by level. The zero value is ready. All methods may be called from any goroutine.
type Table struct {
	mu    sync.RWMutex
	exact map[string]*list // guarded by mu
	root  node             // guarded by mu
	wild  int              // guarded by mu: subscriptions in the trie; 0 skips the walk
	live  atomic.Int64
}

// entry is one subscription.
type entry struct {
	table   *Table
	pattern string
	message func(*broker.Message)
	gap     func(reason string)
	gone    atomic.Bool
}

// list holds the subscriptions of one pattern. Matching takes a copy of the slice header and reads it without the lock:
// that is safe because entries are only ever appended; leaving marks an entry as gone, and a list with many gone
// entries is rebuilt in a new array. So joining and leaving cost O(1) on average, with any number of subscribers.
type list struct {
	entries []*entry
	gone    int
}

// node is one token of the trie.
type node struct {
	parent *node
	token  string
	kids   map[string]*node
	star   *node
	here   list // patterns that end with this token
	rest   list // patterns that end with > below this token
}

// Scratch is what matching needs to run without allocating. Its owner uses it for one match at a time.
type Scratch struct {
	lists     [][]*entry
	now, next []*node
}

// Subscribe adds h for pattern. The error is broker.ErrBadName.
func (t *Table) Subscribe(pattern string, h broker.Handler) (broker.Subscription, error) {
	if !broker.ValidPattern(pattern) {
		return nil, broker.BadName("pattern", pattern)
	}
	e := &entry{table: t, pattern: pattern, message: h.Message, gap: h.Gap}
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.grow(pattern)
	l.entries = append(l.entries, e)
	if broker.Wild(pattern) {
		t.wild++
	}
	t.live.Add(1)
	return e, nil
}

// Len returns the number of subscriptions.
func (t *Table) Len() int { return int(t.live.Load()) }

// Unsubscribe implements broker.Subscription.
func (e *entry) Unsubscribe() {
	e.table.mu.Lock()
	defer e.table.mu.Unlock()
	if e.gone.Swap(true) {
		return
	}
	e.table.live.Add(-1)
	e.table.remove(e)
}

// remove counts e out of its list and tidies up what became empty. Caller holds mu.
func (t *Table) remove(e *entry) {
	l, n := t.find(e.pattern)
	l.gone++
	l.compact()
	switch {
	case n != nil:
		t.wild--
		n.prune()
	case len(l.entries) == 0:
		delete(t.exact, e.pattern)
	}
}

// compact rebuilds the list without its gone entries once they are the larger part.
func (l *list) compact() {
	if l.gone*2 <= len(l.entries) {
		return
	}
	kept := make([]*entry, 0, len(l.entries)-l.gone)
	for _, e := range l.entries {
		if !e.gone.Load() {
			kept = append(kept, e)
		}
	}
	l.entries, l.gone = kept, 0
}

// grow returns the list of pattern, making the way to it. Caller holds mu.
func (t *Table) grow(pattern string) *list {
	if !broker.Wild(pattern) {
		l := t.exact[pattern]
		if l == nil {
			if t.exact == nil {
				t.exact = make(map[string]*list)
			}
			l = new(list)
			t.exact[pattern] = l
		}
		return l
	}
	n := &t.root
	for {
		token, rest, more := strings.Cut(pattern, ".")
		if token == ">" {
			return &n.rest
		}
		n = n.child(token)
		if !more {
			return &n.here
		}
		pattern = rest
	}
}

// child returns the node below n for token, making it when it is missing.
func (n *node) child(token string) *node {
	if token == "*" {
		if n.star == nil {
			n.star = &node{parent: n, token: token}
		}
		return n.star
	}
	kid := n.kids[token]
	if kid == nil {
		if n.kids == nil {
			n.kids = make(map[string]*node)
		}
		kid = &node{parent: n, token: token}
		n.kids[token] = kid
	}
	return kid
}

// find returns the list of a pattern that is in the table and, for a wild one, the trie node that holds it. Caller
// holds mu.
func (t *Table) find(pattern string) (*list, *node) {
	if !broker.Wild(pattern) {
		return t.exact[pattern], nil
	}
	n := &t.root
	for {
		token, rest, more := strings.Cut(pattern, ".")
		switch token {
		case ">":
			return &n.rest, n
		case "*":
			n = n.star
		default:
			n = n.kids[token]
		}
		if !more {
			return &n.here, n
		}
		pattern = rest
	}
}

// prune removes n and its parents as far as they hold nothing. Caller holds mu.
func (n *node) prune() {
	for n.parent != nil && len(n.kids) == 0 && n.star == nil && len(n.here.entries) == 0 && len(n.rest.entries) == 0 {
		up := n.parent
		if up.star == n {
			up.star = nil
		} else {
			delete(up.kids, n.token)
		}
		n = up
	}
}

// match collects in s every list that the subject reaches.
func (t *Table) match(subject string, s *Scratch) {
	s.lists = s.lists[:0]
	t.mu.RLock()
	defer t.mu.RUnlock()
	if l := t.exact[subject]; l != nil {
		s.lists = append(s.lists, l.entries)
	}
	if t.wild > 0 {
		t.walk(subject, s)
	}
}

// walk goes down the trie one token at a time with all nodes that are still possible. Its cost is bounded by the
// number of patterns that share the subject's beginning, never by the text of one pattern. Caller holds mu.
func (t *Table) walk(subject string, s *Scratch) {
	s.now = append(s.now[:0], &t.root)
	for more := true; more && len(s.now) > 0; {
		var token string
		token, subject, more = strings.Cut(subject, ".")
		s.next = s.next[:0]
		for _, n := range s.now {
			s.add(&n.rest)
			if kid := n.kids[token]; kid != nil {
				s.next = append(s.next, kid)
			}
			if n.star != nil {
				s.next = append(s.next, n.star)
			}
		}
		s.now, s.next = s.next, s.now
		if !more {
			for _, n := range s.now {
				s.add(&n.here)
			}
		}
	}
}

func (s *Scratch) add(l *list) {
	if len(l.entries) > 0 {
		s.lists = append(s.lists, l.entries)
	}
}

// deliver calls every matched subscription. The message is made on first need, so that a publish nobody listens to
// allocates nothing.
func (t *Table) deliver(p *post, s *Scratch) {
	t.match(p.subject, s)
	if len(s.lists) == 0 {
		return
	}
	m := p.msg
	if m == nil {
		m = &broker.Message{Subject: p.subject, Data: p.data, Time: p.time}
	}
	for i, entries := range s.lists {
		for len(entries) > 0 {
			entries = entries[call(entries, m):]
		}
		s.lists[i] = nil // do not keep a list of thousands alive in an idle lane
	}
}

// call hands m to the entries and returns how many are done. A handler that panics is logged and counts as done: its
// neighbours and the lane live on.
func call(entries []*entry, m *broker.Message) (done int) {
	defer caught(m.Subject)
	for _, e := range entries {
		done++
		if e.message != nil && !e.gone.Load() {
			e.message(m)
		}
	}
	return done
}
