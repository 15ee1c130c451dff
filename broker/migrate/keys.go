package migrate

import (
	"bytes"
	"context"
	"errors"
	"time"

	"gosper/broker"
	"gosper/broker/pebble"
)

// pageKeys is how many keys are read at a time.
const pageKeys = 500

// shortestRest is the life that a key must have left to be moved and compared: it ends by itself meanwhile otherwise.
const shortestRest = time.Minute

// eachKey calls fn for the keys of the source that live on for a while, in order.
func (m *mover) eachKey(ctx context.Context, fn func(k pebble.KeyEnd, rest time.Duration) error) error {
	for after := ""; ; {
		page, err := m.from.DB.Registry().Export(ctx, after, pageKeys)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, k := range page {
			rest := time.Until(k.Expires)
			if rest < shortestRest {
				continue
			}
			if err := fn(k, rest); err != nil {
				return err
			}
		}
		after = page[len(page)-1].Key
	}
}

// copyKeys writes the keys that the target lacks.
func (m *mover) copyKeys(ctx context.Context) (written uint64, err error) {
	done := uint64(0)
	err = m.eachKey(ctx, func(k pebble.KeyEnd, rest time.Duration) error {
		done++
		m.Progress("keys", done, "")
		err := m.to.Keys.Create(ctx, k.Key, k.Value, rest)
		if errors.Is(err, broker.ErrExists) {
			return nil
		}
		written++
		return err
	})
	return written, err
}

// sumKeys compares key by key, since the target may be shared with others. Both sides leave out what has ended by now.
func (m *mover) sumKeys(ctx context.Context, target bool) (Sum, error) {
	s := newSummer()
	err := m.eachKey(ctx, func(k pebble.KeyEnd, _ time.Duration) error {
		value := k.Value
		if target {
			var err error
			if value, err = m.to.Keys.Get(ctx, k.Key); err != nil && !errors.Is(err, broker.ErrNotFound) {
				return err
			}
			if !bytes.Equal(value, k.Value) {
				return nil // it does not count, and so the sums differ
			}
		}
		s.text([]byte(k.Key))
		s.text(value)
		s.end()
		return nil
	})
	return s.result(), err
}
