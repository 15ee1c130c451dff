package nats

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"gosper/broker"
	"gosper/broker/jobs"
)

// put begins a Put. Caller holds mu.
func (w *work) put(now time.Time) {
	r := w.r
	if err := jobs.CheckPut(w.options.MaxJob, r.tube(), r.body, r.put()); err != nil {
		w.fail(err)
		return
	}
	w.submit(now, func(o *op, now time.Time) error {
		if err := w.room.Admit(r.tube()); err != nil {
			return err
		}
		t := w.room.Tube(r.tube())
		if e := w.holder(t, r.say); e != nil {
			if e.flying != nil {
				o.hold = e.flying
				return errHold
			}
			w.finish(reply{id: e.row.ID, err: fmt.Errorf("%w: job %d", broker.ErrExists, e.row.ID)})
			return nil
		}
		if t.Full(w.adding[t]) {
			return fmt.Errorf("%w: tube %q", broker.ErrTubeFull, t.Name)
		}
		if err := w.space(); err != nil {
			return err
		}
		row := jobs.NewRow(w.next, t, r.body, r.put(), w.options.Now())
		w.add(row, w.next, origin{w.s.node, r.n}, func() { w.finish(reply{id: row.ID}) })
		return nil
	})
}

// space returns broker.ErrBusy when there are as many jobs and timers as there may be. Caller holds mu.
func (l *leader) space() error {
	if n := len(l.rows) + l.timers.len(); n >= l.options.MaxJobs {
		return fmt.Errorf("%w: there are %d jobs and timers", broker.ErrBusy, n)
	}
	return nil
}

// add sends a new job to the stream, in a slot; stored runs when it is there. Caller holds mu.
func (l *leader) add(row *jobs.Row, slot uint64, by origin, stored func()) {
	e := &jobEntry{row: *row, slot: slot, size: len(row.Body), by: by}
	t := row.Tube
	l.adding[t]++
	l.rows[row.ID] = e
	if row.Unique != "" {
		l.unique[unique{t, row.Unique}] = e
	}
	w := l.publish(rowSubject('r', slot), jobRecord(slot, by, row), func(now time.Time) {
		if l.adding[t]--; l.adding[t] == 0 {
			delete(l.adding, t)
		}
		jobs.PutsTotal.Inc()
		t.Count(1, 0, 0)
		l.rest(e, now)
		stored()
	})
	l.hold(e, w)
}

// change stages a Delete, Release, Bury or KickJob. Caller holds mu.
func (w *work) change(o *op, now time.Time) error {
	r := w.r
	e, lease, err := w.find(o)
	if err != nil {
		return err
	}
	if lease != nil {
		w.room.End(lease)
	} else {
		w.room.Leave(&e.row)
	}
	drop := func(now time.Time) {
		if lease != nil {
			w.room.Drop(lease)
			jobs.RunSeconds.Update(now.Sub(lease.Taken).Seconds())
		}
	}
	if r.verb == verbDelete {
		w.erase(e, drop)
		return nil
	}
	result := w.alter(e)
	w.state(e, origin{w.s.node, r.n}, func(now time.Time) {
		drop(now)
		w.finish(reply{err: result})
	})
	return nil
}

// find returns the job of a change and its lease, nil when nobody has reserved it. Caller holds mu.
func (w *work) find(o *op) (*jobEntry, *jobs.Lease, error) {
	r := w.r
	if r.lease != 0 {
		lease, err := w.room.Lease(r.id, r.lease)
		if err != nil {
			return nil, nil, err
		}
		return w.rows[r.id], lease, nil
	}
	if r.verb == verbRelease || r.verb == verbBury {
		return nil, nil, jobs.NoJob(r.id)
	}
	e, err := w.resting(o, r.id)
	if err == nil && r.verb == verbKickJob && e.row.State == broker.JobReady {
		err = jobs.NoJob(r.id)
	}
	return e, nil, err
}

// alter gives a job its new state and returns what is told. Caller holds mu.
func (w *work) alter(e *jobEntry) error {
	switch row := &e.row; w.r.verb {
	case verbRelease:
		jobs.ReleasesTotal.Inc()
		row.Release(w.r.priority, w.r.delay, w.options.Now())
		if row.Limit(row.Tube.Limits) {
			jobs.BuriesTotal.Inc()
			return broker.ErrBuried
		}
	case verbBury:
		jobs.BuriesTotal.Inc()
		row.Bury(w.r.priority, w.r.say)
	default:
		jobs.KicksTotal.Inc()
		row.Tube.Count(0, 0, 1)
		row.Kick()
	}
	return nil
}

// erase sends the end of a job to the stream. Its state goes right behind: whoever reads one without a job forgets it.
// Caller holds mu.
func (w *work) erase(e *jobEntry, stored func(now time.Time)) {
	by := origin{w.s.node, w.r.n}
	if e.row.Unique != "" {
		delete(w.unique, unique{e.row.Tube, e.row.Unique})
	}
	gone := &record{kind: recordGone, slot: e.slot, id: e.row.ID, by: by, made: e.by}
	flying := w.publish(rowSubject('r', e.slot), gone, func(now time.Time) {
		jobs.DeletesTotal.Inc()
		stored(now)
		e.row.Tube.Moving--
		e.row.Tube.Count(0, 1, 0)
		delete(w.rows, e.row.ID)
		w.finish(reply{})
	})
	w.hold(e, flying)
	if e.stated {
		w.publish(rowSubject('s', e.slot), &record{kind: recordGone, slot: e.slot}, nil)
	}
}

// kick is a Kick: of many jobs in several steps.
type kick struct {
	*work
	state  broker.JobState // 0: the first step decides
	kicked int
}

func (k *kick) begin(now time.Time) { k.submit(now, k.step) }

func (k *kick) step(_ *op, now time.Time) error {
	t := k.room.Look(k.r.tube())
	if t == nil {
		k.finish(reply{})
		return nil
	}
	if k.state == 0 {
		if t.Moving > 0 && len(k.flying) > 0 {
			return errLater
		}
		k.state = t.Kickable()
	}
	n := 0
	for ; n < maxStep && k.kicked < k.r.bound; n++ {
		row, err := k.room.Next(t, k.state)
		if row == nil || err != nil {
			break
		}
		k.room.Leave(row)
		row.Kick()
		k.leader.state(k.rows[row.ID], origin{}, nil)
		k.kicked++
	}
	jobs.KicksTotal.Add(n)
	t.Count(0, 0, n)
	if n == maxStep && k.kicked < k.r.bound {
		k.begin(now)
		return nil
	}
	k.after(reply{count: k.kicked})
	return nil
}

// fill reads the bodies that are not in memory into the jobs of an answer, then calls done with the lock held. Caller
// holds mu.
func (l *leader) fill(a reply, done func(reply)) {
	for i := range a.jobs {
		j := &a.jobs[i]
		e := l.rows[j.ID]
		if len(j.Body) > 0 || e == nil || e.size == 0 || e.row.Body != nil {
			continue
		}
		l.fetch(j.ID, func(body []byte, err error) {
			j.Body = body
			if err != nil {
				done(reply{err: err})
				return
			}
			l.fill(a, done)
		})
		return
	}
	done(a)
}

// fetch reads the body of a job from the stream. done is called with the lock held. Caller holds mu.
func (l *leader) fetch(id uint64, done func([]byte, error)) {
	err := l.queue.fetch(id, func(r *record, err error) {
		l.do(func(time.Time) {
			if err != nil {
				done(nil, err)
				return
			}
			if len(r.body) == 0 {
				done(nil, jobs.NoJob(id))
				return
			}
			done(r.body, nil)
		})
	})
	if err != nil {
		done(nil, err)
	}
}

// kept is a message as the stream's leader tells it.
type kept struct {
	info
	Message *struct {
		Seq  uint64    `json:"seq"`
		Data []byte    `json:"data"`
		Time time.Time `json:"time"`
	} `json:"message"`
}

// fetch asks the stream's leader for the message of a sequence. It waits as for a write: nobody asks again.
func (q *Queue) fetch(seq uint64, answer func(*record, error)) error {
	body, err := json.Marshal(map[string]uint64{"seq": seq})
	if err != nil {
		return err
	}
	return q.link.ask(&nats.Msg{Subject: "$JS.API.STREAM.MSG.GET." + q.vault.config.Name, Data: body}, q.opts.Wait, func(m *nats.Msg, err error) bool {
		r, _, err := readKept(m, err)
		answer(r, err)
		return false
	})
}

// readKept reads an answer with one message; broker.ErrNotFound when there is none.
func readKept(m *nats.Msg, err error) (*record, *kept, error) {
	if err != nil {
		return nil, nil, err
	}
	k := new(kept)
	if err := json.Unmarshal(m.Data, k); err != nil {
		return nil, nil, err
	}
	if k.Error != nil && k.Error.ErrCode == errNotFound {
		return nil, nil, broker.ErrNotFound
	}
	if err := k.err(); err != nil || k.Message == nil {
		return nil, nil, errors.Join(err, errors.New("nats: no message in the answer"))
	}
	r, ok := parseRecord(k.Message.Data)
	if !ok {
		return nil, nil, fmt.Errorf("nats: message %d of the jobs is not ours", k.Message.Seq)
	}
	return r, k, nil
}
