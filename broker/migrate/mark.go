package migrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gosper/broker"
)

// markKey is the record in the target that names the source of what is there.
const markKey = "migrated"

// mark is its content.
type mark struct {
	Source   string    `json:"source"` // number of the source's database
	Began    time.Time `json:"began"`
	Complete time.Time `json:"complete,omitzero"`
}

// identify finds the number of the source: the epoch of its bus, drawn when the database was made.
func (m *mover) identify(ctx context.Context) error {
	top, err := m.from.DB.Bus().History(ctx, "migrate", broker.Position{}, 0)
	if err != nil {
		return err
	}
	m.id = fmt.Sprintf("%x", top.Top.Epoch)
	return nil
}

// claim leaves the mark in an empty target, or finds its own. It reports whether the move was complete before.
func (m *mover) claim(ctx context.Context) (complete bool, err error) {
	old, err := m.readMark(ctx)
	switch {
	case errors.Is(err, broker.ErrNotFound):
	case err != nil:
		return false, err
	case old.Source != m.id:
		return false, fmt.Errorf("%w: it holds what another node has moved there (source %s, this one is %s); name other servers, or another account of them",
			ErrNotEmpty, old.Source, m.id)
	default:
		return !old.Complete.IsZero(), nil
	}
	if err := m.empty(ctx); err != nil {
		return false, err
	}
	value, err := json.Marshal(mark{Source: m.id, Began: time.Now().UTC()})
	if err != nil {
		return false, err
	}
	_, err = m.to.Store.Create(ctx, markKey, value)
	return false, err
}

func (m *mover) readMark(ctx context.Context) (mark, error) {
	var found mark
	r, err := m.to.Store.Get(ctx, markKey)
	if err != nil {
		return found, err
	}
	if err := json.Unmarshal(r.Value, &found); err != nil {
		return found, fmt.Errorf("the record %q of the target cannot be read: %w", markKey, err)
	}
	return found, nil
}

// empty refuses a target with anything in it.
func (m *mover) empty(ctx context.Context) error {
	records, err := m.to.Store.List(ctx, "", "", 1)
	if err != nil {
		return err
	}
	found, err := m.to.Jobs.Export(ctx, 0, 1)
	if err != nil {
		return err
	}
	timers, err := m.to.Schedule.List(ctx, "", time.Time{}, 1)
	switch {
	case err != nil:
		return err
	case len(records) > 0:
		return fmt.Errorf("%w: there is a record %q; nodes have used it already", ErrNotEmpty, records[0].Key)
	case len(found) > 0:
		return fmt.Errorf("%w: there is a job in tube %q", ErrNotEmpty, found[0].Tube)
	case len(timers) > 0:
		return fmt.Errorf("%w: there is a timer %q", ErrNotEmpty, timers[0].Key)
	}
	return nil
}

// finish makes the mark say that the move is complete.
func (m *mover) finish(ctx context.Context) error {
	old, err := m.readMark(ctx)
	if err != nil {
		return err
	}
	old.Complete = time.Now().UTC()
	value, err := json.Marshal(old)
	if err != nil {
		return err
	}
	_, err = m.to.Store.Put(ctx, markKey, value)
	return err
}
