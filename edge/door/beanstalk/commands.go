package beanstalk

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"gosper/broker"
	"gosper/protocol"
)

// command runs one command. Those that change one job are handed to the queue, which keeps their order; those that look
// at what others have done wait until these are answered; the rest concerns this connection alone.
func (c *client) command(r *protocol.BeanstalkRequest) {
	switch r.Command {
	case protocol.BeanstalkPut:
		c.beginPut(r)
	case protocol.BeanstalkDelete:
		c.delete(r.ID)
	case protocol.BeanstalkRelease:
		c.release(r)
	case protocol.BeanstalkBury:
		c.bury(r)
	case protocol.BeanstalkKick:
		c.kick(r.Bound)
	case protocol.BeanstalkKickJob:
		n := c.owe()
		c.door.queue.KickJob(r.ID, func(err error) { c.done(n, err, protocol.BeanstalkKicked) })
	case protocol.BeanstalkUse:
		c.use(string(r.Tube))
	case protocol.BeanstalkWatch:
		c.watch(string(r.Tube))
	case protocol.BeanstalkIgnore:
		c.ignore(string(r.Tube))
	case protocol.BeanstalkListTubeUsed:
		c.answer(slot{bytes: protocol.AppendBeanstalkName(nil, "USING", c.used)})
	case protocol.BeanstalkListTubesWatched:
		c.answer(slot{bytes: listing(c.watched)})
	default:
		c.later(r)
	}
}

// later runs a command as soon as no answer is owed, and lets nothing pass it.
func (c *client) later(r *protocol.BeanstalkRequest) {
	if c.pending == 0 {
		c.alone(r)
		return
	}
	waiting := *r
	waiting.Tube = slices.Clone(r.Tube)
	c.next = &waiting
	c.s.Pause()
}

// alone runs a command before which everything is answered.
func (c *client) alone(r *protocol.BeanstalkRequest) {
	switch r.Command {
	case protocol.BeanstalkQuit:
		c.s.Kill("quit")
	case protocol.BeanstalkTouch:
		c.touch(r.ID)
	case protocol.BeanstalkReserve:
		c.reserve(broker.Reservation{Wait: -1})
	case protocol.BeanstalkReserveTimeout:
		wait := time.Duration(-1)
		if r.Timeout >= 0 {
			wait = time.Duration(r.Timeout) * time.Second
		}
		c.reserve(broker.Reservation{Wait: wait})
	case protocol.BeanstalkReserveJob:
		c.reserve(broker.Reservation{ID: r.ID})
	case protocol.BeanstalkPauseTube:
		c.pauseTube(string(r.Tube), time.Duration(r.Delay)*time.Second)
	default:
		c.look(r)
	}
}

// done settles a slot from any goroutine.
func (c *client) done(number uint64, err error, good string) {
	c.s.Post(func() { c.settle(number, slot{word: c.wordOf(err, good)}) })
}

func (c *client) beginPut(r *protocol.BeanstalkRequest) {
	if !c.producer {
		c.producer = true
		c.door.clients.producers.Add(1)
	}
	if int64(r.Bytes) > int64(c.s.Limits().JobBytes) {
		hitJobBytes()
		c.stage, c.left = inBigJob, uint64(r.Bytes)+bodyTrailing
		return
	}
	c.stage, c.put = inBody, *r
}

// insert puts a job into the queue, which owns body from now on.
func (c *client) insert(body []byte) {
	if c.door.draining.Load() {
		c.say(protocol.BeanstalkDraining)
		return
	}
	r, n := &c.put, c.owe()
	o := broker.PutOptions{Priority: r.Priority, Delay: time.Duration(r.Delay) * time.Second, TTR: time.Duration(max(1, r.TTR)) * time.Second}
	tube := c.used
	c.door.queue.Put(tube, body, o, func(id uint64, err error) {
		c.s.Post(func() {
			if err == nil {
				c.door.tubes.put(tube)
				c.settle(n, slot{word: "INSERTED", number: true, n: id})
				return
			}
			c.settle(n, slot{word: c.wordOf(err, "")})
		})
	})
}

// delete removes a job. One whose lease has run out is nobody's again and can be deleted as such.
func (c *client) delete(id uint64) {
	n := c.owe()
	held, ok := c.leases[id]
	delete(c.leases, id)
	free := func(err error) { c.done(n, err, protocol.BeanstalkDeleted) }
	if !ok {
		c.door.queue.Delete(id, 0, free)
		return
	}
	c.door.queue.Delete(id, held.token, func(err error) {
		if errors.Is(err, broker.ErrNotFound) {
			c.door.queue.Delete(id, 0, free)
			return
		}
		if err == nil {
			c.door.tubes.deleted(held.tube)
		}
		c.returned(n, id, held, err, protocol.BeanstalkDeleted)
	})
}

// returned settles the answer to a command that ends a lease; when it failed, the lease is still held.
func (c *client) returned(n, id uint64, held lease, err error, good string) {
	c.s.Post(func() {
		if err != nil && !errors.Is(err, broker.ErrNotFound) && !errors.Is(err, broker.ErrBuried) {
			c.hold(id, held)
		}
		c.settle(n, slot{word: c.wordOf(err, good)})
	})
}

func (c *client) release(r *protocol.BeanstalkRequest) {
	held, ok := c.leases[r.ID]
	if !ok {
		c.say(protocol.BeanstalkNotFound)
		return
	}
	id, n := r.ID, c.owe()
	delete(c.leases, id)
	c.door.queue.Release(id, held.token, r.Priority, time.Duration(r.Delay)*time.Second, func(err error) {
		c.returned(n, id, held, err, protocol.BeanstalkReleased)
	})
}

// buryReason is what the list of buried jobs says of those that a client buried.
const buryReason = "buried by a worker"

func (c *client) bury(r *protocol.BeanstalkRequest) {
	held, ok := c.leases[r.ID]
	if !ok {
		c.say(protocol.BeanstalkNotFound)
		return
	}
	id, n := r.ID, c.owe()
	delete(c.leases, id)
	c.door.queue.Bury(id, held.token, r.Priority, buryReason, func(err error) {
		c.returned(n, id, held, err, protocol.BeanstalkBuried)
	})
}

func (c *client) touch(id uint64) {
	held, ok := c.leases[id]
	if !ok {
		c.say(protocol.BeanstalkNotFound)
		return
	}
	c.aside(func() (string, error) { return protocol.BeanstalkTouched, c.door.queue.Touch(id, held.token) })
}

// aside runs a call that may have to ask another node, off the loop. Later commands wait until it is answered.
func (c *client) aside(call func() (good string, err error)) {
	c.block()
	if !c.door.begin(func() {
		good, err := call()
		c.s.Post(func() {
			b := c.s.Buffer()
			*b = protocol.AppendBeanstalk(*b, c.wordOf(err, good))
			c.unblock()
		})
	}) {
		c.say(protocol.BeanstalkInternalError)
		c.unblock()
	}
}

// kickMax bounds what one kick moves, so that its commit stays small; a client that wants more repeats it.
const kickMax = 100_000

func (c *client) kick(bound uint64) {
	n := c.owe()
	c.door.queue.Kick(c.used, int(min(bound, kickMax)), func(kicked int, err error) {
		c.s.Post(func() {
			if err != nil && !errors.Is(err, broker.ErrNotFound) {
				c.settle(n, slot{word: c.wordOf(err, "")})
				return
			}
			c.settle(n, slot{word: protocol.BeanstalkKicked, number: true, n: uint64(kicked)})
		})
	})
}

func (c *client) use(tube string) {
	if tube != c.used {
		c.door.tubes.use(tube, 1)
		c.door.tubes.use(c.used, -1)
		c.used = tube
	}
	c.answer(slot{bytes: protocol.AppendBeanstalkName(nil, "USING", tube)})
}

// watchMax bounds what one connection can make the queue look at.
const watchMax = 1000

func (c *client) watch(tube string) {
	if !slices.Contains(c.watched, tube) {
		if len(c.watched) >= watchMax {
			c.say(protocol.BeanstalkOutOfMemory)
			return
		}
		c.watched = append(c.watched, tube)
		c.door.tubes.watch(tube, 1)
	}
	c.answer(slot{word: "WATCHING", number: true, n: uint64(len(c.watched))})
}

func (c *client) ignore(tube string) {
	if i := slices.Index(c.watched, tube); i >= 0 {
		if len(c.watched) == 1 {
			c.say(protocol.BeanstalkNotIgnored)
			return
		}
		c.watched = slices.Delete(slices.Clone(c.watched), i, i+1) // a reservation may hold the old list
		c.door.tubes.watch(tube, -1)
	}
	c.answer(slot{word: "WATCHING", number: true, n: uint64(len(c.watched))})
}

// reserve asks for a job. Later commands wait until it is answered.
func (c *client) reserve(r broker.Reservation) {
	if !c.worker {
		c.worker = true
		c.door.clients.workers.Add(1)
	}
	r.Owner, r.Tubes = c.s.ID(), c.watched
	byID := r.ID != 0
	r.Got = func(job broker.Job, err error) {
		c.s.Post(func() { c.reserved(job, err, byID) })
	}
	c.block()
	c.wait(true)
	c.door.queue.Reserve(r) // cancelled by EndOwner, when the connection goes
}

func (c *client) reserved(job broker.Job, err error, byID bool) {
	c.wait(false)
	b := c.s.Buffer()
	switch {
	case err == nil:
		c.hold(job.ID, lease{job.Lease, job.Tube, time.Now().Add(job.TTR)})
		*b = protocol.AppendBeanstalkJob(*b, "RESERVED", job.ID, job.Body)
	case errors.Is(err, broker.ErrNotFound) && !byID, errors.Is(err, context.Canceled):
		*b = protocol.AppendBeanstalk(*b, protocol.BeanstalkTimedOut)
	default:
		*b = protocol.AppendBeanstalk(*b, c.wordOf(err, ""))
	}
	c.unblock()
}

// hold remembers a lease. Those that ran out long ago are dropped now and then: a worker that never answers must not
// grow.
func (c *client) hold(id uint64, l lease) {
	if c.leases == nil {
		c.leases = map[uint64]lease{}
	}
	c.leases[id] = l
	if len(c.leases) < c.sweepAt {
		return
	}
	now := time.Now()
	overdue := make(map[uint64]lease)
	for id, l := range c.leases {
		if now.After(l.ends) {
			overdue[id] = l
		}
	}
	c.sweepAt = max(sweepFirst, 2*len(c.leases))
	c.door.begin(func() { c.dropLost(overdue) })
}

// dropLost forgets the leases that the queue does not know any more. It runs off the loop.
func (c *client) dropLost(overdue map[uint64]lease) {
	maps.DeleteFunc(overdue, func(id uint64, l lease) bool { return !errors.Is(c.door.queue.Touch(id, l.token), broker.ErrNotFound) })
	c.s.Post(func() {
		for id, l := range overdue {
			if c.leases[id] == l {
				delete(c.leases, id)
			}
		}
		c.sweepAt = max(sweepFirst, 2*len(c.leases))
	})
}

// block keeps later commands waiting until unblock.
func (c *client) block() {
	c.blocked = true
	c.s.Pause()
}

func (c *client) unblock() {
	c.blocked = false
	c.proceed()
}

// wait counts the client as one that waits for a job.
func (c *client) wait(on bool) {
	if on == c.waiting {
		return
	}
	c.waiting = on
	n := int64(-1)
	if on {
		n = 1
	}
	c.door.clients.waiting.Add(n)
}

func (c *client) pauseTube(tube string, d time.Duration) {
	c.aside(func() (string, error) {
		if !c.door.known(tube) {
			return "", broker.ErrNotFound
		}
		err := c.door.queue.Pause(tube, d)
		if err == nil {
			c.door.tubes.paused(tube)
		}
		return protocol.BeanstalkPaused, err
	})
}
