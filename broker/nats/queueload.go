package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"gosper/broker"
	"gosper/broker/jobs"
)

const (
	loadPage  = 4000    // messages of one question
	loadBytes = 8 << 20 // bytes of them
	// knownFor is how long a change keeps who asked for it: longer than a request is sent again.
	knownFor = time.Minute
)

// loader reads the stream into a new leader.
type loader struct {
	*leader
	now    time.Time // of the servers
	jobs   map[uint64]*jobEntry
	states map[uint64]*record // by slot
}

// load reads everything up to the mark, which is the newest message.
func (l *leader) load(ctx context.Context, mark uint64) error {
	in := &loader{leader: l, jobs: make(map[uint64]*jobEntry), states: make(map[uint64]*record)}
	l.next = mark + 1
	newest, err := l.queue.wait(ctx, mark)
	if err != nil {
		return err
	}
	in.now = newest[0].at
	for next := uint64(1); next <= mark; {
		page, err := l.queue.wait(ctx, next)
		if err != nil {
			return err
		}
		for _, m := range page {
			if err := in.take(m); err != nil {
				return err
			}
			next = m.seq + 1
		}
	}
	in.settle()
	l.do(func(time.Time) { in.tidy() })
	return nil
}

// wait is page from a replica that has a message there: one that is behind or does not answer is asked again.
func (q *Queue) wait(ctx context.Context, from uint64) (page []storedRow, err error) {
	err = patiently(ctx, func(ctx context.Context) error {
		if page, err = q.page(ctx, from); err == nil && len(page) == 0 {
			err = errBehind
		}
		return err
	})
	return page, err
}

// storedRow is a message of the stream.
type storedRow struct {
	seq  uint64
	at   time.Time
	data []byte
}

// page reads the next messages, from any replica.
func (q *Queue) page(ctx context.Context, from uint64) ([]storedRow, error) {
	body, err := json.Marshal(map[string]uint64{"seq": from, "batch": loadPage, "max_bytes": loadBytes})
	if err != nil {
		return nil, err
	}
	answers, err := q.link.questions(ctx, "$JS.API.DIRECT.GET."+q.vault.config.Name, body, func(m *nats.Msg) bool { return m.Header.Get("Status") == "" })
	if err != nil {
		return nil, err
	}
	var page []storedRow
	for _, m := range answers {
		if m.Header.Get("Status") != "" {
			continue // 204: the end of the page; 404: nothing there
		}
		seq, err := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
		at, err2 := time.Parse(time.RFC3339Nano, m.Header.Get("Nats-Time-Stamp"))
		if err := errors.Join(err, err2); err != nil || seq < from {
			return nil, fmt.Errorf("nats: a message of the jobs has no place: %w", err)
		}
		page = append(page, storedRow{seq, at, m.Data})
	}
	return page, nil
}

// take takes one message. What it replaces may have been read before.
func (in *loader) take(m storedRow) error {
	r, ok := parseRecord(m.data)
	if !ok {
		return fmt.Errorf("nats: message %d of the jobs cannot be read", m.seq)
	}
	if r.kind != recordMark {
		in.note(r.by, reply{id: m.seq}, m.at)
	}
	switch r.kind {
	case recordJob:
		in.forget(r.slot)
		tube := in.room.Tube(r.tube)
		e := &jobEntry{row: r.row(m.seq, tube), slot: r.slot, size: len(r.body), by: r.by}
		if in.cached += int64(e.size); in.cached > in.options.Cache {
			in.cached -= int64(e.size)
			e.row.Body = nil
		}
		in.jobs[r.slot] = e
	case recordState:
		in.states[r.slot] = r
	case recordTimer:
		in.forget(r.slot)
		t := &timer{slot: r.slot, by: r.by, place: jobs.Key{A: uint64(r.due), B: m.seq}, Timer: broker.Timer{Key: r.key, Group: r.group, Tube: r.tube,
			Due: time.UnixMilli(r.due), Body: r.body, Put: broker.PutOptions{Priority: r.priority, TTR: r.ttr, Unique: r.unique}}}
		in.timers.enter(t)
	case recordGone:
		in.forget(r.slot)
		delete(in.states, r.slot)
		in.note(r.made, reply{id: r.id}, m.at)
	case recordShift:
		in.note(r.by, reply{count: r.count}, m.at)
		in.shifted(r)
	case recordMark:
		in.marked = m.seq
	}
	return nil
}

// note remembers the answer to a request that may be sent again.
func (in *loader) note(by origin, a reply, at time.Time) {
	if by.node == 0 || in.now.Sub(at) > knownFor {
		return
	}
	a.n = by.n
	in.session(by.node, time.Now()).results[by.n] = a
}

// forget drops what a slot held until now.
func (in *loader) forget(slot uint64) {
	if e := in.jobs[slot]; e != nil {
		in.cached -= int64(len(e.row.Body))
		delete(in.jobs, slot)
	}
	if t := in.timers.slots[slot]; t != nil {
		in.timers.leave(t)
		in.timers.forget(t)
	}
}

// shifted gives the timers of a list their due times. What was set later is not read yet, or was set anew.
func (in *loader) shifted(r *record) {
	g := in.timers.groups[r.group]
	if g == nil {
		return
	}
	g.shifted = true
	for _, m := range r.moved {
		t := in.timers.slots[m.slot]
		if t == nil || t.Group != r.group {
			continue
		}
		in.timers.leave(t)
		t.place.A, t.Due, t.moved = uint64(m.due), time.UnixMilli(m.due), true
		in.timers.enter(t)
	}
}

// settle brings everything to rest.
func (in *loader) settle() {
	in.cached = 0
	for _, e := range in.jobs {
		if state := in.states[e.slot]; state != nil && state.id == e.row.ID {
			state.apply(&e.row)
			e.stated = true
			delete(in.states, e.slot)
		}
		in.rows[e.row.ID] = e
		if e.row.Unique != "" {
			in.unique[unique{e.row.Tube, e.row.Unique}] = e
		}
		in.cache(e)
		in.room.Enter(&e.row, time.Now())
	}
	in.countTimers()
}

// tidy removes states whose jobs are gone: the leader that removed these had no time for their states. Caller holds mu.
func (in *loader) tidy() {
	n := 0
	for slot := range in.states {
		if n++; n > maxStep {
			return // the next leader goes on
		}
		in.publish(rowSubject('s', slot), &record{kind: recordGone, slot: slot}, nil)
	}
}
