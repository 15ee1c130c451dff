package beanstalk

import (
	"context"
	"errors"
	"slices"
	"time"

	"gosper/broker"
	"gosper/protocol"
)

// lookTimeout bounds one look at the queue.
const lookTimeout = 10 * time.Second

// look runs a command that only reads. Reading may wait for the disk, so it leaves the loop; the client's later commands
// wait, so there is at most one look a connection.
func (c *client) look(r *protocol.BeanstalkRequest) {
	asked := *r
	asked.Tube = slices.Clone(r.Tube)
	used := c.used
	c.block()
	if !c.door.begin(func() {
		ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
		defer cancel()
		b, err := c.door.look(ctx, &asked, used)
		c.s.Post(func() {
			if err != nil {
				b = protocol.AppendBeanstalk(nil, c.wordOf(err, ""))
			}
			*c.s.Buffer() = append(*c.s.Buffer(), b...)
			c.unblock()
		})
	}) {
		c.say(protocol.BeanstalkInternalError)
		c.unblock()
	}
}

// begin runs work on a goroutine of its own unless the door is closed.
func (d *Door) begin(work func()) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	d.work.Go(work)
	return true
}

// look reads what a command asks for and encodes the answer.
func (d *Door) look(ctx context.Context, r *protocol.BeanstalkRequest, used string) ([]byte, error) {
	switch r.Command {
	case protocol.BeanstalkPeek:
		return found(d.queue.Peek(ctx, r.ID))
	case protocol.BeanstalkPeekReady:
		return found(d.queue.PeekTube(ctx, used, broker.JobReady))
	case protocol.BeanstalkPeekDelayed:
		return found(d.queue.PeekTube(ctx, used, broker.JobDelayed))
	case protocol.BeanstalkPeekBuried:
		return found(d.queue.PeekTube(ctx, used, broker.JobBuried))
	case protocol.BeanstalkStatsJob:
		return d.statsJob(ctx, r.ID)
	case protocol.BeanstalkStatsTube:
		return d.statsTube(string(r.Tube))
	case protocol.BeanstalkStats:
		return d.stats()
	case protocol.BeanstalkListTubes:
		return listing(d.allTubes()), nil
	}
	return nil, errors.New("command without an answer")
}

func found(job broker.Job, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	return protocol.AppendBeanstalkJob(nil, "FOUND", job.ID, job.Body), nil
}

// listing encodes names as a YAML list.
func listing(names []string) []byte {
	y := protocol.NewBeanstalkYAML()
	for _, name := range names {
		y.Item(name)
	}
	return protocol.AppendBeanstalkData(nil, y)
}

// allTubes lists the tubes that hold jobs or that a connection uses or watches: default first, the others by name.
func (d *Door) allTubes() []string {
	names := append(d.queue.Tubes(), d.tubes.names()...)
	names = slices.DeleteFunc(names, func(name string) bool { return name == defaultTube })
	slices.Sort(names)
	return append([]string{defaultTube}, slices.Compact(names)...)
}

// known says whether a tube exists.
func (d *Door) known(tube string) bool {
	if tube == defaultTube || d.tubes.has(tube) {
		return true
	}
	_, err := d.queue.Stats(tube)
	return err == nil
}
