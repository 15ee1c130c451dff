package migrate

import (
	"context"
	"fmt"
	"time"

	"gosper/broker"
)

// pageTimers is how many timers are read at a time, when no more are due in the same millisecond.
const pageTimers = 500

// timerCrew is how many groups of timers are set at the same time: a schedule answers after a disk or a network, and takes
// what comes together in one go.
const timerCrew = 64

// eachTimer calls fn for all timers of a side, in the order in which they will fire. A page ends between two due times,
// since that is where the next can begin.
func eachTimer(ctx context.Context, s broker.Schedule, fn func(broker.Timer) error) error {
	after, limit := time.Time{}, pageTimers
	for {
		page, err := s.List(ctx, "", after, limit)
		if err != nil {
			return err
		}
		whole := page
		if len(page) == limit {
			last := page[len(page)-1].Due
			for len(whole) > 0 && whole[len(whole)-1].Due.Equal(last) {
				whole = whole[:len(whole)-1]
			}
			if len(whole) == 0 { // all of them are due together: more at a time
				limit *= 2
				continue
			}
		}
		for _, t := range whole {
			if err := fn(t); err != nil {
				return err
			}
		}
		if len(page) < limit {
			return nil
		}
		after = whole[len(whole)-1].Due
	}
}

// copyTimers writes the timers that the target lacks. Those of one millisecond fire in the order in which they were set,
// so they are set one after the other; all else at once.
func (m *mover) copyTimers(ctx context.Context) (written uint64, err error) {
	have := map[string]bool{}
	err = eachTimer(ctx, m.to.Schedule, func(t broker.Timer) error {
		have[t.Key] = true
		return nil
	})
	if err != nil {
		return 0, err
	}
	crew := newCrew(ctx, timerCrew)
	var together []broker.Timer // due at one time
	flush := func() error {
		group := together
		together = nil
		return crew.do(func(ctx context.Context) error {
			for _, t := range group {
				if err := m.to.Schedule.Set(ctx, t); err != nil {
					return fmt.Errorf("timer %s: %w", t.Key, err)
				}
			}
			return nil
		})
	}
	done := uint64(0)
	err = eachTimer(ctx, m.from.DB.Schedule(), func(t broker.Timer) error {
		done++
		m.Progress("timers", done, t.Key)
		if have[t.Key] {
			return nil
		}
		written++
		if len(together) > 0 && !together[0].Due.Equal(t.Due) {
			if err := flush(); err != nil {
				return err
			}
		}
		together = append(together, t)
		return nil
	})
	if err == nil {
		err = flush()
	}
	if fault := crew.wait(); fault != nil {
		err = fault
	}
	return written, err
}

func (m *mover) sumTimers(ctx context.Context, target bool) (Sum, error) {
	var side broker.Schedule = m.from.DB.Schedule()
	if target {
		side = m.to.Schedule
	}
	s := newSummer()
	err := eachTimer(ctx, side, func(t broker.Timer) error {
		s.number(uint64(t.Due.UnixMilli()), uint64(t.Put.Priority), uint64(t.Put.TTR))
		for _, text := range []string{t.Key, t.Group, t.Tube, t.Put.Unique} {
			s.text([]byte(text))
		}
		s.text(t.Body)
		s.end()
		return nil
	})
	return s.result(), err
}
