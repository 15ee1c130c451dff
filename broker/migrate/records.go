package migrate

import (
	"bytes"
	"context"
	"fmt"

	"gosper/broker"
)

// pageRecords is how many records are read at a time.
const pageRecords = 500

// A commit to the target takes at most so many records and so many bytes: well below what an engine takes at once.
const (
	commitRecords = 100
	commitBytes   = 512 << 10
)

// eachRecord calls fn for all records of a side, in order, without the mark.
func eachRecord(ctx context.Context, s broker.Store, fn func(broker.Record) error) error {
	for after := ""; ; {
		page, err := s.List(ctx, "", after, pageRecords)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, r := range page {
			if r.Key == markKey {
				continue
			}
			if err := fn(r); err != nil {
				return err
			}
		}
		after = page[len(page)-1].Key
	}
}

// copyRecords goes over both sides in order and writes what the target lacks or has otherwise. What the target has beyond
// is no work of an earlier run: nodes have used it.
func (m *mover) copyRecords(ctx context.Context) (written uint64, err error) {
	there := recordReader{store: m.to.Store}
	var ops []broker.Op
	size, seen := 0, uint64(0)
	flush := func() error {
		if len(ops) == 0 {
			return nil
		}
		_, err := m.to.Store.Commit(ctx, ops...)
		written += uint64(len(ops))
		ops, size = ops[:0], 0
		return err
	}
	err = eachRecord(ctx, m.from.DB.Store(), func(r broker.Record) error {
		seen++
		m.Progress("records", seen, r.Key)
		old, err := there.at(ctx, r.Key)
		if err != nil {
			return err
		}
		if old != nil && bytes.Equal(old.Value, r.Value) {
			return nil
		}
		if size+len(r.Value) > commitBytes || len(ops) == commitRecords {
			if err := flush(); err != nil {
				return err
			}
		}
		ops, size = append(ops, broker.OpPut(r.Key, r.Value)), size+len(r.Key)+len(r.Value)
		return nil
	})
	if err == nil {
		err = flush()
	}
	if err == nil {
		err = there.rest(ctx)
	}
	return written, err
}

// recordReader reads the records of the target in step with the source.
type recordReader struct {
	store broker.Store
	page  []broker.Record
	after string
	ended bool
}

// at returns the record of a key, nil when there is none. Keys are asked for in order.
func (r *recordReader) at(ctx context.Context, key string) (*broker.Record, error) {
	next, err := r.next(ctx)
	switch {
	case err != nil || next == nil || next.Key > key:
		return nil, err
	case next.Key < key:
		return nil, strange(next.Key)
	}
	r.page = r.page[1:]
	return next, nil
}

// rest refuses records behind the last of the source.
func (r *recordReader) rest(ctx context.Context) error {
	next, err := r.next(ctx)
	if err == nil && next != nil {
		err = strange(next.Key)
	}
	return err
}

func strange(key string) error {
	return fmt.Errorf("%w: it has a record %q that the source does not have; nodes have used it", ErrNotEmpty, key)
}

// next returns the first record that was not passed, nil at the end. A page that was read before a commit does not show
// what it wrote, which lies behind the reader.
func (r *recordReader) next(ctx context.Context) (*broker.Record, error) {
	for {
		for len(r.page) > 0 {
			if r.page[0].Key != markKey {
				return &r.page[0], nil
			}
			r.page = r.page[1:]
		}
		if r.ended {
			return nil, nil
		}
		page, err := r.store.List(ctx, "", r.after, pageRecords)
		if err != nil {
			return nil, err
		}
		if r.page = page; len(page) == 0 {
			r.ended = true
			return nil, nil
		}
		r.after = page[len(page)-1].Key
	}
}

func (m *mover) sumRecords(ctx context.Context, target bool) (Sum, error) {
	var side broker.Store = m.from.DB.Store()
	if target {
		side = m.to.Store
	}
	s := newSummer()
	err := eachRecord(ctx, side, func(r broker.Record) error {
		s.text([]byte(r.Key))
		s.text(r.Value)
		s.end()
		return nil
	})
	return s.result(), err
}
