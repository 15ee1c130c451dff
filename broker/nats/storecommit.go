package nats

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	"gosper/broker"
	"gosper/broker/keys"
)

// Limits of one Commit. NATS takes 1,000 messages in a batch.
const (
	MaxCommit      = 900      // records; each 256 KiB of a larger value count as one more
	MaxCommitBytes = 24 << 20 // bytes of keys and values; above: broker.ErrTooLarge
	raceWait       = 5 * time.Millisecond

	// staleWait is how long a commit that was refused does not believe that a record is older than its caller knows it: a server
	// that stood still, and led the stream before, tells so for a moment.
	staleWait = 500 * time.Millisecond

	// writeHeader tells the write of a single record from every other. A batch has its own id.
	writeHeader = "Gosper-Write"
)

// Commit implements broker.Store. One record is one message with its condition, several are one atomic batch, so all
// nodes may write at once and the stream's leader decides. broker.ErrTimeout means that nobody knows whether it happened.
func (s *Store) Commit(ctx context.Context, ops ...broker.Op) ([]uint64, error) {
	ctx, cancel, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	if err := keys.CheckOps(ops); err != nil {
		return nil, err
	}
	c := &commit{store: s, ops: ops, after: make([]uint64, len(ops))}
	for i, op := range ops {
		c.after[i] = op.Revision
	}
	if c.blind() {
		known, _ := s.index.get(ops[0].Key)
		c.after[0] = known.revision
	}
	if len(ops) == 0 || len(ops) == 1 && ops[0].Value == nil && s.absent(ctx, ops[0]) {
		return make([]uint64, len(ops)), nil
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.doubtful() {
		if err := c.explain(ctx); err != nil {
			return nil, err
		}
	}
	return c.run(ctx)
}

// absent reports whether a record that is to be deleted, whatever its revision, is not there.
func (s *Store) absent(ctx context.Context, op broker.Op) bool {
	if _, known := s.index.get(op.Key); known || op.Revision != broker.AnyRevision {
		return false
	}
	_, err := s.present(ctx, op.Key)
	return errors.Is(err, broker.ErrNotFound)
}

// commit is a Commit under way.
type commit struct {
	store *Store
	ops   []broker.Op
	after []uint64 // of each op: the sequence its subject's newest message must have, or broker.AnyRevision
	heads []int    // of each op: the place of its record among the messages

	ids   map[string]bool // of the writes so far; nil when the stream has one copy, so that every refusal is true
	stale time.Time       // until then a record that is older than it should be is no answer
	last  uint64          // with errDone: where its last message is
}

// blind reports whether the commit is one write of a record whatever it was. It is made behind the newest that is known all the
// same, and again when that was another one: else a write that stood still on its way, in a server that was stopped perhaps,
// would take the place of newer ones when it came.
func (c *commit) blind() bool { return len(c.ops) == 1 && c.ops[0].Revision == broker.AnyRevision }

func (c *commit) check() error {
	bytes, count := 0, 0
	for _, op := range c.ops {
		bytes += len(op.Key) + len(op.Value)
		count += 1 + len(op.Value)/c.store.part
	}
	if bytes > MaxCommitBytes || count > MaxCommit {
		return fmt.Errorf("%w: a commit of %d records with %d bytes, at most %d messages and %d bytes are allowed", broker.ErrTooLarge,
			len(c.ops), bytes, MaxCommit, MaxCommitBytes)
	}
	return nil
}

// doubtful reports whether the index says that a condition of several does not hold. It may be behind, but to ask costs
// less than a batch in vain.
func (c *commit) doubtful() bool {
	for _, op := range c.ops {
		if known, _ := c.store.index.get(op.Key); len(c.ops) > 1 && op.Revision != broker.AnyRevision && op.Revision != known.revision {
			return true
		}
	}
	return false
}

// run tries until the outcome is known.
func (c *commit) run(ctx context.Context) ([]uint64, error) {
	pause := time.Duration(0)
	for {
		messages := c.messages()
		last, err := c.store.vault.write(ctx, messages...)
		c.note(messages[len(messages)-1])
		var refused *apiError
		switch {
		case err == nil:
			commitsTotal.Inc()
			return c.done(last), nil
		case errors.Is(err, errRaced):
			if c.ids != nil && c.stale.IsZero() {
				c.stale = time.Now().Add(staleWait)
			}
			if err := c.explain(ctx); errors.Is(err, errDone) {
				commitsTotal.Inc()
				return c.done(c.last), nil
			} else if err != nil {
				return nil, err
			}
			pause = min(pause*2+time.Millisecond, retryAfter)
		case errors.As(err, &refused) && refused.passing(), errors.Is(err, broker.ErrBusy):
			pause = retryAfter
		default:
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, away(ctx, err)
		case <-time.After(pause/2 + rand.N(pause)):
		}
	}
}

// messages returns the messages of all ops.
func (c *commit) messages() []*nats.Msg {
	var all []*nats.Msg
	c.heads = c.heads[:0]
	for i, op := range c.ops {
		all = append(all, c.store.messages(op, c.after[i])...)
		c.heads = append(c.heads, len(all)-1)
	}
	if v := c.store.vault; len(all) == 1 && v.opts.Replicas > 1 {
		all[0].Header = also(all[0].Header, writeHeader, v.newID())
	}
	return all
}

// note remembers a write by its last message, when its refusal may be wrong; see vault.doubted.
func (c *commit) note(last *nats.Msg) {
	if c.store.vault.opts.Replicas == 1 {
		return
	}
	if c.ids == nil {
		c.ids = make(map[string]bool)
	}
	c.ids[writeID(last.Header)] = true
}

// writeID is what tells the write of a message from others; "" when nobody needs to know.
func writeID(h nats.Header) string { return h.Get(writeHeader) + h.Get("Nats-Batch-Id") }

// errDone: the commit is stored, although its answer was a refusal.
var errDone = errors.New("nats: the commit is there")

// explain finds the first condition that does not hold. When all do, it was a write that came between, or the mark of a
// deleted record, which is the newest message of its subject all the same. errDone says that one of the writes is stored.
func (c *commit) explain(ctx context.Context) error {
	var verdict error
	for i, op := range c.ops {
		if op.Revision == broker.AnyRevision && !c.blind() {
			continue
		}
		m, err := c.store.present(ctx, op.Key)
		revision := m.seq
		if errors.Is(err, broker.ErrNotFound) {
			revision = 0
		} else if err != nil {
			return err
		}
		if id := writeID(m.header); id != "" && c.ids[id] {
			c.last = m.seq + uint64(c.heads[len(c.heads)-1]-c.heads[i])
			return errDone
		}
		if m.seq < op.Revision && !c.blind() && time.Now().Before(c.stale) {
			continue
		}
		c.after[i] = m.seq
		if verdict == nil {
			verdict = keys.Condition(op, revision)
		}
		if verdict != nil && c.ids == nil {
			return verdict
		}
	}
	return verdict
}

// present asks the leader for a record's newest message; with broker.ErrNotFound it is the mark of a deleted one, or none.
func (s *Store) present(ctx context.Context, key string) (item, error) {
	m, err := s.vault.last(ctx, recordPrefix+token(key))
	if err == nil && readMark(m.header).deleted {
		err = broker.ErrNotFound
	}
	return m, err
}

// done returns the revisions of a commit whose last message is at last.
func (c *commit) done(last uint64) []uint64 {
	first := last - uint64(c.heads[len(c.heads)-1])
	revisions := make([]uint64, len(c.ops))
	for i, op := range c.ops {
		if op.Value != nil {
			revisions[i] = first + uint64(c.heads[i])
		}
	}
	return revisions
}
