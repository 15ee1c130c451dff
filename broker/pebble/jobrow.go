package pebble

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"gosper/broker"
	"gosper/broker/jobs"
)

// A job is written once, when it is put (J), and deleted once. What changes is in a small row of its own (j), which a job
// that was only put, reserved and deleted never has.
//
//	J|id8            version1 tube4 pri4 delay8 ttr8 created8 due8 unique1 [hash16] body
//	j|id8            state1 pri4 delay8 due8 reserves4 timeouts4 releases4 buries4 kicks4 reason

const (
	jobVersion   = 1
	jobHeader    = 42
	changeHeader = 41
)

// uniqueText is what a unique text is known by inside: its tube and a hash.
func uniqueText(tube uint32, text string) string {
	sum := sha256.Sum256([]byte(text))
	return string(append(binary.BigEndian.AppendUint32(nil, tube), sum[:16]...))
}

func appendJob(dst []byte, r *jobs.Row) []byte {
	dst = append(dst, jobVersion)
	dst = binary.BigEndian.AppendUint32(dst, r.Tube.ID)
	dst = binary.BigEndian.AppendUint32(dst, r.Priority)
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.Delay))
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.TTR))
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.Created))
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.Due))
	if r.Unique == "" {
		return append(append(dst, 0), r.Body...)
	}
	dst = append(append(dst, 1), r.Unique[4:]...)
	return append(dst, r.Body...)
}

// parseJob makes the job that was put; tube finds its tube. It copies value.
func parseJob(id uint64, value []byte, tube func(uint32) *jobs.Tube) (*jobs.Row, error) {
	key := jobKey(spaceJob, id)
	if len(value) < jobHeader || value[0] != jobVersion || value[41] > 1 {
		return nil, damaged("job", key)
	}
	r := &jobs.Row{
		ID: id, Tube: tube(binary.BigEndian.Uint32(value[1:])), State: broker.JobReady,
		Priority: binary.BigEndian.Uint32(value[5:]),
		Delay:    time.Duration(binary.BigEndian.Uint64(value[9:])),
		TTR:      time.Duration(binary.BigEndian.Uint64(value[17:])),
		Created:  int64(binary.BigEndian.Uint64(value[25:])),
		Due:      int64(binary.BigEndian.Uint64(value[33:])),
	}
	if r.Tube == nil {
		return nil, damaged("job of an unknown tube", key)
	}
	if r.Due != 0 {
		r.State = broker.JobDelayed
	}
	rest := value[jobHeader:]
	if value[41] == 1 {
		if len(rest) < 16 {
			return nil, damaged("job", key)
		}
		r.Unique = string(append(binary.BigEndian.AppendUint32(nil, r.Tube.ID), rest[:16]...))
		rest = rest[16:]
	}
	r.Body = clone(rest)
	return r, nil
}

func appendChange(dst []byte, r *jobs.Row) []byte {
	dst = append(dst, byte(r.State))
	dst = binary.BigEndian.AppendUint32(dst, r.Priority)
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.Delay))
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.Due))
	for _, n := range []uint32{r.Reserves, r.Timeouts, r.Releases, r.Buries, r.Kicks} {
		dst = binary.BigEndian.AppendUint32(dst, n)
	}
	return append(dst, r.Reason...)
}

// parseChange brings a job up to date.
func parseChange(r *jobs.Row, value []byte) error {
	if len(value) < changeHeader {
		return damaged("state of a job", jobKey(spaceChange, r.ID))
	}
	r.Changed = true
	r.State = broker.JobState(value[0])
	if r.State != broker.JobReady && r.State != broker.JobDelayed && r.State != broker.JobBuried {
		return damaged("state of a job", jobKey(spaceChange, r.ID))
	}
	r.Priority = binary.BigEndian.Uint32(value[1:])
	r.Delay = time.Duration(binary.BigEndian.Uint64(value[5:]))
	r.Due = int64(binary.BigEndian.Uint64(value[13:]))
	for i, n := range []*uint32{&r.Reserves, &r.Timeouts, &r.Releases, &r.Buries, &r.Kicks} {
		*n = binary.BigEndian.Uint32(value[21+4*i:])
	}
	r.Reason = string(value[changeHeader:])
	return nil
}

func jobKey(space byte, id uint64) []byte {
	return binary.BigEndian.AppendUint64(append(make([]byte, 0, 9), space), id)
}

// jobKey is the function of that name in a buffer of the committer's, good until the next key.
func (q *Queue) jobKey(space byte, id uint64) []byte {
	q.key = binary.BigEndian.AppendUint64(append(q.key[:0], space), id)
	return q.key
}

// indexKey is the place of a resting job on disk, in the same buffer.
func (q *Queue) indexKey(r *jobs.Row) []byte {
	q.key = appendIndex(q.key[:0], r.State, r.Tube.ID, r.Key())
	return q.key
}

// indexSpace returns the space of the index of a state.
func indexSpace(s broker.JobState) byte {
	switch s {
	case broker.JobDelayed:
		return spaceDelayed
	case broker.JobBuried:
		return spaceBuried
	}
	return spaceReady
}

func appendIndex(dst []byte, s broker.JobState, tube uint32, k jobs.Key) []byte {
	dst = binary.BigEndian.AppendUint32(append(dst, indexSpace(s)), tube)
	switch s {
	case broker.JobReady:
		dst = binary.BigEndian.AppendUint32(dst, uint32(k.A))
	case broker.JobDelayed:
		dst = binary.BigEndian.AppendUint64(dst, k.A)
	}
	return binary.BigEndian.AppendUint64(dst, k.B)
}

func parseIndex(s broker.JobState, key []byte) (tube uint32, k jobs.Key, err error) {
	if want := len(appendIndex(make([]byte, 0, 32), s, 0, jobs.Key{})); len(key) != want {
		return 0, k, damaged("index", key)
	}
	tube = binary.BigEndian.Uint32(key[1:])
	switch s {
	case broker.JobReady:
		k.A = uint64(binary.BigEndian.Uint32(key[5:]))
	case broker.JobDelayed:
		k.A = binary.BigEndian.Uint64(key[5:])
	}
	k.B = binary.BigEndian.Uint64(key[len(key)-8:])
	return tube, k, nil
}

// load returns a resting job from memory or from the readers' snapshot. Caller holds mu.
func (q *Queue) load(id uint64) (*jobs.Row, error) {
	if row := q.cache[id]; row != nil {
		return row, nil
	}
	snap := q.db.view.acquire()
	if snap == nil {
		return nil, broker.ErrClosed
	}
	defer snap.release()
	return q.read(snap, id)
}

// read returns a job as the reader sees it. Caller holds mu.
func (q *Queue) read(from pebble.Reader, id uint64) (*jobs.Row, error) {
	value, closer, err := from.Get(jobKey(spaceJob, id))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, jobs.NoJob(id)
	}
	if err != nil {
		return nil, err
	}
	row, err := parseJob(id, value, func(id uint32) *jobs.Tube { return q.byID[id] })
	closer.Close()
	if err != nil {
		return nil, err
	}
	value, closer, err = from.Get(jobKey(spaceChange, id))
	if errors.Is(err, pebble.ErrNotFound) {
		return row, nil
	}
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	return row, parseChange(row, value)
}

// index returns the source of a tube's window: what is on disk, but for jobs that are reserved or on their way. Those
// come back by themselves.
func (q *Queue) index(t *jobs.Tube, s broker.JobState) jobs.Source {
	return func(from jobs.Key, limit int, add func(jobs.Key)) (next jobs.Key, more bool, err error) {
		snap := q.db.view.acquire()
		if snap == nil {
			return from, false, broker.ErrClosed
		}
		defer snap.release()
		next = from
		q.refills++
		more, steps, err := scanIndex(snap, s, t.ID, from, func(k jobs.Key) bool {
			if limit--; limit < 0 {
				return false
			}
			_, busy := q.busy[k.B]
			if !busy && q.room.Leased(k.B) == nil {
				add(k)
			}
			next = k.Next()
			return true
		})
		q.steps += steps
		return next, more, err
	}
}

// scanIndex calls fn for the keys of a tube's state from a place on. It reports whether fn ended it, and how many keys
// and tombstones it went over.
func scanIndex(from pebble.Reader, s broker.JobState, tube uint32, start jobs.Key, fn func(jobs.Key) bool) (ended bool, steps uint64, err error) {
	prefix := binary.BigEndian.AppendUint32([]byte{indexSpace(s)}, tube)
	it, err := from.NewIter(&pebble.IterOptions{LowerBound: appendIndex(nil, s, tube, start), UpperBound: after(prefix)})
	if err != nil {
		return false, 0, err
	}
	defer it.Close()
	for ok := it.First(); ok && !ended; ok = it.Next() {
		_, k, err := parseIndex(s, it.Key())
		if err != nil {
			return false, 0, err
		}
		ended = !fn(k)
	}
	stats := it.Stats()
	return ended, uint64(stats.ForwardStepCount[pebble.InternalIterCall]), it.Error()
}
