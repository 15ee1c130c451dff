package edge

// wheel is a hashed timing wheel of sessions, owned by one loop. Each session is in it at most once, linked through its
// own fields, so that adding, moving and removing cost no memory and no search.
//
//	slot 0   1   2  …  255
//	     │       └─ s ⇄ s ⇄ s      sessions whose due tick has these low bits
//	     └─ s
//
// Time is counted in ticks of 100 ms since the engine started. A session whose due tick is further away than one turn of
// the wheel stays in its slot until its turn comes.
type wheel struct {
	slots [wheelSlots]*Session
	now   uint32 // last tick that was run
}

const wheelSlots = 256 // 25.6 s a turn: a heartbeat of 25 s is looked at once

// timerLink is the part of a session that the wheel owns.
type timerLink struct {
	next, prev *Session
	due        uint32
	linked     bool
}

// set schedules s for the tick due, moving it when it was scheduled. A due tick in the past means the next tick.
func (w *wheel) set(s *Session, due uint32) {
	if s.timer.linked {
		if s.timer.due == due {
			return
		}
		w.remove(s)
	}
	if int32(due-w.now) <= 0 {
		due = w.now + 1
	}
	slot := &w.slots[due%wheelSlots]
	s.timer = timerLink{next: *slot, due: due, linked: true}
	if *slot != nil {
		(*slot).timer.prev = s
	}
	*slot = s
}

// earlier schedules s for due unless it is due before that.
func (w *wheel) earlier(s *Session, due uint32) {
	if !s.timer.linked || int32(due-s.timer.due) < 0 {
		w.set(s, due)
	}
}

// remove takes s out of the wheel, if it is there.
func (w *wheel) remove(s *Session) {
	t := &s.timer
	if !t.linked {
		return
	}
	if t.prev != nil {
		t.prev.timer.next = t.next
	} else {
		w.slots[t.due%wheelSlots] = t.next
	}
	if t.next != nil {
		t.next.timer.prev = t.prev
	}
	*t = timerLink{}
}

// advance runs the wheel up to tick now and calls fire, in no order, for each session that is due, after taking it
// out. fire may schedule that session again, and may remove any other.
func (w *wheel) advance(now uint32, fire func(*Session)) {
	if int32(now-w.now) > wheelSlots { // after a long pause of the process one turn reaches every slot
		w.now = now - wheelSlots
	}
	for w.now != now {
		w.now++
		slot := w.now % wheelSlots
		var due *Session // collected first: fire may change the slot under us
		for s := w.slots[slot]; s != nil; {
			next := s.timer.next
			if int32(s.timer.due-now) <= 0 {
				w.remove(s)
				s.timer.next = due
				due = s
			}
			s = next
		}
		for due != nil {
			s := due
			due, s.timer.next = s.timer.next, nil
			fire(s)
		}
	}
}
