package nats

import (
	"context"
	"fmt"
	"math"
	"slices"

	"gosper/broker"
)

// maxDead is how many cuts a log remembers. Before one more, the messages of the oldest are removed one by one.
const maxDead = 32

// Trim implements broker.Log. The newest message stays whatever is trimmed, as it says which entry comes next.
func (l *Log) Trim(ctx context.Context, log string, token, seq uint64) error {
	_, ctx, cancel, err := l.look(ctx, log)
	if err != nil {
		return err
	}
	defer cancel()
	return l.do(ctx, log, func(ctx context.Context, j *journal) error { return j.trim(ctx, token, seq) })
}

func (j *journal) trim(ctx context.Context, token, seq uint64) error {
	changed := false
	_, err := j.commit(ctx, token, func(now end) (*change, error) {
		gone, err := j.shotsFrom(ctx, 0, seq)
		if err != nil {
			return nil, err
		}
		c := &change{first: now.next(), low: min(max(seq, now.low), now.next()), dead: now.dead, gone: gone}
		if changed = c.low > now.low || len(gone) > 0; !changed && token == now.token {
			return nil, nil
		}
		return c, nil
	})
	if err != nil || !changed {
		return err
	}
	return j.purge(ctx)
}

// purge removes the messages before those that Read may want. The log is trimmed without it.
func (j *journal) purge(ctx context.Context) error {
	if !j.known {
		return nil // the next Trim does it
	}
	below := j.end.seq + 1 - j.end.parts
	if j.end.low < j.end.next() {
		at, err := j.halve(ctx, j.end, j.end.low)
		if err != nil {
			return err
		}
		below = at
	}
	if err := j.log.vault.purge(ctx, j.prefix+"e", below); err != nil {
		return err
	}
	j.end.dead = slices.DeleteFunc(slices.Clone(j.end.dead), func(s span) bool { return s.to <= below })
	return nil
}

// Cut implements broker.Log. The messages of what is cut stay until they are trimmed; the log's newest message says that
// they are dead.
func (l *Log) Cut(ctx context.Context, log string, token, from uint64) error {
	_, ctx, cancel, err := l.look(ctx, log)
	if err != nil {
		return err
	}
	defer cancel()
	return l.do(ctx, log, func(ctx context.Context, j *journal) error { return j.cut(ctx, token, max(from, 1)) })
}

func (j *journal) cut(ctx context.Context, token, from uint64) error {
	_, err := j.commit(ctx, token, func(now end) (*change, error) {
		if from >= now.next() && token == now.token {
			return nil, nil
		}
		if from >= now.next() {
			return &change{first: now.next(), low: now.low, dead: now.dead}, nil
		}
		gone, err := j.shotsFrom(ctx, from+1, math.MaxUint64)
		if err != nil {
			return nil, err
		}
		c, err := j.without(ctx, now, from)
		if err != nil {
			return nil, err
		}
		c.gone = gone
		return c, nil
	})
	return err
}

// without returns the change that makes entry from the next one: it holds the entries of the group with from that stay,
// and all messages from that group on are dead.
func (j *journal) without(ctx context.Context, now end, from uint64) (*change, error) {
	c := &change{first: from, low: min(now.low, from)}
	at := uint64(0)
	if from > now.low {
		var err error
		if at, err = j.halve(ctx, now, from); err != nil {
			return nil, err
		}
		g, _, err := j.probe(ctx, now, at)
		if err != nil {
			return nil, err
		}
		c.first = max(g.first, now.low)
	}
	if c.first < from {
		stay, err := j.read(ctx, now, c.first, int(from-c.first))
		if err != nil {
			return nil, err
		}
		if uint64(len(stay)) != from-c.first {
			return nil, fmt.Errorf("%w: the entries before %d of log %q cannot be read", broker.ErrBusy, from, j.name)
		}
		for _, e := range stay {
			c.entries = append(c.entries, e.Data)
		}
	}
	for _, s := range now.dead {
		if s.from < at {
			c.dead = append(c.dead, s)
		}
	}
	if len(c.dead) >= maxDead {
		if err := j.erase(ctx, c.dead[0]); err != nil {
			return nil, err
		}
		c.dead = c.dead[1:]
	}
	c.dead = append(c.dead, span{at, now.seq + 1})
	return c, nil
}

// erase removes the messages of a span.
func (j *journal) erase(ctx context.Context, s span) error {
	for {
		m, err := j.log.vault.next(ctx, j.prefix+"e", s.from)
		if err != nil {
			return err
		}
		if m.seq >= s.to {
			return nil
		}
		if err := j.log.vault.remove(ctx, m.seq); err != nil {
			return err
		}
		s.from = m.seq + 1
	}
}

// shotsFrom returns the names of the snapshots with a place of at least from and below to.
func (j *journal) shotsFrom(ctx context.Context, from, to uint64) ([]shot, error) {
	all, err := j.shots(ctx)
	return slices.DeleteFunc(all, func(s shot) bool { return s.at < from || s.at >= to }), err
}
