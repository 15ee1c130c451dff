package pebble

import (
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"gosper/broker"
	"gosper/broker/keys"
)

// tx is what the committer stages one batch in. Later works of a batch see what earlier ones staged; nobody else does
// before the commit. It is owned by the committer goroutine and reused.
type tx struct {
	db     *DB
	batch  *pebble.Batch
	now    time.Time
	works  []work
	errs   []error // of stage, by work
	sync   bool    // somebody needs the fsync
	wrote  bool    // the batch holds something
	queued bool    // it changes what the queue keeps in memory

	records map[string]uint64 // revision of keys written in this batch; 0: deleted
	keys    overlay[[]byte]
	leases  overlay[keys.Holder]

	posts   []*publish      // for the courier
	changes []broker.Record // for the courier
}

func (t *tx) init(db *DB) {
	t.db = db
	t.records = make(map[string]uint64)
	t.keys = overlay[[]byte]{tx: t, space: spaceKey, encode: encodeKey, staged: make(map[string]*keys.Item[[]byte])}
	t.leases = overlay[keys.Holder]{tx: t, space: spaceLease, encode: encodeLease, staged: make(map[string]*keys.Item[keys.Holder])}
}

func (t *tx) begin(batch []work, now time.Time) {
	t.works, t.now = batch, now
	t.errs = append(t.errs[:0], make([]error, len(batch))...)
	t.sync, t.wrote, t.queued = false, false, false
	t.batch = t.db.pebble.NewBatch()
}

// stage lets every work check and write. When the disk is nearly full, those that need space are refused instead. A work
// that must see what the batch does ends it: what is left is for the next one.
func (t *tx) stage() {
	level := t.db.space.look(t.now)
	for i, w := range t.works {
		bytes, frees := w.size()
		if err := level.admit(frees); err != nil && bytes > 0 {
			refusedDiskFull.Inc()
			t.errs[i] = err
			continue
		}
		if t.errs[i] = w.stage(t); errors.Is(t.errs[i], errAgain) {
			t.works, t.errs = t.works[:i], t.errs[:i]
			return
		}
	}
}

// write commits what was staged, if anything was.
func (t *tx) write() error {
	if err := t.db.failure(); err != nil {
		return err
	}
	if !t.wrote {
		return nil
	}
	t.db.batches++
	t.set(metaBatch, number(t.db.batches))
	t.db.space.spent(len(t.batch.Repr()))
	if err := t.batch.Commit(t.commitOptions()); err != nil {
		t.db.fatal(fmt.Errorf("commit: %w", err))
		return t.db.failure()
	}
	// Pebble reports a failed log through its logger and returns nil, so the failure has to be asked for.
	return t.db.failure()
}

// publish makes the batch visible to readers of the database.
func (t *tx) publish() {
	if t.sync {
		t.db.durable = t.db.batches
	}
	q := t.db.queue
	if t.queued {
		q.mu.Lock() // what memory holds and what the view shows change together
	}
	if t.wrote {
		t.db.view.advance(t.db.pebble)
	}
	if t.queued {
		q.absorb(t)
		q.mu.Unlock()
	}
	t.db.registry.absorb(&t.keys, &t.leases)
}

// settle hands what subscribers and watchers must hear to the courier, then bounds the histories.
func (t *tx) settle() {
	if t.queued {
		t.db.queue.answer()
	}
	t.db.bus.bound()
	if len(t.posts) > 0 || len(t.changes) > 0 {
		t.db.courier.parcels <- parcel{t.posts, t.changes}
		t.posts, t.changes = nil, nil
	}
}

// end forgets the batch.
func (t *tx) end() {
	t.batch.Close()
	t.batch = nil
	if t.queued {
		t.db.queue.forget()
	}
	clear(t.works)
	clear(t.records)
	clear(t.keys.staged)
	clear(t.leases.staged)
	t.posts, t.changes = t.posts[:0], t.changes[:0]
}

// set and remove write to the batch. Their errors are those of a closed or broken batch, which can not happen here and
// would show at the commit.
func (t *tx) set(key, value []byte) {
	t.wrote = true
	_ = t.batch.Set(key, value, nil)
}

func (t *tx) remove(key []byte) {
	t.wrote = true
	_ = t.batch.Delete(key, nil)
}

func (t *tx) removeRange(from, to []byte) {
	t.wrote = true
	_ = t.batch.DeleteRange(from, to, nil)
}

// revision returns the revision the key has for the next work of this batch; 0 when there is no such key.
func (t *tx) revision(key string) (uint64, error) {
	if r, ok := t.records[key]; ok {
		return r, nil
	}
	value, closer, err := t.db.pebble.Get(in(spaceRecord, key))
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read %q: %w", key, err)
	}
	defer closer.Close()
	if len(value) < 8 {
		return 0, damaged("record", in(spaceRecord, key))
	}
	return parseNumber(value[:8])
}

// rules returns the Registry's rules on this batch.
func (t *tx) rules() *keys.Rules {
	return &keys.Rules{Keys: &t.keys, Leases: &t.leases, Token: t.nextToken}
}

func (t *tx) nextToken() uint64 {
	t.db.token++
	t.set(metaToken, number(t.db.token))
	return t.db.token
}

// overlay is a table as the works of this batch see it: what was staged, and the table below. The committer is the only
// writer of the table, so it reads it without the lock.
type overlay[V any] struct {
	tx     *tx
	space  byte
	base   *keys.Table[V]
	encode func(keys.Item[V]) []byte
	staged map[string]*keys.Item[V] // nil: deleted
}

// Get implements keys.State.
func (o *overlay[V]) Get(key string, now time.Time) (keys.Item[V], bool) {
	it, ok := o.staged[key]
	switch {
	case !ok:
		return o.base.Get(key, now)
	case it == nil || !now.Before(it.Expires):
		return keys.Item[V]{}, false
	}
	return *it, true
}

// Set implements keys.State.
func (o *overlay[V]) Set(key string, it keys.Item[V]) {
	o.staged[key] = &it
	o.tx.set(in(o.space, key), o.encode(it))
}

// Delete implements keys.State.
func (o *overlay[V]) Delete(key string) {
	if _, ok := o.Get(key, time.Time{}); !ok {
		return
	}
	o.staged[key] = nil
	o.tx.remove(in(o.space, key))
}

// flush writes what was staged to the table. Caller holds the table's lock.
func (o *overlay[V]) flush() {
	for key, it := range o.staged {
		if it == nil {
			o.base.Delete(key)
		} else {
			o.base.Set(key, *it)
		}
	}
}
