package pebble

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"gosper/broker/jobs"
)

// What a move to another engine must be able to list beyond what the seams can: names of logs, jobs as they are stored,
// keys with their ends. All of it is read at one moment each call; the caller sees to it that nobody writes meanwhile.

// Names returns the names of logs that sort after `after`, in order, at most limit.
func (l *Log) Names(ctx context.Context, after string, limit int) (names []string, err error) {
	err = l.db.walk(ctx, append(in(spaceLog, after), 0), spaceLog, func(key, _ []byte) (bool, error) {
		names = append(names, string(key[1:]))
		return len(names) < limit, nil
	})
	return names, err
}

// Export returns the jobs with an id above after, in the order of their ids, at most limit and about 1 MiB of bodies.
// A reserved job is in the state it had before.
func (q *Queue) Export(ctx context.Context, after uint64, limit int) (found []jobs.Moved, err error) {
	const mostBytes = 1 << 20
	bytes := 0
	err = q.db.walk(ctx, jobKey(spaceJob, after+1), spaceJob, func(key, _ []byte) (bool, error) {
		if len(key) != 9 {
			return false, damaged("job", key)
		}
		m, err := q.moved(binary.BigEndian.Uint64(key[1:]))
		found = append(found, m)
		bytes += len(m.Body)
		return len(found) < limit && bytes < mostBytes, err
	})
	return found, err
}

// moved reads one job as it is stored.
func (q *Queue) moved(id uint64) (m jobs.Moved, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	row, err := q.read(q.db.pebble, id)
	if err != nil {
		return m, err
	}
	m.Job = row.Job(nil)
	if row.Unique != "" {
		m.Unique = row.Unique[4:] // behind the number of the tube
	}
	return m, nil
}

// KeyEnd is a key of the Registry with the time at which it ends.
type KeyEnd struct {
	Key     string
	Value   []byte
	Expires time.Time
}

// Export returns the durable keys that sort after `after`, in order, at most limit. Leases and ephemeral keys are not
// among them.
func (r *Registry) Export(ctx context.Context, after string, limit int) (found []KeyEnd, err error) {
	err = r.db.walk(ctx, append(in(spaceKey, after), 0), spaceKey, func(key, value []byte) (bool, error) {
		it, err := parseKey(key, value)
		if err == nil && time.Now().Before(it.Expires) {
			found = append(found, KeyEnd{string(key[1:]), it.Value, it.Expires})
		}
		return len(found) < limit, err
	})
	return found, err
}

// walk calls fn for the keys of a space from a key on, until it says no or fails. key and value are only valid during the
// call.
func (db *DB) walk(ctx context.Context, from []byte, space byte, fn func(key, value []byte) (more bool, err error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	it, err := db.pebble.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: []byte{space + 1}})
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if more, err := fn(it.Key(), it.Value()); err != nil || !more {
			return err
		}
	}
	return it.Error()
}
