package pebble

import (
	"gosper/broker"
)

// parcel is what one commit has to tell.
type parcel struct {
	posts   []*publish
	changes []broker.Record
}

// courier is the goroutine that hands committed messages to subscribers and changes to watchers, while the committer
// is at the next fsync. A few parcels may wait; then the committer waits too, and its queue fills: subscribers that
// are too slow end as ErrBusy at the publishers.
type courier struct {
	db      *DB
	parcels chan parcel
	idle    chan struct{} // closed when the goroutine has ended
}

func newCourier(db *DB) *courier {
	return &courier{db: db, parcels: make(chan parcel, 16), idle: make(chan struct{})}
}

func (c *courier) run() {
	defer close(c.idle)
	for p := range c.parcels {
		for _, post := range p.posts {
			c.db.bus.deliver(post)
		}
		for _, change := range p.changes {
			c.db.store.watchers.Tell(change)
		}
	}
}
