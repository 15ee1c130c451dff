package bench

import (
	"context"
	"fmt"
	"time"
)

// paceStep is how often paced operations are begun, all that are due by then at once.
const paceStep = time.Millisecond

// paced begins operations at a steady rate for d, the connections in turns, whether earlier ones are answered or not. An
// operation whose connection is busy when it is due waits for it, and its time counts from when it was due.
func (l *queueLoad) paced(ctx context.Context, d time.Duration, perSecond int) (q queueRun, err error) {
	q.lat = newLatencies()
	start := time.Now()
	if err := l.p.tick(paceStep); err != nil {
		return q, err
	}
	defer func() { _ = l.p.tick(0) }()
	each := perSecond * int(paceStep) / int(time.Second) // begun in a step
	total := int(d/paceStep) * each
	due, begun := 0, 0
	busy := make([]bool, len(l.links))
	for int(q.done) < total {
		events, err := l.p.wait(100 * time.Millisecond)
		if err != nil {
			return q, err
		}
		if ctx.Err() != nil || time.Since(start) > d+readyTimeout {
			return q, fmt.Errorf("%d answers are owed: %w", begun-int(q.done), context.Cause(ctx))
		}
		for _, ev := range events {
			if ev.Fd == timerID {
				due = min(due+int(l.p.ticks())*each, total)
				continue
			}
			finished, err := l.handle(int(ev.Fd), &q, false)
			if err != nil {
				return q, err
			}
			busy[ev.Fd] = busy[ev.Fd] && !finished
		}
		for ; begun < due && !busy[begun%len(busy)]; begun++ {
			i := begun % len(busy)
			busy[i], l.begun[i] = true, start.Add(time.Duration(begun/each+1)*paceStep)
			if err := l.send(i, l.speeches[i].begin()); err != nil {
				return q, err
			}
		}
	}
	q.seconds = time.Since(start).Seconds()
	return q, nil
}
