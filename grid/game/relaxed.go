package game

import (
	"context"
	"errors"
	"time"
)

// A game of relaxed durability answers edits when they are on the grid, and writes them to the log behind that. While the log
// cannot be reached it goes on so: what is not in the log yet is its tail, and goes there in order when the log answers
// again. What a crash may take is the tail alone. When another node has taken the game over meanwhile, the log refuses the
// tail and this copy is dropped with it. Everything but edits is durable first, as in other games, and waits for the tail.
//
// An append whose answer is an error may be in the log nevertheless. Then its entries stand there twice, one behind the
// other, with the same numbers: the first of each number is void or the second is, and the cells are the same (see entry).

// unlogged is a batch, or a mark, that has happened and is not in the log yet.
type unlogged struct {
	data []byte
	mark bool
	done func(error) // of a mark, or nil
}

// tail is what has happened and is not in the log, oldest first. The worker that has the game owns it.
type tail struct {
	list    []unlogged
	bytes   int
	sending int       // entries at the front that are on their way to the log
	failed  bool      // the last try was in vain
	next    time.Time // when to try again, after a failure
}

// tailRest is the time between two tries to write a tail.
const tailRest = 250 * time.Millisecond

// relaxed says that edits do not wait for the log.
func (g *Game) relaxed() bool { return g.m.relaxed }

// later adds an entry to the tail.
func (t *tail) later(u unlogged) {
	t.list = append(t.list, u)
	t.bytes += len(u.data)
}

// writeTail hands the front of the tail to the log.
func (g *Game) writeTail(now time.Time) {
	t := &g.tail
	if t.sending > 0 || len(t.list) == 0 || t.failed && now.Before(t.next) {
		return
	}
	var entries [][]byte
	for size := 0; t.sending < len(t.list) && (size == 0 || size+len(t.list[t.sending].data) <= batchBytes); t.sending++ {
		data := t.list[t.sending].data
		entries, size = append(entries, data), size+len(data)
	}
	n := uint64(len(entries))
	g.host.storage.Append(g.id.logName(), g.own.token, entries, func(first uint64, err error) {
		g.wrote(first+n-1, err)
		g.post(func() { g.wroteTail(err) })
	})
}

// wroteTail takes the answer of the log.
func (g *Game) wroteTail(err error) {
	t := &g.tail
	sent := t.list[:min(t.sending, len(t.list))]
	t.sending = 0
	if g.over {
		return
	}
	if t.failed = err != nil; t.failed {
		countFailure(err)
		t.next = time.Now().Add(tailRest)
		g.fencedNow(err)
		return
	}
	for i := range sent {
		t.bytes -= len(sent[i].data)
		if sent[i].done != nil {
			sent[i].done(nil)
		}
	}
	t.list = append(t.list[:0:0], t.list[len(sent):]...)
}

// dropTail gives up what is not in the log.
func (g *Game) dropTail(err error) {
	t := &g.tail
	edits := 0
	for _, u := range t.list {
		if u.done != nil {
			u.done(err)
		}
		if !u.mark {
			edits++
		}
	}
	if edits > 0 {
		g.host.log.Warn("edits of a game of relaxed durability are lost", "game", g.id, "batches", edits, "err", err)
		relaxedLost.Add(edits)
	}
	g.tail = tail{sending: t.sending}
}

// applyNow does what a batch of edits says before it is in the log, or refuses it when the tail has no room.
func (g *Game) applyNow(c *commit, data []byte) {
	if g.tail.bytes+len(data) > g.host.limits.RelaxedBytes {
		limitHit("relaxed_bytes")
		g.fail(c, &LimitError{Limit: "relaxed_bytes", Most: int64(g.host.limits.RelaxedBytes), Asked: int64(g.tail.bytes + len(data))})
		return
	}
	g.tail.later(unlogged{data: data})
	g.applyCommit(c)
	g.writeTail(time.Now())
}

// settled waits until nothing that has happened in a game of relaxed durability is missing in its log.
func (g *Game) settled(ctx context.Context) error {
	if !g.info.Load().Relaxed {
		return nil
	}
	quiet := make(chan error, 1)
	if err := g.whenQuiet(func(err error) { quiet <- err }); err != nil {
		return err
	}
	select {
	case err := <-quiet:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// waitsForTail says whether requests that are no edits have to wait, and refuses them when that may take long.
func (g *Game) waitsForTail(requests []*request) bool {
	switch {
	case len(g.tail.list) == 0:
		return false
	case g.tail.failed || g.host.away.Load():
		g.refuseBatch(requests)
	default: // the answer of the log comes soon, and with it the next turn
		g.mu.Lock()
		g.requests = append(requests, g.requests...)
		g.mu.Unlock()
	}
	return true
}

// errTail is what a tail ends with that the log did not take in time.
var errTail = errors.New("the node went down before the log took it")

// markLater puts a mark behind the tail. Without anybody who waits for it only one does: marks tell no more than the last of
// them.
func (g *Game) markLater(data []byte, done func(error)) {
	t := &g.tail
	if last := len(t.list) - 1; done == nil && last >= t.sending && t.list[last].mark {
		t.bytes += len(data) - len(t.list[last].data)
		t.list[last].data = data
		return
	}
	t.later(unlogged{data: data, mark: true, done: done})
}
