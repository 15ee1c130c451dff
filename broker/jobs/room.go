// Package jobs is what every engine of broker.Queue shares: the rules of tubes, leases and waiting reservations, without
// I/O, goroutines or locks. An engine holds its lock around every call, keeps the jobs themselves, and makes changes
// durable: it takes a job out with Leave, End or Lend, and brings it to rest with Enter when its new state is stored.
package jobs

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"gosper/broker"
)

// Room holds the tubes, the leases and the reservations of one queue.
type Room struct {
	Options broker.QueueOptions
	// Load returns the job with the id, which rests and is not in memory otherwise.
	Load func(id uint64) (*Row, error)
	// Index returns the source of the window of a tube's state; nil when the windows hold everything.
	Index func(t *Tube, s broker.JobState) Source
	// Left and Lending, which may be nil, hear of jobs that do not rest any more and of new leases.
	Left    func(*Row)
	Lending func(*Lease)

	// Window is how many keys of each index a tube has in memory. WindowMost when zero.
	Window int

	desk
	tubes   map[string]*Tube
	due     Alarms // the tubes' first delayed jobs, in wall time
	sweepAt int    // so many tubes: look for those that are not live
}

// NewRoom returns an empty room.
func NewRoom(o broker.QueueOptions) *Room {
	return &Room{
		Options: o, tubes: make(map[string]*Tube),
		desk: desk{leases: make(map[uint64]*Lease), owners: make(map[uint64]*owner)},
	}
}

// StartTokens makes the tokens of leases begin above n.
func (r *Room) StartTokens(n uint64) { r.token = n }

// Tube returns the tube of that name, and makes it if need be.
func (r *Room) Tube(name string) *Tube {
	t := r.tubes[name]
	if t == nil {
		t = &Tube{Name: name, Limits: r.Options.LimitsOf(name)}
		t.pause.of, t.due.of = t, t
		r.tubes[name] = t
	}
	return t
}

// sweepLeast is how many tubes are kept without looking whether they are live.
const sweepLeast = 1000

// Admit returns broker.ErrBusy when there are too many tubes to use another one of that name. It forgets tubes that are
// not live and have no ID.
func (r *Room) Admit(names ...string) error {
	for _, name := range names {
		if r.tubes[name] != nil {
			continue
		}
		if len(r.tubes) >= max(r.sweepAt, sweepLeast) || len(r.tubes) >= r.Options.MaxTubes {
			for _, t := range r.tubes {
				if t.ID == 0 && !t.Live() {
					r.Forget(t)
				}
			}
			r.sweepAt = 2 * len(r.tubes)
		}
		if len(r.tubes) >= r.Options.MaxTubes {
			return fmt.Errorf("%w: there are %d tubes", broker.ErrBusy, len(r.tubes))
		}
	}
	return nil
}

// Open gives a tube its windows, when it gets its ID. Before it has no jobs.
func (r *Room) Open(t *Tube) {
	if r.Index == nil {
		return
	}
	for _, s := range []broker.JobState{broker.JobReady, broker.JobDelayed, broker.JobBuried} {
		*t.window(s) = NewWindow(r.Index(t, s), cmp.Or(r.Window, WindowMost))
	}
}

// Look returns the tube of that name; nil when there is none.
func (r *Room) Look(name string) *Tube { return r.tubes[name] }

// Forget drops a tube that is not live.
func (r *Room) Forget(t *Tube) { delete(r.tubes, t.Name) }

// All calls fn for every tube.
func (r *Room) All(fn func(*Tube)) {
	for _, t := range r.tubes {
		fn(t)
	}
}

// Calls returns the answers that wait to be given, and forgets them.
func (r *Room) Calls() []Call {
	calls := r.calls
	r.calls = nil
	return calls
}

// Enter brings a job to rest in its state, and gives it to who waits for it. It reports whether the job's key is in
// memory.
func (r *Room) Enter(row *Row, now time.Time) bool {
	t := row.Tube
	t.count(row.State, 1, row.Priority)
	kept := t.window(row.State).Add(row.Key())
	switch row.State {
	case broker.JobReady:
		if t.waiters.Len() > 0 {
			r.Serve(t, now)
		}
	case broker.JobDelayed:
		r.schedule(t)
	}
	return kept
}

// Leave takes a resting job out, on its way to another state or to its end.
func (r *Room) Leave(row *Row) {
	row.Tube.count(row.State, -1, row.Priority)
	row.Tube.window(row.State).Remove(row.Key())
	if row.State == broker.JobDelayed {
		r.schedule(row.Tube)
	}
	if r.Left != nil {
		r.Left(row)
	}
}

// schedule sets the alarm of the tube's first delayed job.
func (r *Room) schedule(t *Tube) {
	if k, ok, err := t.delayed.First(); err != nil {
		r.due.Set(&t.due, time.Time{}) // Due will meet the error again, and tell it
	} else if ok {
		r.due.Set(&t.due, time.UnixMilli(int64(k.A)))
	} else {
		r.due.Stop(&t.due)
	}
}

// Scheduled sets the alarm of a tube that was loaded.
func (r *Room) Scheduled(t *Tube) { r.schedule(t) }

// Lend gives a resting job to an owner.
func (r *Room) Lend(row *Row, owner uint64, now time.Time) *Lease {
	r.Leave(row)
	row.Tube.counts[broker.JobReserved]++
	l := r.lend(row, owner, now)
	if r.Lending != nil {
		r.Lending(l)
	}
	return l
}

// Lent gives a resting job to the reservation, whatever its tube.
func (r *Room) Lent(res broker.Reservation, row *Row, now time.Time) {
	l := r.Lend(row, res.Owner, now)
	r.calls = append(r.calls, Call{res.Got, row.Job(l), nil})
	r.warn(res.Owner)
}

// Lease returns the living lease of a job with that token, or ErrNotFound.
func (r *Room) Lease(id, token uint64) (*Lease, error) {
	if l := r.find(id, token); l != nil {
		return l, nil
	}
	return nil, NoJob(id)
}

// Leased returns the lease of a job, ended ones that were not dropped too, or nil.
func (r *Room) Leased(id uint64) *Lease { return r.leases[id] }

// End makes the token of a lease worthless; the job is found by nobody until Drop.
func (r *Room) End(l *Lease) { r.end(l) }

// Drop forgets a lease. The caller brings the job to rest, or deletes it.
func (r *Room) Drop(l *Lease) {
	if r.leases[l.Row.ID] == l {
		r.drop(l)
		l.Row.Tube.counts[broker.JobReserved]--
	}
}

// Touch gives a lease its whole time again.
func (r *Room) Touch(id, token uint64, now time.Time) error {
	l, err := r.Lease(id, token)
	if err != nil {
		return err
	}
	l.Deadline = now.Add(l.Row.TTR)
	r.alarms.Set(&l.alarm, l.Deadline)
	return nil
}

// EndOwner ends the owner's leases and reservations and returns the leases, the oldest first.
func (r *Room) EndOwner(id uint64) (ended []*Lease) {
	r.cancelAll(id)
	for o := r.owners[id]; o != nil && o.leases.Len() > 0; {
		l := o.leases.Front().Value.(*Lease)
		r.end(l)
		ended = append(ended, l)
	}
	return ended
}

// Return decides what becomes of the job of an ended lease: ready again, or buried when a limit is reached.
func (r *Room) Return(l *Lease) {
	row := l.Row
	row.Wake()
	if l.Expired {
		row.Timeouts++
		row.Tube.timeouts++
	}
	row.Limit(row.Tube.Limits)
}

// Reserve answers a reservation now or lets it wait. The function ends it with context.Canceled; it may be called at any
// time with the lock held.
func (r *Room) Reserve(res broker.Reservation, now time.Time) (cancel func()) {
	if err := r.Admit(res.Tubes...); err != nil {
		r.calls = append(r.calls, Call{res.Got, broker.Job{}, err})
		return nil
	}
	tubes := make([]*Tube, 0, len(res.Tubes))
	for _, name := range res.Tubes {
		if t := r.Tube(name); !slices.Contains(tubes, t) {
			tubes = append(tubes, t)
		}
	}
	row, err := r.best(tubes)
	switch {
	case err != nil:
	case row != nil:
		r.Lent(res, row, now)
		return nil
	default:
		if at, ok := r.soonest(res.Owner); ok && !now.Before(at) {
			err = broker.ErrDeadlineSoon
		} else if res.Wait == 0 {
			err = fmt.Errorf("%w: no job is ready", broker.ErrNotFound)
		}
	}
	if err != nil {
		r.calls = append(r.calls, Call{res.Got, broker.Job{}, err})
		return nil
	}
	w := r.wait(res, tubes, now)
	return func() { r.answer(w, broker.Job{}, context.Canceled) }
}

// warn sets the alarms of an owner's other reservations, since it has a new lease.
func (r *Room) warn(id uint64) {
	for w := range r.owners[id].waiters {
		r.alert(w)
	}
}

// best returns the next job of the tubes that are not paused; nil when none is ready.
func (r *Room) best(tubes []*Tube) (*Row, error) {
	var best Key
	found := false
	for _, t := range tubes {
		if t.pause.place != 0 {
			continue
		}
		k, ok, err := t.ready.First()
		if err != nil {
			return nil, err
		}
		if ok && (!found || k.Compare(best) < 0) {
			best, found = k, true
		}
	}
	if !found {
		return nil, nil
	}
	return r.Load(best.B)
}

// Serve gives ready jobs of a tube to those who wait.
func (r *Room) Serve(t *Tube, now time.Time) {
	for t.waiters.Len() > 0 {
		row, err := r.best([]*Tube{t})
		if row == nil && err == nil {
			return
		}
		w := t.waiters.Front().Value.(*waiter)
		if err != nil {
			r.answer(w, broker.Job{}, err)
			continue
		}
		l := r.Lend(row, w.Owner, now)
		r.answer(w, row.Job(l), nil)
		if r.owners[l.Owner] != nil {
			r.warn(l.Owner)
		}
	}
}

// Pause stops reservations of a tube for a time; no time ends a pause.
func (r *Room) Pause(name string, d time.Duration, now time.Time) error {
	t := r.tubes[name]
	if t == nil || !t.Live() {
		return NoTube(name)
	}
	if d <= 0 {
		r.alarms.Stop(&t.pause)
		r.Serve(t, now)
		return nil
	}
	t.pausedAt, t.paused = now, d
	r.alarms.Set(&t.pause, now.Add(d))
	return nil
}

// Ring handles what has come due in monotonic time and returns the leases that have expired.
func (r *Room) Ring(now time.Time) (expired []*Lease) {
	for a := r.alarms.Due(now); a != nil; a = r.alarms.Due(now) {
		switch of := a.of.(type) {
		case *Lease:
			of.Expired = true
			r.end(of)
			expired = append(expired, of)
		case *waiter:
			r.ring(of, now)
		case *Tube:
			r.Serve(of, now)
		}
	}
	return expired
}

// Due returns the next job whose delay has ended by wall time, or nil. The caller takes it out with Leave.
func (r *Room) Due(wall time.Time) (*Row, error) {
	for {
		at, ok := r.due.Next()
		if !ok || wall.Before(at) {
			return nil, nil
		}
		t := r.due.heap[0].of.(*Tube)
		k, ok, err := t.delayed.First()
		if err != nil {
			return nil, err
		}
		if ok && int64(k.A) <= wall.UnixMilli() {
			return r.Load(k.B)
		}
		r.schedule(t)
	}
}

// watchClock is how long the room sleeps at most while it waits for a wall time: the clock may be set meanwhile.
const watchClock = time.Second

// Sleep returns how long nothing will happen in monotonic time; ok is false when nothing will ever.
func (r *Room) Sleep(now time.Time) (d time.Duration, ok bool) {
	at, ok := r.alarms.Next()
	return max(at.Sub(now), 0), ok
}

// SleepDue is Sleep for delayed jobs, by the wall clock.
func (r *Room) SleepDue(wall time.Time) (d time.Duration, ok bool) {
	at, ok := r.due.Next()
	return max(min(at.Sub(wall), watchClock), 0), ok
}

// Next returns the next resting job of a tube's state, or nil, without taking it out.
func (r *Room) Next(t *Tube, s broker.JobState) (*Row, error) {
	k, ok, err := t.window(s).First()
	if !ok || err != nil {
		return nil, err
	}
	return r.Load(k.B)
}

// Kickable returns the state from which a kick takes its jobs.
func (t *Tube) Kickable() broker.JobState {
	if t.counts[broker.JobBuried] > 0 {
		return broker.JobBuried
	}
	return broker.JobDelayed
}

// Count notes puts, deletes and kicks for the statistics.
func (t *Tube) Count(puts, deletes, kicks int) {
	t.puts += uint64(puts)
	t.deletes += uint64(deletes)
	t.kicks += uint64(kicks)
}

// Full reports whether the tube takes no more jobs; added are those under way.
func (t *Tube) Full(added int) bool {
	return t.Limits.Jobs > 0 && t.Jobs()+uint64(added) >= uint64(t.Limits.Jobs)
}

// Stats returns the counters of a tube.
func (r *Room) Stats(name string, now, wall time.Time) (broker.TubeStats, error) {
	t := r.tubes[name]
	if t == nil || !t.Live() {
		return broker.TubeStats{}, NoTube(name)
	}
	s := broker.TubeStats{
		Tube: name, Urgent: t.urgent, Ready: t.counts[broker.JobReady], Reserved: t.counts[broker.JobReserved],
		Delayed: t.counts[broker.JobDelayed], Buried: t.counts[broker.JobBuried],
		Puts: t.puts, Deletes: t.deletes, Kicks: t.kicks, Timeouts: t.timeouts, Waiting: uint64(t.waiters.Len()),
	}
	if t.pause.place != 0 {
		s.PausedFor, s.PauseLeft = t.paused, t.paused-now.Sub(t.pausedAt)
	}
	s.Oldest = r.oldest(t, wall)
	return s, nil
}

// oldest returns the age of the oldest job among those next in turn.
func (r *Room) oldest(t *Tube, wall time.Time) time.Duration {
	if _, ok, err := t.ready.First(); !ok || err != nil {
		return 0
	}
	id := ^uint64(0)
	t.ready.keys.Each(Key{}, func(k Key) bool {
		id = min(id, k.B)
		return true
	})
	row, err := r.Load(id)
	if row == nil || err != nil {
		return 0
	}
	return max(wall.Sub(time.UnixMilli(row.Created)), 0)
}

// Names returns the names of the tubes that exist, in order.
func (r *Room) Names() []string {
	names := make([]string, 0, len(r.tubes))
	for name, t := range r.tubes {
		if t.Live() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Reserved returns the reserved jobs of a tube by id.
func (r *Room) Reserved(t *Tube) (found []*Lease) {
	for _, l := range r.leases {
		if l.Row.Tube == t && !l.ended {
			found = append(found, l)
		}
	}
	slices.SortFunc(found, func(a, b *Lease) int { return cmp.Compare(a.Row.ID, b.Row.ID) })
	return found
}

// Close answers everybody who waits.
func (r *Room) Close() {
	for _, o := range r.owners {
		for w := range o.waiters {
			r.answer(w, broker.Job{}, broker.ErrClosed)
		}
	}
}

// NoJob is ErrNotFound for a job.
func NoJob(id uint64) error { return fmt.Errorf("%w: job %d", broker.ErrNotFound, id) }

// NoTube is ErrNotFound for a tube.
func NoTube(name string) error { return fmt.Errorf("%w: tube %q", broker.ErrNotFound, name) }
