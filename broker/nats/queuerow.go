package nats

import (
	"encoding/binary"
	"hash/fnv"
	"strconv"
	"time"

	"gosper/broker"
	"gosper/broker/jobs"
)

// The stream of jobs and timers has one message for each of them under a subject of its own: of a subject only the
// newest message is kept.
//
//	r.<slot>   what a slot holds: a timer, a job, or for two minutes the word that it is gone. The slot is the
//	           sequence of its first message. A timer that fires is replaced by its job, in one write.
//	s.<slot>   how the job there stands, if it was changed since it was put
//	g.<hash>   due times of timers that were shifted, of one group, where they differ from their own messages
//	mark       who leads
//
// The id of a job is the sequence of its message under r.
const (
	recordJob = iota + 1
	recordState
	recordTimer
	recordGone
	recordShift
	recordMark
)

// origin names the request behind a change, so that one that is sent again after a fail-over is known.
type origin struct{ node, n uint64 }

func (o *origin) fields(c *coder) {
	number(c, &o.node)
	number(c, &o.n)
}

// record is what one message of the stream says. Which fields count depends on kind.
type record struct {
	kind uint8
	slot uint64
	by   origin // who asked for the change
	made origin // recordGone: who asked for what is gone now

	id                                          uint64 // of the job that recordState and recordGone are about
	tube, unique, key, group, reason            string
	state                                       broker.JobState
	priority                                    uint32
	delay, ttr                                  time.Duration
	created, due                                int64 // in milliseconds
	reserves, timeouts, releases, buries, kicks uint32
	body                                        []byte

	moved []move // recordShift
	count int    // recordShift: how many timers the last shift has moved

	term, node uint64 // recordMark: node 0 has left by itself
}

// move is the due time of a shifted timer.
type move struct {
	slot uint64
	due  int64
}

func (r *record) fields(c *coder) {
	number(c, &r.kind)
	number(c, &r.slot)
	r.by.fields(c)
	switch r.kind {
	case recordJob, recordTimer:
		c.text(&r.tube)
		c.text(&r.unique)
		number(c, &r.priority)
		number(c, &r.ttr)
		number(c, &r.due)
		if r.kind == recordJob {
			number(c, &r.delay)
			number(c, &r.created)
		} else {
			c.text(&r.key)
			c.text(&r.group)
		}
		c.bytes(&r.body)
	case recordState:
		number(c, &r.id)
		number(c, &r.state)
		number(c, &r.priority)
		number(c, &r.delay)
		number(c, &r.due)
		for _, n := range []*uint32{&r.reserves, &r.timeouts, &r.releases, &r.buries, &r.kicks} {
			number(c, n)
		}
		c.text(&r.reason)
	case recordGone:
		number(c, &r.id)
		r.made.fields(c)
	case recordShift:
		c.text(&r.group)
		number(c, &r.count)
		list(c, &r.moved, func(m *move) {
			number(c, &m.slot)
			number(c, &m.due)
		})
	case recordMark:
		number(c, &r.term)
		number(c, &r.node)
	default:
		c.bad = true
	}
}

// recordVersion is the first byte of every record.
const recordVersion = 1

func (r *record) encode() []byte { return encode(recordVersion, r.fields) }

// parseRecord reads a record. Its body belongs to b.
func parseRecord(b []byte) (*record, bool) {
	r := new(record)
	if len(b) == 0 || b[0] != recordVersion || !decode(b[1:], r.fields) {
		return nil, false
	}
	valid := r.kind == recordMark || r.slot != 0 || r.kind == recordShift
	switch r.kind {
	case recordJob, recordTimer:
		valid = valid && jobs.ValidTube(r.tube)
	case recordState:
		valid = valid && (r.state == broker.JobReady || r.state == broker.JobDelayed || r.state == broker.JobBuried)
	}
	return r, valid
}

// rowSubject returns the subject of a slot, behind the prefix of the stream.
func rowSubject(kind byte, slot uint64) string {
	return strconv.FormatUint(slot, 36) + "." + string(kind)
}

// groupSubject returns the subject of the shifts of a group. Two groups of one hash would share it, so the hash is long.
func groupSubject(group string) string {
	h := fnv.New128a()
	h.Write([]byte(group))
	sum := h.Sum(nil)
	return strconv.FormatUint(binary.BigEndian.Uint64(sum), 36) + strconv.FormatUint(binary.BigEndian.Uint64(sum[8:]), 36) + ".g"
}

// jobRecord is the record of a job as it was put.
func jobRecord(slot uint64, by origin, row *jobs.Row) *record {
	return &record{kind: recordJob, slot: slot, by: by, tube: row.Tube.Name, unique: row.Unique, priority: row.Priority, ttr: row.TTR, due: row.Due,
		delay: row.Delay, created: row.Created, body: row.Body}
}

// stateRecord is the record of how a job stands.
func stateRecord(slot uint64, by origin, row *jobs.Row) *record {
	return &record{kind: recordState, slot: slot, by: by, id: row.ID, state: row.State, priority: row.Priority, delay: row.Delay, due: row.Due,
		reserves: row.Reserves, timeouts: row.Timeouts, releases: row.Releases, buries: row.Buries, kicks: row.Kicks, reason: row.Reason}
}

// row makes the job of a record in its tube.
func (r *record) row(id uint64, t *jobs.Tube) jobs.Row {
	row := jobs.Row{ID: id, Tube: t, Body: r.body, State: broker.JobReady, Priority: r.priority, Delay: r.delay, TTR: r.ttr, Created: r.created, Due: r.due, Unique: r.unique}
	if row.Due != 0 {
		row.State = broker.JobDelayed
	}
	return row
}

// apply brings a job up to date.
func (r *record) apply(row *jobs.Row) {
	row.State, row.Priority, row.Delay, row.Due, row.Reason = r.state, r.priority, r.delay, r.due, r.reason
	row.Reserves, row.Timeouts, row.Releases, row.Buries, row.Kicks = r.reserves, r.timeouts, r.releases, r.buries, r.kicks
	row.Changed = true
}
