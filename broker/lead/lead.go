// Package lead lets one of several nodes act for all of them, and lets the others ask it.
//
// Who leads under a name is a record of the Store. The leader writes it again every second; whoever sees it stand still
// for the time of the lease takes it over by a conditional write, so there is one winner. Both measure with clocks of their own
// that only run forward: no two machines need the same time. A leader that could not write its record for as long ends its work by
// itself, before anybody else can begin. One that was paused for that long learns it late, so what it writes must
// carry its term: a number that grows with every leader, by which its writes are refused.
package lead

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"gosper/broker"
)

// DefaultLease is how long a silent leader is waited for.
const DefaultLease = 3 * time.Second

// keyPrefix is where the Store keeps who leads.
const keyPrefix = "lead/"

// Options of a Seat.
type Options struct {
	Store broker.Store  // which all nodes share
	Bus   broker.Bus    // for Ask; nil: nobody asks
	Name  string        // what is led: a token of a subject
	Node  string        // this node, which no other one has: a token of a subject
	Lease time.Duration // 0 means DefaultLease
	// Act does the work until its context ends, which is when another node may begin; then it returns soon. term grows with
	// every leader of the name, from 1. An Act that returns by itself gives the lead up; it is called again when this node leads anew.
	Act func(ctx context.Context, term uint64)
	// Answer answers, in JSON, what nodes ask while this one leads; nil: nobody asks. See Seat.Ask.
	Answer func(ctx context.Context, verb string, content []byte) ([]byte, error)
	Log    *slog.Logger // nil means none
}

// Seat is one node's part in it. Its methods may be called from any goroutine.
type Seat struct {
	o       Options
	log     *slog.Logger
	leading atomic.Pointer[context.Context] // of Act while this node leads: it ends with the lease
	ctx     context.Context                 // ends with Close
	stop    context.CancelFunc
	work    sync.WaitGroup
	asks    *asks // nil without a bus

	life     string // tells this seat from others of the same name
	revision uint64 // of the record as this node last wrote it; owned by run
}

// holder is the record.
type holder struct {
	Node string `json:"node"` // "": free
	Life string `json:"life"` // of its process: one that comes back under the same name is another
	Term uint64 `json:"term"`
}

// Open begins to stand for the lead.
func Open(o Options) (*Seat, error) {
	if o.Lease == 0 {
		o.Lease = DefaultLease
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Seat{o: o, life: rand.Text(), log: o.Log.With("lead", o.Name, "node", o.Node)}
	s.ctx, s.stop = context.WithCancel(context.Background())
	if o.Bus != nil {
		var err error
		if s.asks, err = openAsks(s); err != nil {
			s.stop()
			return nil, err
		}
	}
	if o.Act != nil {
		s.work.Go(s.run)
	}
	return s, nil
}

// Leading says whether this node leads now.
func (s *Seat) Leading() bool {
	act := s.leading.Load()
	return act != nil && (*act).Err() == nil
}

// Close ends the work, waits for it, and gives the lead up, so that another node takes it at once. It is idempotent.
func (s *Seat) Close() {
	s.stop()
	s.work.Wait()
	if s.asks != nil {
		s.asks.close()
	}
}

// run stands for the lead until the seat is closed.
func (s *Seat) run() {
	var seen uint64 // revision of the record when it was last looked at
	var since time.Time
	for s.ctx.Err() == nil {
		begin := time.Now()
		h, revision, err := s.look()
		switch {
		case err != nil:
			seen = 0
		case revision != seen || since.IsZero():
			seen, since = revision, time.Now()
			fallthrough
		default:
			free := h.Node == "" || time.Since(since) >= s.o.Lease
			if free && s.take(holder{s.o.Node, s.life, h.Term + 1}, revision) {
				s.lead(h.Term+1, begin)
				seen, since = 0, time.Time{}
			}
		}
		s.pause(s.o.Lease / 6)
	}
}

// look reads the record; revision 0 when there is none.
func (s *Seat) look() (h holder, revision uint64, err error) {
	ctx, cancel := context.WithTimeout(s.ctx, s.o.Lease/2)
	defer cancel()
	r, err := s.o.Store.Get(ctx, keyPrefix+s.o.Name)
	if errors.Is(err, broker.ErrNotFound) {
		return h, 0, nil
	}
	if err == nil {
		err = json.Unmarshal(r.Value, &h)
	}
	return h, r.Revision, err
}

// take writes the record if nobody has since; false when that failed.
func (s *Seat) take(h holder, revision uint64) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), s.o.Lease/2)
	defer cancel()
	value, _ := json.Marshal(h) // a text and a number cannot fail
	revisions, err := s.o.Store.Commit(ctx, broker.Op{Key: keyPrefix + s.o.Name, Value: value, Revision: revision})
	if err != nil {
		return false
	}
	s.revision = revisions[0]
	return true
}

// lead acts until the lease is lost, Act returns or the seat is closed.
func (s *Seat) lead(term uint64, begin time.Time) {
	s.log.Info("this node leads", "term", term)
	ctx, cancel := context.WithCancel(s.ctx)
	end := time.AfterFunc(time.Until(begin.Add(s.mine())), cancel)
	var act sync.WaitGroup
	s.leading.Store(&ctx)
	act.Go(func() {
		defer cancel()
		s.o.Act(ctx, term)
	})
	for ctx.Err() == nil {
		tick := time.NewTimer(s.o.Lease / 3)
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
		tick.Stop()
		if begin := time.Now(); ctx.Err() == nil && s.renew(term) {
			end.Reset(time.Until(begin.Add(s.mine())))
		}
	}
	end.Stop()
	s.leading.Store(nil)
	act.Wait()
	if s.take(holder{Term: term}, s.revision) {
		s.log.Info("this node leads no longer", "term", term)
		return
	}
	s.log.Warn("this node has lost the lead", "term", term)
}

// mine is how long the leader believes a write of its own: less than others do, so that it has stopped when they begin.
func (s *Seat) mine() time.Duration { return s.o.Lease * 5 / 6 }

// renew writes the record again. After an error whose outcome is not known the record tells whether this node leads still.
func (s *Seat) renew(term uint64) bool {
	h := holder{s.o.Node, s.life, term}
	if s.take(h, s.revision) {
		return true
	}
	now, revision, err := s.look()
	return err == nil && now == h && s.take(h, revision)
}

// pause waits, but not beyond Close.
func (s *Seat) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.ctx.Done():
	}
}
