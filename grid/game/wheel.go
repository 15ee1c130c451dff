package game

import (
	"math/bits"
	"sync"
	"time"
)

// wheel wakes games when they are due. One goroutine sleeps until the next slot that holds a game: with no game running
// it sleeps for good, with a thousand it wakes about once a millisecond and hands over all games of the slot.
//
//	slot 0   1   2  …  1023
//	     │       └─ g ⇄ g ⇄ g      games whose due millisecond has these low bits
//	     └─ g
//
// A game whose time is more than one turn away stays in its slot; it is looked at once a turn.
type wheel struct {
	fire func(*Game)
	zero time.Time // tick 0
	wake chan struct{}
	quit chan struct{}
	done chan struct{}

	mu    sync.Mutex
	slots [wheelSlots]*Game
	used  [wheelSlots / 64]uint64 // bit per slot: it holds a game
	now   int64                   // last tick that was run
	next  int64                   // tick the goroutine sleeps until
}

const (
	wheelSlots = 1024
	wheelTick  = time.Millisecond
)

// wheelLink is the part of a game that the wheel owns, guarded by the wheel's mu.
type wheelLink struct {
	next, prev *Game
	due        int64
	linked     bool
}

func newWheel(fire func(*Game)) *wheel {
	w := &wheel{fire: fire, zero: time.Now(), wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}), next: never}
	go w.run()
	return w
}

const never = int64(^uint64(0) >> 1)

// close ends the goroutine and waits for it.
func (w *wheel) close() {
	close(w.quit)
	<-w.done
}

// set makes g fire at t, whatever was set before; the zero time means not at all. Any goroutine.
func (w *wheel) set(g *Game, t time.Time) {
	w.mu.Lock()
	w.unlink(g)
	early := false
	if !t.IsZero() {
		due := max(int64((t.Sub(w.zero)+wheelTick-1)/wheelTick), w.now+1)
		w.link(g, due)
		early = due < w.next
	}
	w.mu.Unlock()
	if early {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

func (w *wheel) link(g *Game, due int64) {
	slot := &w.slots[due%wheelSlots]
	g.timer = wheelLink{next: *slot, due: due, linked: true}
	if *slot != nil {
		(*slot).timer.prev = g
	}
	*slot = g
	w.used[due%wheelSlots/64] |= 1 << (due % 64)
}

func (w *wheel) unlink(g *Game) {
	t := &g.timer
	if !t.linked {
		return
	}
	if t.next != nil {
		t.next.timer.prev = t.prev
	}
	if t.prev != nil {
		t.prev.timer.next = t.next
	} else if w.slots[t.due%wheelSlots] = t.next; t.next == nil {
		w.used[t.due%wheelSlots/64] &^= 1 << (t.due % 64)
	}
	*t = wheelLink{}
}

func (w *wheel) run() {
	defer close(w.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-w.quit:
			return
		case <-w.wake:
		case <-timer.C:
		}
		due, sleep := w.advance(int64(time.Since(w.zero) / wheelTick))
		for g := due; g != nil; {
			next := g.fired
			g.fired = nil
			w.fire(g)
			g = next
		}
		if sleep > 0 {
			timer.Reset(sleep)
		}
	}
}

// advance takes out all games due up to tick now, as a list through fired, and says how long to sleep; 0 for ever.
func (w *wheel) advance(now int64) (due *Game, sleep time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	from := max(w.now+1, now-wheelSlots+1) // one turn reaches every slot
	for tick := from; tick <= now; tick++ {
		for g := w.slots[tick%wheelSlots]; g != nil; {
			next := g.timer.next
			if g.timer.due <= now {
				w.unlink(g)
				g.fired, due = due, g
			}
			g = next
		}
	}
	w.now = max(w.now, now)
	if w.next = w.nextSlot(); w.next == never {
		return due, 0
	}
	return due, max(time.Until(w.zero.Add(time.Duration(w.next)*wheelTick)), time.Nanosecond)
}

// nextSlot is the next tick whose slot holds a game.
func (w *wheel) nextSlot() int64 {
	from := w.now + 1
	for n := int64(0); n < wheelSlots; {
		slot := (from + n) % wheelSlots
		if word := w.used[slot/64] >> (slot % 64); word != 0 {
			n += int64(bits.TrailingZeros64(word))
			if n < wheelSlots {
				return from + n
			}
			break
		}
		n += 64 - slot%64
	}
	return never
}
