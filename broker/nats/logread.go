package nats

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gosper/broker"
)

// Read implements broker.Log. The leader says where the log ends, any replica hands out the entries.
func (l *Log) Read(ctx context.Context, log string, from uint64, limit int) ([]broker.LogEntry, error) {
	j, ctx, cancel, err := l.look(ctx, log)
	if err != nil {
		return nil, err
	}
	defer cancel()
	if limit <= 0 {
		return nil, nil
	}
	for {
		now, err := j.load(ctx)
		if err != nil {
			return nil, err
		}
		found, err := j.read(ctx, now, from, limit)
		if !errors.Is(err, errChanged) {
			return found, err
		}
		select {
		case <-ctx.Done():
			return nil, away(ctx, err)
		case <-time.After(behindWait):
		}
	}
}

// errChanged: the log was trimmed or dropped while it was read.
var errChanged = errors.New("nats: the log changed while it was read")

// read returns entries of a log whose end is now.
func (j *journal) read(ctx context.Context, now end, from uint64, limit int) ([]broker.LogEntry, error) {
	from = max(from, now.low)
	if from >= now.next() {
		return nil, nil
	}
	seq, err := j.locate(ctx, now, from)
	if err != nil {
		return nil, err
	}
	r := &scan{end: now, next: from, limit: limit}
	for !r.full() {
		items, err := j.log.vault.page(ctx, j.prefix+"e", seq, min(limit-len(r.found), maxPage-1)+1)
		if err != nil {
			return nil, err
		}
		if len(items) == 0 {
			if seq > now.seq {
				return nil, errChanged
			}
			if err := j.behind(ctx, seq); err != nil {
				return nil, err
			}
			continue
		}
		for _, m := range items {
			seq = m.seq + 1
			if err := r.take(m); err != nil {
				return nil, fmt.Errorf("%w: log %q", err, j.name)
			}
		}
	}
	j.log.remember(j.name, r.hint)
	logReadsTotal.Add(len(r.found))
	return r.found, nil
}

// behind waits a moment for a replica that has nothing at seq, unless the leader has nothing there either.
func (j *journal) behind(ctx context.Context, seq uint64) error {
	if _, err := j.log.vault.next(ctx, j.prefix+"e", seq); errors.Is(err, broker.ErrNotFound) {
		return errChanged
	} else if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return away(ctx, errBehind)
	case <-time.After(behindWait):
		return nil
	}
}

// scan collects the entries of a log from its messages.
type scan struct {
	end   end
	next  uint64 // Seq of the entry that is wanted next
	limit int
	found []broker.LogEntry
	data  []byte // of the parts of a group so far
	parts uint64
	hint  hint
}

// full reports whether nothing more is wanted.
func (r *scan) full() bool { return len(r.found) >= r.limit || r.next >= r.end.next() }

// take reads the next message.
func (r *scan) take(m item) error {
	if _, dead := holds(r.end.dead, m.seq); dead || m.seq > r.end.seq || r.full() {
		return nil
	}
	g, err := readGroup(m.header.Get(groupHeader))
	if err != nil {
		return err
	}
	if g.part != r.parts {
		return errChanged
	}
	r.data = append(r.data, m.data...)
	if r.parts++; r.parts < g.parts {
		return nil
	}
	entries, err := g.entries(r.data)
	r.data, r.parts = nil, 0
	if err != nil {
		return err
	}
	if len(entries) > 0 && g.first > r.next {
		return errChanged
	}
	r.hint = hint{r.next, m.seq + 1 - g.parts}
	for _, e := range entries {
		if e.Seq == r.next && !r.full() {
			r.found = append(r.found, e)
			r.next++
		}
	}
	if r.next == g.next() {
		r.hint = hint{r.next, m.seq + 1}
	}
	return nil
}

// hint is a place where reading a log may go on: entries from seq on are in messages from at on.
type hint struct{ seq, at uint64 }

// remember keeps a hint for the next Read. Entries never move to the front, so it stays right whatever is written.
func (l *Log) remember(name string, h hint) {
	l.mu.Lock()
	defer l.mu.Unlock()
	j := l.journals[name]
	if j == nil {
		j = l.newJournal(name)
	}
	j.hint = h
}

// locate returns a sequence at or before the group with the entry from, and behind most of those before it.
func (j *journal) locate(ctx context.Context, now end, from uint64) (uint64, error) {
	if from == now.low {
		return 1, nil
	}
	if h := j.log.hint(j.name); h.seq == from {
		return h.at, nil
	}
	return j.halve(ctx, now, from)
}

// halve finds the group with the entry from, by halving the stream, and returns the sequence of its first message.
func (j *journal) halve(ctx context.Context, now end, from uint64) (uint64, error) {
	best := uint64(1)
	for lo, hi := uint64(1), now.seq; lo <= hi; {
		mid := lo + (hi-lo)/2
		g, at, err := j.probe(ctx, now, mid)
		if err != nil {
			return 0, err
		}
		if at <= now.seq && g.first <= from {
			best, lo = at-g.part, at+1
		} else {
			hi = mid - 1
		}
	}
	return best, nil
}

func (l *Log) hint(name string) hint {
	l.mu.Lock()
	defer l.mu.Unlock()
	if j := l.journals[name]; j != nil {
		return j.hint
	}
	return hint{}
}

// probe returns the first message at or behind seq that was not cut, and its sequence.
func (j *journal) probe(ctx context.Context, now end, seq uint64) (*bundle, uint64, error) {
	for {
		m, err := j.log.vault.next(ctx, j.prefix+"e", seq)
		if errors.Is(err, broker.ErrNotFound) {
			return nil, 0, errChanged
		}
		if err != nil {
			return nil, 0, err
		}
		if to, dead := holds(now.dead, m.seq); dead {
			seq = to
			continue
		}
		g, err := readGroup(m.header.Get(groupHeader))
		if err != nil {
			return nil, 0, fmt.Errorf("%w: log %q", err, j.name)
		}
		return g, m.seq, nil
	}
}
