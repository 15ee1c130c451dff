package nats

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"gosper/broker"
	"gosper/broker/keys"
)

// Subjects of a log behind logPrefix and its name: `e` holds its entries, `s.PLACE.ID` a snapshot, `c.PLACE.ID.N` the
// pieces of a large one, `d.PLACE.ID` says that a snapshot is gone.
const (
	logStream = "GOSPER_LOG"
	logPrefix = "_GOSPER.log."
)

// Limits of what waits for the servers, for one log and for all; above: broker.ErrBusy.
const (
	MaxLogQueue  = 4096     // appends of one log
	MaxLogBytes  = 32 << 20 // bytes of entries of one log
	MaxLogQueued = 64 << 20 // bytes of entries of all logs
	maxJournals  = 8192     // logs whose end is remembered
)

// Log is the broker.Log of the nodes that share NATS servers. Each write is stored with the condition that the log's
// newest message is the one that the writer has seen, so a writer that slept while another one took its place can never
// write: it reads the end of the log first, and finds the other's token there.
type Log struct {
	// static after construction
	vault *vault
	state *State
	part  int // bytes of entries in one message

	groups atomic.Uint64 // number of the last group
	queued atomic.Int64  // bytes of entries that wait

	mu       sync.Mutex
	journals map[string]*journal // guarded by mu
	closed   bool                // guarded by mu
}

var _ broker.Log = (*Log)(nil)

func openLog(ctx context.Context, state *State) (*Log, error) {
	l := &Log{vault: newVault(state.link, state.opts, logStream, 0, logPrefix+"*.>"), state: state,
		part: partSize(state.link.conn.MaxPayload()), journals: make(map[string]*journal)}
	state.link.join(wantSubject)
	return l, l.vault.ensure(ctx)
}

// Append implements broker.Log. Appends to one log that come while another one is on its way to the servers go together
// as the next. An Append whose outcome is not known within the wait is broker.ErrTimeout; those that waited behind it were
// not written, and are broker.ErrBusy, so that no entry stands in the log without those before it.
func (l *Log) Append(log string, token uint64, entries [][]byte, done func(uint64, error)) {
	if err := keys.CheckEntries(log, entries); err != nil {
		done(0, err)
		return
	}
	t := &task{token: token, entries: entries, done: done}
	for _, e := range entries {
		t.size += len(e)
	}
	if err := l.offer(log, t); err != nil {
		done(0, err)
	}
}

// offer gives a task to the log's journal.
func (l *Log) offer(log string, t *task) error {
	t.deadline = time.Now().Add(l.vault.opts.Wait)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return broker.ErrClosed
	}
	j := l.journals[log]
	if j == nil {
		j = l.newJournal(log)
	}
	if len(j.queue) >= MaxLogQueue || j.bytes+t.size > MaxLogBytes || l.queued.Load()+int64(t.size) > MaxLogQueued {
		refusedBusy.Inc()
		return fmt.Errorf("%w: too many entries wait for log %q", broker.ErrBusy, log)
	}
	j.queue = append(j.queue, t)
	j.bytes += t.size
	l.queued.Add(int64(t.size))
	if !j.running {
		j.running = true
		l.state.work.Go(j.run)
	}
	return nil
}

// newJournal makes room for another journal. Caller holds mu.
func (l *Log) newJournal(log string) *journal {
	if len(l.journals) >= maxJournals {
		for name, j := range l.journals {
			if !j.running {
				delete(l.journals, name)
			}
		}
	}
	j := &journal{log: l, name: log, prefix: logPrefix + token(log) + "."}
	l.journals[log] = j
	return j
}

// do runs op in its turn with the appends of this node, and waits for it.
func (l *Log) do(ctx context.Context, log string, op func(context.Context, *journal) error) error {
	done := make(chan error, 1)
	if err := l.offer(log, &task{op: op, done: func(_ uint64, err error) { done <- err }}); err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// look begins a call that reads: it returns how to reach the log.
func (l *Log) look(ctx context.Context, log string) (*journal, context.Context, context.CancelFunc, error) {
	l.mu.Lock()
	closed := l.closed
	l.mu.Unlock()
	switch {
	case closed:
		return nil, nil, nil, broker.ErrClosed
	case !broker.ValidSubject(log):
		return nil, nil, nil, broker.BadName("log", log)
	case ctx.Err() != nil:
		return nil, nil, nil, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, l.vault.opts.Wait)
	return &journal{log: l, name: log, prefix: logPrefix + token(log) + "."}, ctx, cancel, nil
}

// Next implements broker.Log.
func (l *Log) Next(ctx context.Context, log string) (uint64, error) {
	j, ctx, cancel, err := l.look(ctx, log)
	if err != nil {
		return 0, err
	}
	defer cancel()
	end, err := j.load(ctx)
	return end.next(), err
}

// Drop implements broker.Log.
func (l *Log) Drop(ctx context.Context, log string) error {
	_, ctx, cancel, err := l.look(ctx, log)
	if err != nil {
		return err
	}
	defer cancel()
	return l.do(ctx, log, func(ctx context.Context, j *journal) error {
		j.known = false
		return j.log.vault.purge(ctx, j.prefix+">", 0)
	})
}

// Close implements broker.Log. The link stays until the State is closed.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return nil
}

// newID names a group of entries, or a snapshot.
func (l *Log) newID() string {
	return l.vault.link.node + "-" + strconv.FormatUint(l.groups.Add(1), 36)
}

// end is what the newest message of a log tells. The zero group stands for a log without messages.
type end struct {
	bundle
	seq uint64 // of the message; 0: none
}

// load asks the leader for the end of the log.
func (j *journal) load(ctx context.Context) (end, error) {
	m, err := j.log.vault.last(ctx, j.prefix+"e")
	if errors.Is(err, broker.ErrNotFound) {
		return end{bundle: bundle{first: 1, low: 1}}, nil
	}
	if err != nil {
		return end{}, err
	}
	g, err := readGroup(m.header.Get(groupHeader))
	if err != nil {
		return end{}, fmt.Errorf("%w: %q", err, j.name)
	}
	return end{*g, m.seq}, nil
}
