package nats

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"gosper/broker"
)

// StateOptions are the options of a State. The zero value of a field means its default.
type StateOptions struct {
	URL       string              // as in Options
	Password  string              // for a URL that names a user without one
	Node      string              // name of this process, by which the servers list its links; "": one is made up
	Jobs      broker.QueueOptions // rules of the Queue
	StartWait time.Duration       // how long OpenState waits for the servers and the replicas. Default 15 s
	Wait      time.Duration       // how long a call may take while the servers are away, at most. Default 4 s
	Log       *slog.Logger        // nil: slog.Default()
}

// State is what lasts of the nodes that share NATS servers: records, logs, jobs and timers on JetStream. Its methods may
// be called from any goroutine. See the package for its promise.
type State struct {
	// static after construction
	opts  Options
	jobs  broker.QueueOptions
	link  *link
	store *Store
	log   *Log
	queue *Queue

	ready  atomic.Bool // store and log are set
	closed atomic.Bool
	life   context.Context // ends with Close
	end    context.CancelFunc
	work   sync.WaitGroup // goroutines that end when life does
}

// OpenState connects to the servers, makes the streams when they are missing, waits until they have all their replicas,
// checks what the servers tell of their settings, and returns the state. Servers that cannot be reached within
// StartWait are an error.
func OpenState(ctx context.Context, so StateOptions) (*State, error) {
	fill(&so.Wait, 4*time.Second)
	o, err := Options{URL: so.URL, Password: so.Password, StartWait: so.StartWait, Wait: so.Wait, Log: so.Log}.withDefaults()
	if err != nil {
		return nil, err
	}
	o.name = so.Node
	l, err := reach(ctx, o)
	if err != nil {
		return nil, err
	}
	s := &State{opts: o, jobs: so.Jobs, link: l}
	s.life, s.end = context.WithCancel(context.Background())
	l.run(events{message: s.receive, back: s.back, dropped: s.dropped, sweep: func(time.Time) {}})
	if err := s.open(ctx); err != nil {
		_ = s.Close() // err is what the caller can do something about
		return nil, err
	}
	return s, nil
}

// minPayload is the smallest max_payload of servers that will do.
const minPayload = 64 << 10

// open makes the streams and waits for the index of the store, for as long as it grows.
func (s *State) open(ctx context.Context) error {
	if have := s.link.conn.MaxPayload(); have < minPayload {
		return fmt.Errorf("nats: the servers take messages of %d bytes; set their max_payload to %d or more", have, minPayload)
	}
	short, cancel := context.WithTimeout(ctx, s.opts.StartWait)
	defer cancel()
	var err error
	if s.queue, err = openQueue(short, s.opts, s.jobs, ""); err != nil {
		return err
	}
	whole := make(chan struct{})
	if s.store, err = openStore(short, s, func() { close(whole) }); err != nil {
		return err
	}
	if s.log, err = openLog(short, s); err != nil {
		return err
	}
	s.ready.Store(true)
	t := time.NewTicker(s.opts.StartWait)
	defer t.Stop()
	for before := uint64(0); ; {
		select {
		case <-whole:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
			_, progress, _ := s.store.index.state()
			if progress == before {
				return fmt.Errorf("nats: the list of keys does not come: %d of them came in %s", progress, s.opts.StartWait)
			}
			before = progress
		}
	}
}

// Store returns the records.
func (s *State) Store() broker.Store { return s.store }

// Log returns the logs.
func (s *State) Log() broker.Log { return s.log }

// Queue returns the jobs. Calls wait while no node leads them yet.
func (s *State) Queue() broker.Queue { return s.queue }

// Schedule returns the timers.
func (s *State) Schedule() broker.Schedule { return s.queue.schedule }

// Health says why what lasts cannot be reached now; nil when it can.
func (s *State) Health() error {
	if s.link.away.Load() {
		return errAway
	}
	return nil
}

// Promise says in words what an answered write survives.
func (s *State) Promise() string {
	if s.opts.Replicas == 1 {
		return "JetStream with one copy: an answered write survives the end of any node, and of the server's process; " +
			"not the loss of the server's disk, and a power cut only with sync_interval: always"
	}
	return fmt.Sprintf("JetStream with %d copies: an answered write survives the loss of %d servers with their disks; "+
		"a power cut of all of them only with sync_interval: always", s.opts.Replicas, (s.opts.Replicas-1)/2)
}

// Close ends all calls with broker.ErrClosed.
func (s *State) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	if s.queue != nil {
		_ = s.queue.Close() // never fails
	}
	if s.log != nil {
		_ = s.log.Close() // never fails: no journal starts from here on
	}
	s.end()
	s.link.close()
	s.work.Wait()
	return nil
}

// receive takes a message that the link's subscriptions brought. It runs on the dispatcher.
func (s *State) receive(m *nats.Msg) {
	if m.Subject == wantSubject && s.ready.Load() {
		s.log.want(string(m.Data))
	}
}

// back runs when the link is up again: it looks whether the servers have what they had.
func (s *State) back() {
	if !s.ready.Load() {
		return
	}
	s.work.Go(func() { // not here: this goroutine of the NATS client is needed for the next reconnect
		ctx, cancel := context.WithTimeout(s.life, s.opts.StartWait)
		defer cancel()
		for _, v := range []*vault{s.store.vault, s.log.vault} {
			if err := v.ensure(ctx); err != nil && s.life.Err() == nil {
				s.opts.Log.Error("what lasts is not whole", "error", err)
			}
		}
	})
}

// dropped runs when messages of a pattern were dropped, because this node took them too slowly.
func (s *State) dropped(string) {}
