package gate

import (
	"context"
	"errors"
	"time"

	"gosper/broker"
	"gosper/edge"
	"gosper/edge/module"
	"gosper/protocol"
)

// forward has a worker elsewhere answer a call. It is the Run of a request: it does not block.
func (g *Gate) forward(s *edge.Session, j *job, c *module.Call, done func(module.Reply)) {
	if !g.staffed() {
		done(module.Reply{Status: protocol.StatusUnknownFunction, Message: messageUnknown})
		return
	}
	most := s.Limits().GateJobs
	g.config.Table.Admit(c, g.open[c.Route], func(rep module.Reply) {
		if rep.Status != protocol.StatusOK {
			done(rep)
			return
		}
		j.function, j.done = c.Route, done
		g.enqueue(j, c, most)
	})
}

// staffed says whether a worker takes jobs.
func (g *Gate) staffed() bool {
	if g.config.Queue == nil {
		return false
	}
	if g.config.Consumers != nil {
		return g.config.Consumers()
	}
	stats, err := g.config.Queue.Stats(Tube)
	return err == nil && stats.Waiting > 0
}

// enqueue gives the call an id and puts it where workers look. It runs off the loop.
func (g *Gate) enqueue(j *job, c *module.Call, most int) {
	data, err := identified(c.Content, c.Who.Account)
	if err != nil {
		j.done(module.Reply{Status: protocol.StatusProgramming, Message: messageMalformed})
		return
	}
	gid := g.id.Load()
	if gid == nil && g.config.Registry != nil {
		j.done(module.Reply{Status: protocol.StatusTimeout, Message: messageBusy})
		return
	}
	entered, full := g.jobs.enter(j, most)
	if full {
		edge.LimitHit("gate_jobs")
		j.done(module.Reply{Status: protocol.StatusTimeout, Message: messageBusy})
	}
	if !entered {
		return // the client has gone, or was just told
	}
	if gid != nil {
		if err := g.config.Registry.Set(c.Context, j.id, []byte(*gid), g.config.Timeout); err != nil {
			g.fail(j, err)
			return
		}
	}
	body := protocol.AppendGateRequest(append([]byte(j.id), '~'), c.World, c.Route, data)
	body = body[:len(body)-len(lineEnd)]
	// A worker that hangs holds the job for half the time; then there is as much again for another.
	o := broker.PutOptions{Priority: broker.DefaultPriority, TTR: g.config.Timeout / 2}
	g.config.Queue.Put(Tube, body, o, func(id uint64, err error) {
		if err != nil {
			g.fail(j, err)
			return
		}
		if !g.jobs.put(j, id) {
			g.unqueue(j)
		}
	})
}

// identified returns data with the member unique_id set to account, the only one of that name; without an account data as
// it is.
func identified(data []byte, account string) ([]byte, error) {
	if account == "" {
		return data, nil
	}
	return protocol.AppendGateData(make([]byte, 0, len(data)+64), data, "unique_id", account)
}

// fail answers a job that did not reach the queue.
func (g *Gate) fail(j *job, err error) {
	if !g.jobs.end(j) {
		return
	}
	rep := module.Reply{Status: protocol.StatusTimeout, Message: messageBusy}
	switch {
	case errors.Is(err, broker.ErrTooBig):
		rep = module.Reply{Status: protocol.StatusProgramming, Message: messageTooBig}
	case errors.Is(err, broker.ErrBusy), errors.Is(err, broker.ErrTubeFull), errors.Is(err, broker.ErrDiskFull), errors.Is(err, broker.ErrDraining):
	default:
		g.log.Error("gate: a job was not stored", "function", j.function, "error", err)
		rep = module.Reply{Status: protocol.StatusProgramming, Message: messageProgram}
	}
	j.done(rep)
}

// drop ends a job for which nobody waits any more. It may be called on a loop.
func (g *Gate) drop(j *job) {
	if g.jobs.end(j) {
		g.unqueue(j)
	}
}

// unqueue deletes a job that no worker has reserved. One that a worker holds is the worker's to delete; if it does not,
// sweep finds the job when its lease is over.
func (g *Gate) unqueue(j *job) {
	if id := g.jobs.queued(j); id != 0 {
		g.config.Queue.Delete(id, 0, func(error) {})
	}
}

// sweeping deletes jobs for which nobody waits any more: of clients whose time was over while a worker held the job, and
// of a gate that was killed.
func (g *Gate) sweeping() {
	clock := time.NewTicker(g.config.Timeout)
	defer clock.Stop()
	for {
		g.sweep(time.Now().Add(-g.config.Timeout))
		select {
		case <-clock.C:
		case <-g.end.Done():
			return
		}
	}
}

// sweepMost is how many jobs one look at the queue takes.
const sweepMost = 1000

// sweep deletes the ready jobs of gates that were put before a time.
func (g *Gate) sweep(before time.Time) {
	ctx, cancel := context.WithTimeout(g.end, g.config.Timeout)
	defer cancel()
	for after := uint64(0); ; {
		list, err := g.config.Queue.ListJobs(ctx, Tube, broker.JobReady, after, sweepMost)
		if err != nil {
			return
		}
		for _, job := range list {
			after = job.ID
			if _, _, err := protocol.ParseJob(job.Body); err == nil && job.Created.Before(before) {
				swept.Inc()
				g.config.Queue.Delete(job.ID, 0, func(error) {})
			}
		}
		if len(list) < sweepMost {
			return
		}
	}
}
