package pebble

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"gosper/broker"
	"gosper/broker/keys"
	"gosper/broker/memory"
)

// troubleLasts is how many seconds a background error counts against Health when it does not repeat: what Pebble still
// has to do it tries again much sooner.
const troubleLasts = 30

// DB is one open database with the three engines on it. All methods may be called from any goroutine.
type DB struct {
	// static after Open
	opts   Options
	log    *slog.Logger
	dir    string
	pebble *pebble.DB
	space  *space
	view   view

	committer *committer
	courier   *courier
	store     *Store
	registry  *Registry
	bus       *Bus
	journal   *Log
	queue     *Queue

	// owned by the committer
	batches uint64 // commits so far
	durable uint64 // the last of them that was synced, and so all before it
	token   uint64 // last fencing token

	closed  atomic.Bool
	failed  atomic.Pointer[error] // the log is broken: nothing is answered with success any more
	trouble atomic.Pointer[error] // the last background error, nil after the next success
	failing atomic.Int64          // unix seconds of that error
	flushed atomic.Bool           // a flush has ended: time for a new mark
	logged  atomic.Int64          // unix seconds of the last background error in the log
}

// Store returns the records. It ends with the DB.
func (db *DB) Store() *Store { return db.store }

// Registry returns the short-lived keys. It ends with the DB.
func (db *DB) Registry() *Registry { return db.registry }

// Bus returns the bus. It ends with the DB.
func (db *DB) Bus() *Bus { return db.bus }

// Log returns the append-only logs. It ends with the DB.
func (db *DB) Log() *Log { return db.journal }

// Queue returns the jobs. It ends with the DB.
func (db *DB) Queue() *Queue { return db.queue }

// Schedule returns the timers, which become jobs of the Queue. It ends with the DB.
func (db *DB) Schedule() *Schedule { return db.queue.timers }

// Health returns nil while the database takes writes and its background work succeeds, or what is wrong: an error that
// wraps broker.ErrClosed, broker.ErrDiskFull or broker.ErrBusy, or the cause itself. Reads may still work.
func (db *DB) Health() error {
	switch {
	case db.closed.Load():
		return broker.ErrClosed
	case db.failure() != nil:
		return db.failure()
	case db.committer.stalled.Load():
		return db.committer.stallError()
	}
	return db.cause()
}

// cause returns what keeps commits from ending, as far as it is known.
func (db *DB) cause() error {
	if err := db.space.err(); err != nil {
		return err
	}
	if err := db.trouble.Load(); err != nil && time.Now().Unix()-db.failing.Load() < troubleLasts {
		return fmt.Errorf("%w: background work of the store fails: %w", broker.ErrBusy, *err)
	}
	return nil
}

// failure returns why the log is broken, or nil.
func (db *DB) failure() error {
	if err := db.failed.Load(); err != nil {
		return fmt.Errorf("%w: %w", broker.ErrClosed, *err)
	}
	return nil
}

// fatal records a failure after which nothing may be promised, and ends the process.
func (db *DB) fatal(err error) {
	db.failed.CompareAndSwap(nil, &err)
	db.log.Error("the store can not be written any more: the process ends, and the next start recovers what was acknowledged",
		"dir", db.dir, "error", err)
	db.opts.Fatal(err)
}

// Close finishes what was begun and closes the database. Later calls of the engines get broker.ErrClosed. When a commit
// hangs it gives up after the commit time-out and returns an error; nothing that was acknowledged is lost then either.
func (db *DB) Close() error {
	if db.closed.Swap(true) {
		return nil
	}
	db.bus.janitor.timer.Stop()
	db.queue.close()
	if err := db.committer.close(db.opts.CommitTimeout); err != nil {
		return err
	}
	close(db.courier.parcels)
	<-db.courier.idle
	if db.registry.timer != nil {
		db.registry.timer.Stop()
	}
	db.view.close()
	historyBytes.Add(-float64(db.bus.bytes))
	err := errors.Join(db.registry.volatile.Close(), db.pebble.Close())
	if db.failure() == nil {
		err = errors.Join(err, db.mark())
	}
	if err != nil {
		return fmt.Errorf("close %s: %w", db.dir, err)
	}
	return nil
}

// afterCommit renews the mark when a flush has ended. It is called by the committer between two commits.
func (db *DB) afterCommit() {
	if db.flushed.Swap(false) && db.failure() == nil {
		if err := db.mark(); err != nil {
			db.background(fmt.Errorf("write %s: %w", markName, err))
		}
	}
}

func (db *DB) mark() error {
	if db.opts.noSync {
		return nil
	}
	return writeMark(db.opts.FS, db.dir, db.durable)
}

// background notes an error of Pebble's own work, which it will try again, a thousand times a second if need be: the
// log gets one line a second.
func (db *DB) background(err error) {
	now := time.Now().Unix()
	backgroundErrors.Inc()
	db.trouble.Store(&err)
	db.failing.Store(now)
	if errors.Is(err, syscall.ENOSPC) {
		db.space.noRoom.Store(time.Now().UnixNano())
	}
	if last := db.logged.Load(); last != now && db.logged.CompareAndSwap(last, now) {
		db.log.Error("background work of the store failed and will be tried again", "dir", db.dir, "error", err)
	}
}

// recovered notes a success of Pebble's own work.
func (db *DB) recovered() {
	db.space.noRoom.Store(0)
	if db.trouble.Swap(nil) != nil {
		db.log.Info("background work of the store succeeds again", "dir", db.dir)
	}
}

// newDB makes the parts; Open gives them their database.
func newDB(dir string, o Options) *DB {
	db := &DB{opts: o, log: o.Log, dir: dir}
	db.space = &space{fs: o.FS, dir: dir, min: o.MinFree}
	db.store = &Store{db: db}
	db.store.Single = keys.SingleOf(db.store.Commit)
	db.bus = newBus(db)
	db.journal = &Log{db: db, states: make(map[string]*logState)}
	db.registry = &Registry{db: db, prefixes: o.Ephemeral, volatile: memory.NewRegistry()}
	db.committer = newCommitter(db)
	db.courier = newCourier(db)
	db.queue = newQueue(db)
	db.committer.tx.keys.base = &db.registry.keys
	db.committer.tx.leases.base = &db.registry.leases
	return db
}
