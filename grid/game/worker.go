package game

import "sync"

// runQueue hands games that have something to do to a few workers, first come first served. A game is in it at most
// once and with one worker at a time, so nothing of a game needs a lock but its mailbox; and since a turn is short and
// the next turn of the same game goes to the end, a busy game delays others by a turn at most.
type runQueue struct {
	mu     sync.Mutex
	more   sync.Cond
	first  *Game
	last   *Game
	closed bool
	group  sync.WaitGroup
}

func newRunQueue(workers int, run func(*Game)) *runQueue {
	q := &runQueue{}
	q.more.L = &q.mu
	for range workers {
		q.group.Go(func() {
			for g := q.pop(); g != nil; g = q.pop() {
				run(g)
			}
		})
	}
	return q
}

// push adds a game. REQUIRES: it is not in the queue.
func (q *runQueue) push(g *Game) {
	q.mu.Lock()
	if g.queued = nil; q.first == nil {
		q.first = g
	} else {
		q.last.queued = g
	}
	q.last = g
	q.mu.Unlock()
	q.more.Signal()
}

// pop waits for a game; nil after close.
func (q *runQueue) pop() *Game {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.first == nil && !q.closed {
		q.more.Wait()
	}
	g := q.first
	if g != nil {
		q.first = g.queued
	}
	return g
}

// close lets the workers end when the queue is empty, and waits for them.
func (q *runQueue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.more.Broadcast()
	q.group.Wait()
}
