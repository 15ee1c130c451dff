package migrate

import (
	"context"
	"sync"
)

// crew runs works side by side until one fails. Its do and wait belong to one goroutine.
type crew struct {
	ctx   context.Context
	stop  context.CancelCauseFunc
	works chan func(context.Context) error
	all   sync.WaitGroup
}

func newCrew(ctx context.Context, size int) *crew {
	c := &crew{works: make(chan func(context.Context) error)}
	c.ctx, c.stop = context.WithCancelCause(ctx)
	for range size {
		c.all.Go(func() {
			for work := range c.works {
				if c.ctx.Err() != nil {
					continue
				}
				if err := work(c.ctx); err != nil {
					c.stop(err)
				}
			}
		})
	}
	return c
}

// do gives a work to the crew, or returns why it has stopped.
func (c *crew) do(work func(context.Context) error) error {
	select {
	case c.works <- work:
		return nil
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	}
}

// wait ends the crew and returns the first error of its works.
func (c *crew) wait() error {
	close(c.works)
	c.all.Wait()
	err := context.Cause(c.ctx)
	c.stop(nil)
	return err
}
