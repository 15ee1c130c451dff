package migrate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"gosper/broker"
)

const (
	pageLogs      = 500       // names read at a time
	pageEntries   = 256       // entries read at a time
	appendBytes   = 512 << 10 // of entries written at once
	logCrew       = 8         // logs written at the same time: each may have a snapshot of a large game in memory
	noPlaceBefore = ^uint64(0)
)

// eachLog calls fn for the name of every log of the source, in order.
func (m *mover) eachLog(ctx context.Context, fn func(name string) error) error {
	for after := ""; ; {
		names, err := m.from.DB.Log().Names(ctx, after, pageLogs)
		if err != nil || len(names) == 0 {
			return err
		}
		for _, name := range names {
			if err := fn(name); err != nil {
				return fmt.Errorf("log %s: %w", name, err)
			}
		}
		after = names[len(names)-1]
	}
}

// copyLogs writes what logs of the target lack. Entries keep their numbers, since snapshots and stories name them.
func (m *mover) copyLogs(ctx context.Context) (written uint64, err error) {
	done, some := uint64(0), atomic.Uint64{}
	crew := newCrew(ctx, logCrew)
	err = m.eachLog(ctx, func(name string) error {
		done++
		m.Progress("logs", done, name)
		return crew.do(func(ctx context.Context) error {
			wrote, err := m.copyLog(ctx, name)
			if wrote {
				some.Add(1)
			}
			if err != nil {
				return fmt.Errorf("log %s: %w", name, err)
			}
			return nil
		})
	})
	if fault := crew.wait(); fault != nil {
		err = fault
	}
	return some.Load(), err
}

// copyLog writes the missing entries of a log, then its missing snapshots.
func (m *mover) copyLog(ctx context.Context, name string) (some bool, err error) {
	from, to := m.from.DB.Log(), m.to.Logs
	first, next, err := ends(ctx, from, name)
	if err != nil {
		return false, err
	}
	if err := to.Begin(ctx, name, first); err != nil {
		return false, err
	}
	at, err := to.Next(ctx, name)
	if err != nil {
		return false, err
	}
	if at < first || at > next {
		return false, fmt.Errorf("%w: the next entry of its log %s is %d, that of the source %d", ErrNotEmpty, name, at, next)
	}
	for at < next {
		some = true
		if at, err = m.copyEntries(ctx, name, at); err != nil {
			return some, err
		}
	}
	saved, err := m.copySnapshots(ctx, name)
	return some || saved, err
}

// ends returns the number of the first entry of a log and of the one that will come next.
func ends(ctx context.Context, l broker.Log, name string) (first, next uint64, err error) {
	if next, err = l.Next(ctx, name); err != nil {
		return 0, 0, err
	}
	entries, err := l.Read(ctx, name, 0, 1)
	if err != nil || len(entries) == 0 {
		return next, next, err
	}
	return entries[0].Seq, next, nil
}

// copyEntries writes some entries from at on, and returns the number of the first that is left.
func (m *mover) copyEntries(ctx context.Context, name string, at uint64) (uint64, error) {
	entries, err := m.from.DB.Log().Read(ctx, name, at, pageEntries)
	if err != nil {
		return at, err
	}
	if len(entries) == 0 || entries[0].Seq != at {
		return at, fmt.Errorf("entry %d is missing in the source", at)
	}
	var data [][]byte
	size := 0
	for _, e := range entries {
		if size += len(e.Data); len(data) > 0 && size > appendBytes {
			break
		}
		data = append(data, e.Data)
	}
	n := uint64(len(data))
	answer := make(chan error, 1)
	m.to.Logs.Append(name, 0, data, func(first uint64, err error) {
		if err == nil && first != at {
			err = fmt.Errorf("entry %d became number %d", at, first)
		}
		answer <- err
	})
	return at + n, <-answer
}

// eachSnapshot calls fn for the snapshots of a log, the newest first.
func eachSnapshot(ctx context.Context, l broker.Log, name string, fn func(at uint64, data []byte) error) error {
	for before := noPlaceBefore; ; {
		at, data, err := l.Snapshot(ctx, name, before)
		if errors.Is(err, broker.ErrNotFound) {
			return nil
		}
		if err == nil {
			err = fn(at, data)
		}
		if err != nil || at == 0 {
			return err
		}
		before = at - 1
	}
}

// copySnapshots writes the snapshots that the target lacks.
func (m *mover) copySnapshots(ctx context.Context, name string) (some bool, err error) {
	to := m.to.Logs
	err = eachSnapshot(ctx, m.from.DB.Log(), name, func(at uint64, data []byte) error {
		place, old, err := to.Snapshot(ctx, name, at)
		if err == nil && place == at && bytes.Equal(old, data) {
			return nil
		}
		if err != nil && !errors.Is(err, broker.ErrNotFound) {
			return err
		}
		some = true
		return to.SaveSnapshot(ctx, name, 0, at, data)
	})
	return some, err
}

// sumLogs reads the logs of a side, those of the names that the source has.
func (m *mover) sumLogs(ctx context.Context, target bool) (Sum, error) {
	var side broker.Log = m.from.DB.Log()
	if target {
		side = m.to.Logs
	}
	s := newSummer()
	err := m.eachLog(ctx, func(name string) error {
		first, next, err := ends(ctx, side, name)
		if err != nil {
			return err
		}
		s.text([]byte(name))
		s.number(first, next)
		for at := first; at < next; {
			entries, err := side.Read(ctx, name, at, pageEntries)
			if err != nil {
				return err
			}
			if len(entries) == 0 {
				return fmt.Errorf("entry %d is missing", at)
			}
			for _, e := range entries {
				s.number(e.Seq)
				s.text(e.Data)
			}
			at = entries[len(entries)-1].Seq + 1
		}
		s.end()
		return eachSnapshot(ctx, side, name, func(at uint64, data []byte) error {
			s.number(at)
			s.text(data)
			return nil
		})
	})
	return s.result(), err
}
