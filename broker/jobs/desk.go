package jobs

import (
	"container/list"
	"context"
	"time"

	"gosper/broker"
)

// soon is how long before the end of a lease its owner is warned instead of waiting for another job.
const soon = time.Second

// Lease is the right of an owner to a job, until Deadline.
type Lease struct {
	Row      *Row
	Owner    uint64
	Token    uint64
	Taken    time.Time
	Deadline time.Time
	Expired  bool // it ended by its time

	ended bool // it waits for the engine to bring the job back; its token is worth nothing
	alarm Alarm
	place *list.Element // in the owner's leases
}

// waiter is a reservation that waits.
type waiter struct {
	broker.Reservation
	until  time.Time // zero: as long as it takes
	alarm  Alarm
	places []*list.Element // in the tubes' lists, by Tubes
	tubes  []*Tube
	done   bool
}

// owner is what one owner has and wants.
type owner struct {
	leases  list.List // of *Lease
	waiters map[*waiter]struct{}
}

// Call is an answer to a reservation, to be given without the lock.
type Call struct {
	got func(broker.Job, error)
	job broker.Job
	err error
}

// Run gives the answer.
func (c Call) Run() { c.got(c.job, c.err) }

// desk keeps leases and waiting reservations.
type desk struct {
	leases map[uint64]*Lease // by job
	owners map[uint64]*owner
	alarms Alarms
	token  uint64
	calls  []Call
}

func (d *desk) owner(id uint64) *owner {
	o := d.owners[id]
	if o == nil {
		o = &owner{waiters: make(map[*waiter]struct{})}
		d.owners[id] = o
	}
	return o
}

// tidy forgets an owner who has and wants nothing.
func (d *desk) tidy(id uint64) {
	if o := d.owners[id]; o != nil && o.leases.Len() == 0 && len(o.waiters) == 0 {
		delete(d.owners, id)
	}
}

// lend gives a job to an owner.
func (d *desk) lend(r *Row, to uint64, now time.Time) *Lease {
	d.token++
	r.Reserves++
	l := &Lease{Row: r, Owner: to, Token: d.token, Taken: now, Deadline: now.Add(r.TTR)}
	l.alarm.of = l
	l.place = d.owner(to).leases.PushBack(l)
	d.leases[r.ID] = l
	d.alarms.Set(&l.alarm, l.Deadline)
	return l
}

// find returns the living lease of a job with that token, or nil.
func (d *desk) find(id, token uint64) *Lease {
	if l := d.leases[id]; l != nil && !l.ended && l.Token == token {
		return l
	}
	return nil
}

// end makes the token worthless. The job stays in the map, so that nobody finds it, until drop.
func (d *desk) end(l *Lease) {
	if l.ended {
		return
	}
	l.ended = true
	d.alarms.Stop(&l.alarm)
	d.owners[l.Owner].leases.Remove(l.place)
	d.tidy(l.Owner)
}

func (d *desk) drop(l *Lease) {
	d.end(l)
	delete(d.leases, l.Row.ID)
}

// soonest returns when the owner is to be warned.
func (d *desk) soonest(id uint64) (at time.Time, ok bool) {
	o := d.owners[id]
	if o == nil {
		return
	}
	for e := o.leases.Front(); e != nil; e = e.Next() {
		if l := e.Value.(*Lease); !ok || l.Deadline.Add(-soon).Before(at) {
			at, ok = l.Deadline.Add(-soon), true
		}
	}
	return
}

// wait lets a reservation wait in its tubes.
func (d *desk) wait(r broker.Reservation, tubes []*Tube, now time.Time) *waiter {
	w := &waiter{Reservation: r, tubes: tubes}
	if r.Wait >= 0 {
		w.until = now.Add(r.Wait)
	}
	w.alarm.of = w
	for _, t := range tubes {
		w.places = append(w.places, t.waiters.PushBack(w))
	}
	d.owner(r.Owner).waiters[w] = struct{}{}
	d.alert(w)
	return w
}

// alert sets the alarm of a waiter: the end of its patience, or the warning for a lease its owner has.
func (d *desk) alert(w *waiter) {
	at, ok := d.soonest(w.Owner)
	if !w.until.IsZero() && (!ok || w.until.Before(at)) {
		at, ok = w.until, true
	}
	if ok {
		d.alarms.Set(&w.alarm, at)
	} else {
		d.alarms.Stop(&w.alarm)
	}
}

// answer ends a waiting reservation.
func (d *desk) answer(w *waiter, job broker.Job, err error) {
	if w.done {
		return
	}
	w.done = true
	d.alarms.Stop(&w.alarm)
	for i, t := range w.tubes {
		t.waiters.Remove(w.places[i])
	}
	delete(d.owners[w.Owner].waiters, w)
	d.tidy(w.Owner)
	d.calls = append(d.calls, Call{w.Got, job, err})
}

// ring handles the alarm of a waiter.
func (d *desk) ring(w *waiter, now time.Time) {
	at, ok := d.soonest(w.Owner)
	switch {
	case ok && !now.Before(at):
		d.answer(w, broker.Job{}, broker.ErrDeadlineSoon)
	case !w.until.IsZero() && !now.Before(w.until):
		d.answer(w, broker.Job{}, broker.ErrNotFound)
	default:
		d.alert(w)
	}
}

// cancelAll ends the reservations of an owner.
func (d *desk) cancelAll(id uint64) {
	if o := d.owners[id]; o != nil {
		for w := range o.waiters {
			d.answer(w, broker.Job{}, context.Canceled)
		}
	}
}
