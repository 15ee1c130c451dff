package pebble

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"gosper/broker"
	"gosper/broker/keys"
)

// snapshotPart is how much of a snapshot goes into one batch, so that nobody waits long behind a large one.
const snapshotPart = 512 << 10

// Log is the broker.Log of a DB. Appends take part in the group commit; reads see what is durable.
type Log struct {
	db     *DB
	states map[string]*logState // owned by the committer; see state
	last   uint64               // owned by the committer: last id of a log or a set of parts
}

var _ broker.Log = (*Log)(nil)

// Append implements broker.Log. A full queue is answered with broker.ErrBusy. done runs on the committer and must not
// block.
func (l *Log) Append(name string, token uint64, entries [][]byte, done func(uint64, error)) {
	if err := keys.CheckEntries(name, entries); err != nil {
		done(0, err)
		return
	}
	w := &logAppend{log: l, name: name, token: token, entries: entries, done: done}
	if err := l.db.committer.offer(w); err != nil {
		done(0, err)
	}
}

// logAppend is one Append on its way.
type logAppend struct {
	log      *Log
	name     string
	token    uint64
	entries  [][]byte
	done     func(uint64, error)
	first    uint64 // set by stage
	answered atomic.Bool
}

func (w *logAppend) size() (int, bool) {
	bytes := 32
	for _, e := range w.entries {
		bytes += len(e) + 24
	}
	return bytes, false
}

func (w *logAppend) stage(t *tx) error {
	s, err := w.log.open(t, w.name, w.token)
	if err != nil {
		return err
	}
	w.first = s.next
	t.sync = t.sync || len(w.entries) > 0
	for _, e := range w.entries {
		t.set(entryKey(s.id, s.next), e)
		s.next++
	}
	logEntriesTotal.Add(len(w.entries))
	return nil
}

func (w *logAppend) apply(*tx)        { w.tell(w.first, nil) }
func (w *logAppend) answer(err error) { w.tell(0, err) }
func (w *logAppend) refuse(err error) { w.tell(0, err) }

func (w *logAppend) tell(first uint64, err error) {
	if !w.answered.Swap(true) {
		w.done(first, err)
	}
}

// SaveSnapshot implements broker.Log. The parts are written first; the row that names them comes last, so a crash leaves
// the whole snapshot or none.
func (l *Log) SaveSnapshot(ctx context.Context, name string, token, at uint64, data []byte) error {
	if err := keys.CheckSnapshot(name, data); err != nil {
		return err
	}
	head := snapshotHead{at: at, size: uint64(len(data)), sum: crc32.Checksum(data, castagnoli)}
	for ; uint64(head.parts)*snapshotPart < head.size; head.parts++ {
		from := int(head.parts) * snapshotPart
		part := clone(data[from:min(len(data), from+snapshotPart)])
		err := l.db.do(ctx, len(part)+64, false, func(t *tx) error {
			s, err := l.open(t, name, token)
			if err != nil {
				return err
			}
			if head.set == 0 {
				head.set = l.nextID(t)
				s.saving[head.set] = true
			}
			t.set(partKey(s.id, head.set, head.parts), part)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return l.db.do(ctx, 64, false, func(t *tx) error {
		s, err := l.open(t, name, token)
		if err != nil {
			return err
		}
		if head.parts > 0 && !s.saving[head.set] {
			return fmt.Errorf("%w: log %q was dropped meanwhile", broker.ErrConflict, name)
		}
		t.sync = true
		delete(s.saving, head.set)
		s.save(t, head)
		return nil
	})
}

// Trim implements broker.Log.
func (l *Log) Trim(ctx context.Context, name string, token, seq uint64) error {
	return l.change(ctx, name, func(t *tx) error {
		s, err := l.open(t, name, token)
		if err != nil {
			return err
		}
		s.dropSnapshots(t, func(at uint64) bool { return at < seq })
		seq := min(seq, s.next)
		if seq <= s.first {
			return nil
		}
		t.removeRange(entryKey(s.id, s.first), entryKey(s.id, seq))
		s.first = seq
		if s.floor < s.first && s.first == s.next {
			s.floor = s.first
			s.write(t)
		}
		return nil
	})
}

// Cut implements broker.Log.
func (l *Log) Cut(ctx context.Context, name string, token, from uint64) error {
	from = max(from, 1)
	return l.change(ctx, name, func(t *tx) error {
		s, err := l.open(t, name, token)
		if err != nil {
			return err
		}
		if from >= s.next {
			return nil
		}
		s.dropSnapshots(t, func(at uint64) bool { return at > from })
		t.removeRange(entryKey(s.id, from), entryKey(s.id, s.next))
		s.next, s.first = from, min(s.first, from)
		if s.first == s.next || s.floor > s.next {
			s.floor = s.next
			s.write(t)
		}
		return nil
	})
}

// Drop implements broker.Log.
func (l *Log) Drop(ctx context.Context, name string) error {
	return l.change(ctx, name, func(t *tx) error {
		s, err := l.state(t, name)
		if s == nil || err != nil {
			return err
		}
		t.remove(in(spaceLog, name))
		for _, space := range []byte{spaceEntry, spacePlace, spacePart} {
			t.removeRange(logKey(space, s.id), logKey(space, s.id+1))
		}
		delete(l.states, name)
		return nil
	})
}

// change runs fn, which changes a log, and waits until that is durable.
func (l *Log) change(ctx context.Context, name string, fn func(*tx) error) error {
	if !broker.ValidSubject(name) {
		return broker.BadName("log", name)
	}
	return l.db.do(ctx, 64, true, func(t *tx) error {
		t.sync = true
		return fn(t)
	})
}

// Close does nothing: the log ends with its DB.
func (l *Log) Close() error { return nil }

// snapshot returns the present view and the id of the log in it; id 0 when there is no such log. After success the
// caller releases the view.
func (l *Log) snapshot(ctx context.Context, name string) (*snapshot, logRecord, error) {
	if !broker.ValidSubject(name) {
		return nil, logRecord{}, broker.BadName("log", name)
	}
	if err := ctx.Err(); err != nil {
		return nil, logRecord{}, err
	}
	snap := l.db.view.acquire()
	if snap == nil {
		return nil, logRecord{}, broker.ErrClosed
	}
	r, err := readLog(snap, name)
	if err != nil {
		snap.release()
		return nil, logRecord{}, err
	}
	return snap, r, nil
}

// Read implements broker.Log.
func (l *Log) Read(ctx context.Context, name string, from uint64, limit int) ([]broker.LogEntry, error) {
	snap, r, err := l.snapshot(ctx, name)
	if err != nil {
		return nil, err
	}
	defer snap.release()
	if r.id == 0 {
		return nil, nil
	}
	it, err := snap.NewIter(&pebble.IterOptions{LowerBound: entryKey(r.id, from), UpperBound: logKey(spaceEntry, r.id+1)})
	if err != nil {
		return nil, fmt.Errorf("read log %q: %w", name, err)
	}
	defer it.Close()
	var found []broker.LogEntry
	for ok := it.First(); ok && len(found) < limit; ok = it.Next() {
		_, seq, err := parseLogKey(it.Key())
		if err != nil {
			return nil, err
		}
		if n := len(found); n > 0 && found[n-1].Seq+1 != seq {
			return nil, damaged("entry before", it.Key())
		}
		found = append(found, broker.LogEntry{Seq: seq, Data: clone(it.Value())})
	}
	return found, it.Error()
}

// Next implements broker.Log.
func (l *Log) Next(ctx context.Context, name string) (uint64, error) {
	snap, r, err := l.snapshot(ctx, name)
	if err != nil {
		return 0, err
	}
	defer snap.release()
	if r.id == 0 {
		return 1, nil
	}
	_, next, err := logEnds(snap, r)
	return next, err
}

// Snapshot implements broker.Log.
func (l *Log) Snapshot(ctx context.Context, name string, before uint64) (uint64, []byte, error) {
	snap, r, err := l.snapshot(ctx, name)
	if err != nil {
		return 0, nil, err
	}
	defer snap.release()
	heads, err := readHeads(snap, r.id)
	if err != nil {
		return 0, nil, err
	}
	for i := len(heads) - 1; i >= 0; i-- {
		if heads[i].at <= before {
			data, err := heads[i].read(snap, r.id)
			return heads[i].at, data, err
		}
	}
	return 0, nil, fmt.Errorf("%w: snapshot of log %q", broker.ErrNotFound, name)
}

// read puts the parts together.
func (h snapshotHead) read(from pebble.Reader, id uint64) ([]byte, error) {
	data := make([]byte, 0, min(h.size, keys.MaxSnapshot))
	for part := range h.parts {
		key := partKey(id, h.set, part)
		value, closer, err := from.Get(key)
		if errors.Is(err, pebble.ErrNotFound) {
			return nil, damaged("part of a snapshot", key)
		}
		if err != nil {
			return nil, err
		}
		data = append(data, value...)
		closer.Close()
	}
	if uint64(len(data)) != h.size || crc32.Checksum(data, castagnoli) != h.sum {
		return nil, damaged("snapshot", placeKey(id, h.at))
	}
	return data, nil
}
