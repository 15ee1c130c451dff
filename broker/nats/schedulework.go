package nats

import (
	"fmt"
	"time"

	"gosper/broker"
	"gosper/broker/jobs"
)

// maxShift is how many timers of one group can have another due time than they were set to: one write holds them all.
// Above: broker.ErrTooLarge. Servers with a small max_payload take fewer, one for each moveBytes.
const (
	maxShift  = 40_000
	moveBytes = 20
)

func (q *Queue) mostMoved() int {
	return min(maxShift, (int(q.link.conn.MaxPayload())-jobMargin)/moveBytes)
}

// beginTimer does what is asked of the schedule. Caller holds mu.
func (w *work) beginTimer(now time.Time) {
	switch r := w.r; r.verb {
	case verbSet:
		if err := jobs.CheckTimer(w.options.MaxJob, r.timer()); err != nil {
			w.fail(err)
			return
		}
		w.submit(now, w.set)
	case verbUnset:
		w.submit(now, w.unset)
	case verbShift:
		w.submit(now, w.shift)
	case verbGet:
		w.submit(now, func(o *op, _ time.Time) error {
			t, err := w.timer(o)
			if err == nil {
				w.finish(reply{timers: []broker.Timer{t.Timer}})
			}
			return err
		})
	case verbTimers:
		w.submit(now, func(*op, time.Time) error {
			if w.timers.moving > 0 {
				return errLater
			}
			var a reply
			for _, t := range w.timers.from(r.group, r.due, r.bound) {
				a.timers = append(a.timers, t.Timer)
			}
			w.finish(a)
			return nil
		})
	case verbPending:
		w.finish(reply{count: w.timers.len()})
	default:
		w.fail(fmt.Errorf("nats: another version asks for %d", r.verb))
	}
}

// timer is the timer that a request sets.
func (r *request) timer() broker.Timer {
	return broker.Timer{Key: r.key, Group: r.group, Due: r.due, Tube: r.tube(), Body: r.body,
		Put: broker.PutOptions{Priority: r.priority, TTR: r.ttr, Unique: r.say}}
}

// timer returns the timer that a request names; errHold when a change of it is on its way. Caller holds mu.
func (w *work) timer(o *op) (*timer, error) {
	t := w.timers.keys[w.r.key]
	switch {
	case t == nil:
		return nil, noTimer(w.r.key)
	case t.flying != nil:
		o.hold = t.flying
		return nil, errHold
	}
	return t, nil
}

// set stages a Set. A timer of that key gives its slot to the new one. Caller holds mu.
func (w *work) set(o *op, _ time.Time) error {
	old := w.timers.keys[w.r.key]
	if old != nil && old.flying != nil {
		o.hold = old.flying
		return errHold
	}
	seq := w.next
	t := &timer{Timer: w.r.timer(), slot: seq, by: origin{w.s.node, w.r.n}}
	t.place = jobs.Key{A: uint64(jobs.Millis(t.Due)), B: seq}
	t.Due = time.UnixMilli(int64(t.place.A))
	if old == nil {
		if err := w.space(); err != nil {
			return err
		}
		w.timers.keys[t.Key] = t
	} else {
		t.slot = old.slot
		w.timers.leave(old)
		w.timers.keys[t.Key] = t
	}
	record := &record{kind: recordTimer, slot: t.slot, by: t.by, tube: t.Tube, unique: t.Put.Unique, priority: t.Put.Priority, ttr: t.Put.TTR,
		due: int64(t.place.A), key: t.Key, group: t.Group, body: t.Body}
	w.timers.hold(t, w.publish(rowSubject('r', t.slot), record, func(time.Time) {
		w.timers.free(t)
		w.timers.enter(t)
		if old != nil && old.Group != t.Group {
			w.close(old.Group)
		}
		w.countTimers()
		w.finish(reply{})
	}))
	return nil
}

// unset stages a Cancel. Caller holds mu.
func (w *work) unset(o *op, _ time.Time) error {
	t, err := w.timer(o)
	if err != nil {
		return err
	}
	w.end(t, &record{kind: recordGone, slot: t.slot, by: origin{w.s.node, w.r.n}, made: t.by}, func() { w.finish(reply{}) })
	return nil
}

// end replaces a timer in the stream. Caller holds mu.
func (l *leader) end(t *timer, by *record, stored func()) {
	l.timers.leave(t)
	l.timers.hold(t, l.publish(rowSubject('r', t.slot), by, func(time.Time) {
		l.dropTimer(t)
		stored()
	}))
}

// dropTimer drops a timer whose end is stored. Caller holds mu.
func (l *leader) dropTimer(t *timer) {
	l.timers.free(t)
	l.timers.forget(t)
	l.close(t.Group)
	l.countTimers()
}

// countTimers tells the metrics how many timers there are; none when this node does not lead. Caller holds mu.
func (l *leader) countTimers() {
	n := l.timers.len()
	if l.dead {
		n = 0
	}
	jobs.TimersPending.Add(float64(n - l.timers.told))
	l.timers.told = n
}

// close drops a group without timers, with the list of its due times. Caller holds mu.
func (l *leader) close(name string) {
	g := l.timers.groups[name]
	if g == nil || g.order.Len() > 0 || g.moving > 0 {
		return
	}
	delete(l.timers.groups, name)
	if g.shifted {
		l.publish(groupSubject(name), &record{kind: recordShift, group: name}, nil)
	}
}

// fire replaces a timer that is due by its job, in one write. A job that is there already is enough. Caller holds mu.
func (l *leader) fire(t *timer, wall time.Time) {
	stored := func() {
		jobs.FiredTotal.Inc()
		jobs.LateSeconds.Update(max(0, l.options.Now().Sub(t.Due).Seconds()))
	}
	tube := l.room.Tube(t.Tube)
	if l.holder(tube, t.Put.Unique) != nil {
		l.end(t, &record{kind: recordGone, slot: t.slot, by: t.by}, stored)
		return
	}
	l.timers.leave(t)
	t.Put.Delay = 0
	row := jobs.NewRow(l.next, tube, t.Body, t.Put, wall)
	l.add(row, t.slot, t.by, func() {
		l.dropTimer(t)
		stored()
	})
	l.timers.hold(t, l.rows[row.ID].flying)
}

// shift stages a Shift. The new due times of the group are one record, beside those of earlier shifts. Caller holds mu.
func (w *work) shift(_ *op, _ time.Time) error {
	r := w.r
	if w.timers.moving > 0 {
		return errLater
	}
	moved := w.timers.from(r.group, r.due, maxShift+1)
	if len(moved) == 0 {
		w.finish(reply{})
		return nil
	}
	list := &record{kind: recordShift, by: origin{w.s.node, r.n}, group: r.group, count: len(moved)}
	for _, t := range moved {
		w.timers.leave(t)
		t.Due = time.UnixMilli(jobs.Millis(t.Due.Add(r.wait)))
	}
	for _, t := range w.timers.from(r.group, time.Time{}, maxShift+1) {
		if t.moved {
			list.moved = append(list.moved, move{t.slot, int64(t.place.A)})
		}
	}
	for _, t := range moved {
		list.moved = append(list.moved, move{t.slot, t.Due.UnixMilli()})
	}
	if most := w.queue.mostMoved(); len(list.moved) > most {
		for _, t := range moved {
			t.Due = time.UnixMilli(int64(t.place.A))
			w.timers.enter(t)
		}
		return fmt.Errorf("%w: group %q has more than %d shifted timers", broker.ErrTooLarge, r.group, most)
	}
	w.timers.group(r.group).shifted = true
	flying := w.publish(groupSubject(r.group), list, func(time.Time) {
		for _, t := range moved {
			w.timers.free(t)
			t.place.A, t.moved = uint64(t.Due.UnixMilli()), true
			w.timers.enter(t)
		}
		w.finish(reply{count: len(moved)})
	})
	for _, t := range moved {
		w.timers.hold(t, flying)
	}
	return nil
}
