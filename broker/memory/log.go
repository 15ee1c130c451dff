package memory

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"gosper/broker"
	"gosper/broker/keys"
)

// Log is a broker.Log in memory. Append calls done before it returns.
type Log struct {
	mu     sync.RWMutex
	logs   map[string]*journal // guarded by mu
	closed bool                // guarded by mu
}

var _ broker.Log = (*Log)(nil)

// NewLog returns an empty Log.
func NewLog() *Log { return &Log{logs: make(map[string]*journal)} }

// journal is one log: entries[0] has Seq first.
type journal struct {
	first     uint64
	entries   [][]byte
	token     uint64
	snapshots []place // by at
}

// place is one snapshot.
type place struct {
	at   uint64
	data []byte
}

func (j *journal) next() uint64 { return j.first + uint64(len(j.entries)) }

// fence takes note of a writer's token, or refuses it.
func (j *journal) fence(name string, token uint64) error {
	if token < j.token {
		return keys.Fenced(name, token, j.token)
	}
	j.token = token
	return nil
}

// find returns the index of the first snapshot with a place of at least at.
func (j *journal) find(at uint64) int {
	i, _ := slices.BinarySearchFunc(j.snapshots, at, func(p place, at uint64) int {
		return cmp.Compare(p.at, at)
	})
	return i
}

// Append implements broker.Log.
func (l *Log) Append(name string, token uint64, entries [][]byte, done func(uint64, error)) {
	first, err := l.append(name, token, entries)
	done(first, err)
}

func (l *Log) append(name string, token uint64, entries [][]byte) (uint64, error) {
	if err := keys.CheckEntries(name, entries); err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	j, err := l.open(name, token)
	if err != nil {
		return 0, err
	}
	first := j.next()
	j.entries = append(j.entries, entries...)
	return first, nil
}

// open returns the log for a write, and makes it if need be. Caller holds mu.
func (l *Log) open(name string, token uint64) (*journal, error) {
	if l.closed {
		return nil, broker.ErrClosed
	}
	j := l.logs[name]
	if j == nil {
		j = &journal{first: 1}
		l.logs[name] = j
	}
	return j, j.fence(name, token)
}

// change returns the log for a write whose name was not checked yet. Caller holds mu.
func (l *Log) change(ctx context.Context, name string, token uint64) (*journal, error) {
	if _, err := l.look(ctx, name); err != nil {
		return nil, err
	}
	return l.open(name, token)
}

// look returns the log for reading; nil when there is none. Caller holds mu for reading.
func (l *Log) look(ctx context.Context, name string) (*journal, error) {
	switch {
	case l.closed:
		return nil, broker.ErrClosed
	case !broker.ValidSubject(name):
		return nil, broker.BadName("log", name)
	}
	return l.logs[name], ctx.Err()
}

// Read implements broker.Log.
func (l *Log) Read(ctx context.Context, name string, from uint64, limit int) ([]broker.LogEntry, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	j, err := l.look(ctx, name)
	if j == nil || err != nil {
		return nil, err
	}
	var found []broker.LogEntry
	for seq := max(from, j.first); seq < j.next() && len(found) < limit; seq++ {
		found = append(found, broker.LogEntry{Seq: seq, Data: clone(j.entries[seq-j.first])})
	}
	return found, nil
}

// Next implements broker.Log.
func (l *Log) Next(ctx context.Context, name string) (uint64, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	j, err := l.look(ctx, name)
	switch {
	case err != nil:
		return 0, err
	case j == nil:
		return 1, nil
	}
	return j.next(), nil
}

// SaveSnapshot implements broker.Log.
func (l *Log) SaveSnapshot(ctx context.Context, name string, token, at uint64, data []byte) error {
	if err := keys.CheckSnapshot(name, data); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	j, err := l.open(name, token)
	if err != nil {
		return err
	}
	i := j.find(at)
	if i == len(j.snapshots) || j.snapshots[i].at != at {
		j.snapshots = slices.Insert(j.snapshots, i, place{at: at})
	}
	j.snapshots[i].data = clone(data)
	return nil
}

// Snapshot implements broker.Log.
func (l *Log) Snapshot(ctx context.Context, name string, before uint64) (uint64, []byte, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	j, err := l.look(ctx, name)
	if err != nil {
		return 0, nil, err
	}
	if j != nil {
		for i := len(j.snapshots) - 1; i >= 0; i-- {
			if p := j.snapshots[i]; p.at <= before {
				return p.at, clone(p.data), nil
			}
		}
	}
	return 0, nil, fmt.Errorf("%w: snapshot of log %q", broker.ErrNotFound, name)
}

// Trim implements broker.Log.
func (l *Log) Trim(ctx context.Context, name string, token, seq uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	j, err := l.change(ctx, name, token)
	if err != nil {
		return err
	}
	j.snapshots = slices.Delete(j.snapshots, 0, j.find(seq))
	if seq = min(seq, j.next()); seq > j.first {
		j.entries = slices.Clone(j.entries[seq-j.first:])
		j.first = seq
	}
	return nil
}

// Cut implements broker.Log.
func (l *Log) Cut(ctx context.Context, name string, token, from uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	j, err := l.change(ctx, name, token)
	if err != nil {
		return err
	}
	from = max(from, 1)
	if from >= j.next() {
		return nil
	}
	j.snapshots = slices.Delete(j.snapshots, j.find(from+1), len(j.snapshots))
	j.entries = j.entries[:max(from, j.first)-j.first]
	j.first = min(j.first, from)
	return nil
}

// Drop implements broker.Log.
func (l *Log) Drop(ctx context.Context, name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.look(ctx, name); err != nil {
		return err
	}
	delete(l.logs, name)
	return nil
}

// Close implements broker.Log.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return nil
}
