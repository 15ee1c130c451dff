package node

import (
	"fmt"
	"os"
	"path/filepath"

	"gosper/broker"
	"gosper/broker/pebble"
)

// StoreFolder is the folder of the database in a data folder.
func StoreFolder(data string) string { return filepath.Join(data, "store") }

// lasting is where everything is that lasts: the node's own database, or what several nodes share.
type lasting struct {
	store    broker.Store
	logs     broker.Log
	queue    broker.Queue
	schedule broker.Schedule
}

// openDB opens the database that is the node's own.
func (n *Node) openDB() error {
	if err := os.MkdirAll(n.options.Data, 0o700); err != nil {
		return fmt.Errorf("data: %w", err)
	}
	db, err := pebble.Open(StoreFolder(n.options.Data), pebble.Options{
		MinFree: uint64(n.options.FreeDisk), CommitTimeout: n.options.CommitTimeout, Log: n.log, Jobs: n.options.jobs()})
	if err != nil {
		return fmt.Errorf("data: %w", err)
	}
	n.db = db
	n.lasting = lasting{store: db.Store(), logs: db.Log(), queue: db.Queue(), schedule: db.Schedule()}
	return nil
}

// jobs returns the limits of queues.
func (o *Options) jobs() broker.QueueOptions {
	return broker.QueueOptions{MaxJob: o.Limits.JobBytes,
		Limits: broker.TubeLimits{Reserves: uint32(o.JobReserves), Timeouts: uint32(o.JobTimeouts)}}
}

// stateHealth says why what lasts cannot be used.
func (n *Node) stateHealth() error { return n.db.Health() }
