package nats

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"gosper/broker"
)

// coder writes or reads fields in their order, so that one function says for both directions what a message holds.
type coder struct {
	b       []byte
	reading bool
	bad     bool // something could not be read: the fields are worth nothing
}

type integer interface {
	~uint8 | ~uint32 | ~uint64 | ~int | ~int64
}

func number[T integer](c *coder, p *T) {
	if !c.reading {
		c.b = binary.AppendUvarint(c.b, uint64(*p))
		return
	}
	v, n := binary.Uvarint(c.b)
	if n <= 0 || uint64(T(v)) != v {
		c.bad, c.b = true, nil
		return
	}
	*p, c.b = T(v), c.b[n:]
}

func (c *coder) flag(p *bool) {
	var v uint8
	if *p {
		v = 1
	}
	number(c, &v)
	*p = v != 0
}

// cut returns the bytes of a field that begins with its length. They belong to the message.
func (c *coder) cut() []byte {
	var n uint64
	number(c, &n)
	if n > uint64(len(c.b)) {
		c.bad, c.b = true, nil
		return nil
	}
	field := c.b[:n:n]
	c.b = c.b[n:]
	return field
}

func (c *coder) text(p *string) {
	if c.reading {
		*p = string(c.cut())
		return
	}
	c.b = append(binary.AppendUvarint(c.b, uint64(len(*p))), *p...)
}

func (c *coder) bytes(p *[]byte) {
	if c.reading {
		*p = c.cut()
		return
	}
	c.b = append(binary.AppendUvarint(c.b, uint64(len(*p))), *p...)
}

func (c *coder) time(p *time.Time) {
	var ns int64
	if !p.IsZero() {
		ns = p.UnixNano()
	}
	number(c, &ns)
	if c.reading && ns != 0 {
		*p = time.Unix(0, ns)
	}
}

func list[T any](c *coder, p *[]T, each func(*T)) {
	n := len(*p)
	number(c, &n)
	if !c.reading {
		for i := range *p {
			each(&(*p)[i])
		}
		return
	}
	for ; n > 0 && !c.bad; n-- { // every element takes bytes, so a wrong length ends soon
		var one T
		each(&one)
		*p = append(*p, one)
	}
	c.bad = c.bad || n < 0
}

// What is asked of the node that leads.
const (
	verbPut = iota + 1
	verbReserve
	verbCancel // a reservation
	verbLost   // a reserved job that came when nobody wanted it any more
	verbDelete
	verbRelease
	verbBury
	verbTouch
	verbEndOwner
	verbKickJob
	verbKick
	verbPeek
	verbPeekTube
	verbList
	verbPause
	verbStats
	verbTubes
	verbSet
	verbUnset
	verbGet
	verbShift
	verbTimers
	verbPending
)

// request is one call of a node. Its number is never used twice by that node, so a request that is sent again is known.
type request struct {
	n               uint64
	verb            uint8
	id, lease       uint64
	owner           uint64
	priority        uint32
	state           broker.JobState
	bound           int
	delay, ttr      time.Duration
	wait            time.Duration
	due             time.Time
	tubes           []string
	key, group, say string // say: a unique text or a reason
	body            []byte
}

func (r *request) fields(c *coder) {
	number(c, &r.n)
	number(c, &r.verb)
	number(c, &r.id)
	number(c, &r.lease)
	number(c, &r.owner)
	number(c, &r.priority)
	number(c, &r.state)
	number(c, &r.bound)
	number(c, &r.delay)
	number(c, &r.ttr)
	number(c, &r.wait)
	c.time(&r.due)
	list(c, &r.tubes, c.text)
	c.text(&r.key)
	c.text(&r.group)
	c.text(&r.say)
	c.bytes(&r.body)
}

func (r *request) tube() string {
	if len(r.tubes) == 0 {
		return ""
	}
	return r.tubes[0]
}

func (r *request) put() broker.PutOptions {
	return broker.PutOptions{Priority: r.priority, Delay: r.delay, TTR: r.ttr, Unique: r.say}
}

// reply is the answer to a request. A long list comes in several parts: all but the last have more set.
type reply struct {
	n, term uint64 // term: of the leader that answers
	part    int
	more    bool
	err     error
	id      uint64
	count   int
	jobs    []broker.Job
	names   []string
	timers  []broker.Timer
	stats   broker.TubeStats
}

func (a *reply) fields(c *coder) {
	number(c, &a.n)
	number(c, &a.term)
	number(c, &a.part)
	c.flag(&a.more)
	failure(c, &a.err)
	number(c, &a.id)
	number(c, &a.count)
	list(c, &a.jobs, func(j *broker.Job) { jobFields(c, j) })
	list(c, &a.names, c.text)
	list(c, &a.timers, func(t *broker.Timer) { timerFields(c, t) })
	given := a.stats.Tube != ""
	if c.flag(&given); given {
		statsFields(c, &a.stats)
	}
}

func jobFields(c *coder, j *broker.Job) {
	number(c, &j.ID)
	c.text(&j.Tube)
	c.bytes(&j.Body)
	number(c, &j.State)
	number(c, &j.Priority)
	number(c, &j.Delay)
	number(c, &j.TTR)
	c.time(&j.Created)
	c.time(&j.Due)
	c.text(&j.Reason)
	number(c, &j.Lease)
	for _, n := range []*uint32{&j.Reserves, &j.Timeouts, &j.Releases, &j.Buries, &j.Kicks} {
		number(c, n)
	}
}

func timerFields(c *coder, t *broker.Timer) {
	c.text(&t.Key)
	c.text(&t.Group)
	c.time(&t.Due)
	c.text(&t.Tube)
	c.bytes(&t.Body)
	number(c, &t.Put.Priority)
	number(c, &t.Put.TTR)
	c.text(&t.Put.Unique)
}

func statsFields(c *coder, s *broker.TubeStats) {
	c.text(&s.Tube)
	for _, n := range []*uint64{&s.Urgent, &s.Ready, &s.Reserved, &s.Delayed, &s.Buried, &s.Puts, &s.Deletes, &s.Kicks, &s.Timeouts, &s.Waiting} {
		number(c, n)
	}
	number(c, &s.Oldest)
	number(c, &s.PausedFor)
	number(c, &s.PauseLeft)
}

// failures are the errors that keep their meaning on their way from node to node. Their order is part of the format.
var failures = []error{nil, errors.New("the leading node failed"), broker.ErrNotFound, broker.ErrExists, broker.ErrBusy, broker.ErrDiskFull, broker.ErrTimeout,
	broker.ErrBadName, broker.ErrTooBig, broker.ErrTooLarge, broker.ErrTubeFull, broker.ErrBuried, broker.ErrDeadlineSoon, context.Canceled}

// farError is an error that another node met.
type farError struct {
	is   error
	text string
}

func (e *farError) Error() string { return e.text }
func (e *farError) Unwrap() error { return e.is }

func failure(c *coder, p *error) {
	var code uint8
	var text string
	if *p != nil {
		code, text = 1, (*p).Error()
		for i, known := range failures[2:] {
			if errors.Is(*p, known) {
				code = uint8(i + 2)
			}
		}
	}
	if number(c, &code); code == 0 {
		return
	}
	c.text(&text)
	if c.reading {
		*p = &farError{failures[min(int(code), len(failures)-1)], text}
	}
}

// encode returns head and what fields writes.
func encode(head byte, fields func(*coder)) []byte {
	c := coder{b: []byte{head}}
	fields(&c)
	return c.b
}

// decode reads fields; false when the bytes are not what they should be.
func decode(b []byte, fields func(*coder)) bool {
	c := coder{b: b, reading: true}
	fields(&c)
	return !c.bad
}
