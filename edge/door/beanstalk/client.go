package beanstalk

import (
	"errors"
	"slices"
	"time"

	"gosper/broker"
	"gosper/edge"
	"gosper/protocol"
)

// client is the state of one connection. It is owned by the loop of its session.
type client struct {
	door *Door
	s    *edge.Session

	used    string
	watched []string
	leases  map[uint64]lease // of jobs that this connection has reserved; nil until the first
	sweepAt int              // number of leases at which the overdue ones are dropped

	stage stage
	put   protocol.BeanstalkRequest // stage inBody
	left  uint64                    // stage inBigJob: bytes still to skip

	slots   []slot // answers that are owed, in order; those before head are sent
	head    int
	base    uint64                     // number of slots[0] since the connection began
	pending int                        // slots without an answer
	next    *protocol.BeanstalkRequest // waits until there is none
	blocked bool                       // a command runs that later ones have to wait for

	producer, worker, waiting bool
}

// stage is what the next bytes of a client are.
type stage uint8

const (
	atLine stage = iota
	inBody
	inBigJob
	inLongLine
)

// lease is what the queue wants to hear from the holder of a job.
type lease struct {
	token uint64
	tube  string
	ends  time.Time
}

// slot is one answer: a word, a word with a number, or other bytes.
type slot struct {
	ready  bool
	number bool
	word   string
	n      uint64
	bytes  []byte
}

const (
	aheadMax     = 4096 // answers owed before a client has to wait
	slotsKept    = 64   // of these for a client that owes nothing more
	sweepFirst   = 1024
	defaultTube  = "default"
	bodyTrailing = 2 // CR LF behind a job
)

func newClient(d *Door, s *edge.Session) *client {
	c := &client{door: d, s: s, used: defaultTube, watched: []string{defaultTube}, sweepAt: sweepFirst}
	d.tubes.use(defaultTube, 1)
	d.tubes.watch(defaultTube, 1)
	d.clients.open.Add(1)
	d.clients.total.Add(1)
	return c
}

// gone ends what others know of the client.
func (c *client) gone() {
	d := c.door
	d.queue.EndOwner(c.s.ID())
	d.tubes.use(c.used, -1)
	for _, tube := range c.watched {
		d.tubes.watch(tube, -1)
	}
	d.clients.open.Add(-1)
	c.wait(false)
	if c.producer {
		d.clients.producers.Add(-1)
	}
	if c.worker {
		d.clients.workers.Add(-1)
	}
}

// take handles what b begins with and returns its length, 0 when more bytes are needed.
func (c *client) take(b []byte) int {
	switch c.stage {
	case inBody:
		return c.takeBody(b)
	case inBigJob:
		return c.skipJob(b)
	case inLongLine:
		n, ended := protocol.BeanstalkSkip(b)
		if ended {
			c.stage = atLine
			c.say(protocol.BeanstalkBadFormat)
		}
		return n
	}
	r, n, err := protocol.CutBeanstalk(b)
	switch {
	case errors.Is(err, protocol.ErrBeanstalkFormat) && n == 0:
		c.stage = inLongLine
		return c.take(b)
	case n == 0:
		return 0
	case errors.Is(err, protocol.ErrBeanstalkFormat):
		c.say(protocol.BeanstalkBadFormat)
	case err != nil:
		c.say(protocol.BeanstalkUnknown)
	default:
		count(r.Command)
		c.command(&r)
	}
	return n
}

// takeBody takes the job behind the line of a put.
func (c *client) takeBody(b []byte) int {
	size := int(c.put.Bytes)
	if len(b) < size+bodyTrailing {
		return 0
	}
	c.stage = atLine
	if b[size] != '\r' || b[size+1] != '\n' {
		c.say(protocol.BeanstalkExpectedCRLF)
		return size + bodyTrailing
	}
	c.insert(append(make([]byte, 0, size), b[:size]...))
	return size + bodyTrailing
}

// skipJob drops the bytes of a job that is too big.
func (c *client) skipJob(b []byte) int {
	n := min(uint64(len(b)), c.left)
	if c.left -= n; c.left == 0 {
		c.stage = atLine
		c.say(protocol.BeanstalkTooBig)
	}
	return int(n)
}

// say answers with one fixed line.
func (c *client) say(word string) { c.answer(slot{word: word}) }

// answer sends an answer in its turn.
func (c *client) answer(a slot) {
	a.ready = true
	if c.head == len(c.slots) {
		c.encode(&a)
		return
	}
	c.slots = append(c.slots, a)
}

// owe makes a slot for an answer that comes later, and returns its number.
func (c *client) owe() (number uint64) {
	c.slots = append(c.slots, slot{})
	c.pending++
	if len(c.slots)-c.head >= aheadMax {
		c.s.Pause()
	}
	return c.base + uint64(len(c.slots)-1)
}

// settle fills a slot of owe and sends what can be sent.
func (c *client) settle(number uint64, a slot) {
	a.ready = true
	c.slots[number-c.base] = a
	c.pending--
	for c.head < len(c.slots) && c.slots[c.head].ready {
		c.encode(&c.slots[c.head])
		c.slots[c.head] = slot{}
		c.head++
		if c.s.Full() {
			c.s.Flush()
			if c.s.Closed() {
				return
			}
		}
	}
	if c.head == len(c.slots) || c.head >= aheadMax {
		c.base += uint64(c.head)
		c.slots = slices.Delete(c.slots, 0, c.head)
		c.head = 0
		if len(c.slots) == 0 && cap(c.slots) > slotsKept {
			c.slots = nil
		}
	}
	c.proceed()
}

// proceed goes on with what had to wait for answers.
func (c *client) proceed() {
	if c.next != nil && c.pending == 0 {
		r := c.next
		c.next = nil
		c.alone(r)
	}
	if !c.blocked && c.next == nil && len(c.slots)-c.head < aheadMax/2 {
		c.s.Resume()
	}
}

func (c *client) encode(a *slot) {
	b := c.s.Buffer()
	switch {
	case a.bytes != nil:
		*b = append(*b, a.bytes...)
	case a.number:
		*b = protocol.AppendBeanstalkNumber(*b, a.word, a.n)
	default:
		*b = protocol.AppendBeanstalk(*b, a.word)
	}
}

// wordOf names an error of the queue. good is the answer without one.
func (c *client) wordOf(err error, good string) string {
	switch {
	case err == nil:
		return good
	case errors.Is(err, broker.ErrNotFound):
		return protocol.BeanstalkNotFound
	case errors.Is(err, broker.ErrTooBig):
		return protocol.BeanstalkTooBig
	case errors.Is(err, broker.ErrDraining):
		return protocol.BeanstalkDraining
	case errors.Is(err, broker.ErrBuried):
		return protocol.BeanstalkBuried
	case errors.Is(err, broker.ErrBusy), errors.Is(err, broker.ErrDiskFull), errors.Is(err, broker.ErrTubeFull):
		return protocol.BeanstalkOutOfMemory
	case errors.Is(err, broker.ErrDeadlineSoon):
		return protocol.BeanstalkDeadlineSoon
	}
	c.door.log.Warn("beanstalk: a command failed", "error", err)
	return protocol.BeanstalkInternalError
}
