// Package broker holds the seams behind which gosper keeps its state: the Bus (fan-out with history), the Registry
// (short-lived keys: nonces, leases, counters), the Store (records that last), the Log (entries in order), and Queue and
// Schedule (jobs and timers).
//
// Every interface has an embedded engine (broker/memory, broker/pebble) and may have distributed ones. What an
// engine must do is written here and checked by one conformance suite a seam (broker/brokertest), which every engine
// passes. All methods may be called from any goroutine. Methods that take a context may block, so they are never
// called from an event loop; the others never block.
package broker

import (
	"context"
	"errors"
	"time"
)

// Errors of the seams. Engines wrap them with detail; callers test with errors.Is.
var (
	ErrNotFound = errors.New("not found")
	ErrExists   = errors.New("exists already")
	ErrConflict = errors.New("revision conflict") // the record has another revision than the caller named
	ErrHeld     = errors.New("lease is held by another owner")
	ErrBusy     = errors.New("engine is busy")               // a bounded queue is full: try again later
	ErrDiskFull = errors.New("free disk space is too small") // below the watermark: reads go on, writes are refused
	ErrTimeout  = errors.New("commit timed out")             // unknown outcome: the write may still appear
	ErrClosed   = errors.New("engine is closed")
	ErrBadName  = errors.New("bad subject, pattern or key")
)

// Position names a place in the history of one subject. Offsets grow by one a message, from 1 for a subject that is
// new to a new bus (higher when the bus had to forget other subjects before); Epoch changes when history was lost, so that
// an old offset cannot be mistaken for a new one. Both stay below 2^53, so JSON numbers of any language can hold them.
// The zero Position means "from now".
type Position struct {
	Epoch  uint64 `json:"epoch"`
	Offset uint64 `json:"offset"`
}

// Message is one published message. Subject and Data are shared by all subscribers: read only, never written again by
// the publisher or the bus, so a subscriber may keep them.
type Message struct {
	Subject  string
	Data     []byte
	Time     time.Time // when the bus took it
	Position           // zero when the subject keeps no history
}

// Keep says how much history a subject holds. The zero value keeps none: the message has no position.
type Keep struct {
	Messages int           // the newest so many messages
	Age      time.Duration // and none older than this; 0 means no limit of age
}

// Handler receives what a subscription matches. Its functions run on the publisher's or the engine's goroutine, one
// at a time for one subject and in the order of offsets; they must not block.
type Handler struct {
	Message func(*Message)
	// Gap tells that messages may have been missed (a lost link); nil if nobody wants to know. More may be missed until
	// the bus has its subscriptions back: a call of History that begins now waits for that.
	Gap func(reason string)
}

// Subscription is what Subscribe returns.
type Subscription interface {
	Unsubscribe() // idempotent; a message under way may still arrive
}

// Recovery is the answer of History.
type Recovery struct {
	Messages  []*Message // after the asked position, oldest first
	Top       Position   // newest position of the subject; of an unknown one: where its first message will follow
	Recovered bool       // true: nothing is missing between the asked position and Top
}

// Bus fans messages out to subscribers and keeps a bounded history of the subjects that ask for it.
//
// Subjects are dot-separated tokens (`chat.0.public`), at most MaxSubject bytes, without blanks and control
// characters; in patterns `*` stands for one token and a last `>` for one or more. Delivery is at most once to each
// subscription; with history a subscriber can ask for what it missed.
type Bus interface {
	// Publish queues the message and never blocks; it owns data from now on. done (may be nil) is called exactly
	// once, from any goroutine or before Publish returns, when the engine's promise holds and the message was
	// handed to local subscribers. Messages of one publisher to one subject keep their order.
	Publish(subject string, data []byte, keep Keep, done func(Position, error))
	// Subscribe calls h for every message whose subject matches pattern, from now on.
	Subscribe(pattern string, h Handler) (Subscription, error)
	// History returns at most limit messages after since: the first ones, so that the next call can go on after the
	// last. Recovered is then only true if they reach Top. A zero since asks for the newest limit messages, and is
	// always Recovered. If since is of another epoch, older than what is kept or beyond Top, the newest limit messages
	// come and Recovered is false. Limit 0 asks only for Top.
	History(ctx context.Context, subject string, since Position, limit int) (Recovery, error)
	Close() error
}

// MaxSubject is the longest subject, pattern or key in bytes.
const MaxSubject = 512

// Entry is one key of the Registry.
type Entry struct {
	Key   string
	Value []byte
}

// Lease is the right of Owner to act as Name until Expires. Token grows with every new holder of the name, so a
// store can refuse a holder that does not know it was replaced (fencing).
type Lease struct {
	Name, Owner string
	Token       uint64
	Expires     time.Time
}

// Registry keeps short-lived keys. Every key ends by itself after its ttl (> 0; at least a millisecond is honoured).
type Registry interface {
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
	// Create is Set for a key that must not exist: ErrExists.
	Create(ctx context.Context, key string, value []byte, ttl time.Duration) error
	Get(ctx context.Context, key string) ([]byte, error) // ErrNotFound
	// Take returns the value and removes the key atomically: of any number of callers exactly one gets it.
	Take(ctx context.Context, key string) ([]byte, error) // ErrNotFound
	Touch(ctx context.Context, key string, ttl time.Duration) error
	Delete(ctx context.Context, key string) error // no error when it was not there
	// Count adds delta to a counter and returns the sum. ttl is set when the counter is made and not prolonged. A
	// counter is a key like others, its value the decimal text of the number; other values are refused.
	Count(ctx context.Context, key string, delta int64, ttl time.Duration) (int64, error)
	// List returns keys that start with prefix, in order, at most limit.
	List(ctx context.Context, prefix string, limit int) ([]Entry, error)
	// Acquire takes the lease when it is free, expired or owner's already; ErrHeld otherwise. Lease names and keys do
	// not meet: both may be the same text.
	Acquire(ctx context.Context, name, owner string, ttl time.Duration) (Lease, error)
	Renew(ctx context.Context, l Lease, ttl time.Duration) (Lease, error) // ErrHeld, ErrNotFound when it was lost
	Release(ctx context.Context, l Lease) error                           // if l is still held; else nothing, no error
	Close() error
}

// Record is one key of the Store. Revision grows with every write of the key and is never used twice for it.
type Record struct {
	Key      string
	Value    []byte // the caller's own copy
	Revision uint64 // 0 in a Change means: deleted
}

// Op is one write of an atomic Commit. See the constructors OpPut, OpCreate, OpUpdate, OpDelete.
type Op struct {
	Key      string
	Value    []byte // nil deletes
	Revision uint64 // the revision the key must have; AnyRevision: do not care; 0: must not exist
}

// AnyRevision in an Op means the key's present revision does not matter.
const AnyRevision = ^uint64(0)

// OpPut writes whatever was there.
func OpPut(key string, value []byte) Op { return Op{key, notNil(value), AnyRevision} }

// OpCreate writes a key that must not exist.
func OpCreate(key string, value []byte) Op { return Op{key, notNil(value), 0} }

// OpUpdate writes a key that must have the revision.
func OpUpdate(key string, value []byte, revision uint64) Op {
	return Op{key, notNil(value), revision}
}

// OpDelete deletes a key that must have the revision, or AnyRevision.
func OpDelete(key string, revision uint64) Op { return Op{key, nil, revision} }

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// Store keeps records for good. A write that returned nil is durable in the sense of the engine's mode (Pebble:
// after fsync) and visible to every later read.
type Store interface {
	Get(ctx context.Context, key string) (Record, error)                                   // ErrNotFound
	Put(ctx context.Context, key string, value []byte) (uint64, error)                     // whatever was there
	Create(ctx context.Context, key string, value []byte) (uint64, error)                  // ErrExists
	Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) // ErrConflict, ErrNotFound
	Delete(ctx context.Context, key string, revision uint64) error                         // as Update; AnyRevision: never fails
	// Commit applies all ops or none, and returns the revision of each, 0 for a delete. The first condition that
	// fails names its key in the error (ErrExists, ErrConflict, ErrNotFound). A key may be named once (ErrBadName).
	Commit(ctx context.Context, ops ...Op) ([]uint64, error)
	// List returns records whose key starts with prefix and sorts after `after`, in byte order, at most limit.
	List(ctx context.Context, prefix, after string, limit int) ([]Record, error)
	// Watch returns at once and calls fn for every later change of a key with the prefix, in order for one key, until
	// the context ends; fn must not block. A slow engine may skip to the newest value of a key but never leaves the
	// last one out.
	Watch(ctx context.Context, prefix string, fn func(Record)) error
	Close() error
}
