package broker

import (
	"context"
	"errors"
)

// ErrFenced is the answer to a writer that was replaced by one with a higher token.
var ErrFenced = errors.New("a newer owner writes this log")

// LogEntry is one entry of a Log. Seq starts at 1 and grows by one an entry.
type LogEntry struct {
	Seq  uint64
	Data []byte // the caller's own copy
}

// Log keeps append-only logs by name, each with snapshots that stand for its older entries: what a game needs to come
// back with the same cells. A name is made of the tokens of a subject.
type Log interface {
	// Append adds entries to the end of the log, all or none, and never blocks; it owns the slices from now on. done
	// is called exactly once, from any goroutine or before Append returns and must not block, with the Seq of the first entry once the
	// entries are durable. Appends of one caller to one log keep their order. token is the fencing token of the
	// caller's lease, 0 without one: an Append whose token is below one that the log has seen is ErrFenced.
	// The log sees the tokens of all writes, also of those that change nothing else: a Cut behind its end makes sure that
	// what is read next is all that the writers before have written, in a log without entries too.
	Append(log string, token uint64, entries [][]byte, done func(first uint64, err error))
	// Read returns at most limit entries with Seq >= from, in order.
	Read(ctx context.Context, log string, from uint64, limit int) ([]LogEntry, error)
	// Next returns the Seq the next entry will get.
	Next(ctx context.Context, log string) (uint64, error)
	// SaveSnapshot stores data as the state before entry at. It is durable when the call returns. Several snapshots of
	// a log may be kept.
	SaveSnapshot(ctx context.Context, log string, token, at uint64, data []byte) error
	// Snapshot returns the newest snapshot with its place at <= before; ErrNotFound.
	Snapshot(ctx context.Context, log string, before uint64) (at uint64, data []byte, err error)
	// Trim drops entries and snapshots with places below seq.
	Trim(ctx context.Context, log string, token, seq uint64) error
	// Cut drops entries with Seq >= from and snapshots with a place > from, for a rewind. The next entry gets Seq from
	// again; a from that is not below Next changes nothing.
	Cut(ctx context.Context, log string, token, from uint64) error
	// Drop removes the log and its snapshots. No error when there was none.
	Drop(ctx context.Context, log string) error
	Close() error
}
