package post

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"gosper/broker"
	"gosper/broker/maildir"
)

// Office is an open post office. Its methods may be called from any goroutine; all of them may wait for the disk.
//
// Locks: a desk's work, then Office.mu. Nobody holds the work of two desks and waits for a third; the finisher, to which
// workers hand desks over with their lock, waits for none.
type Office struct {
	options Options
	store   broker.Store
	root    *os.Root
	names   *maildir.Namer
	log     *slog.Logger
	step    func(string) error // of tests: called between any two steps of a filing; an error is a crash there

	ctx     context.Context // ends with the office
	cancel  context.CancelFunc
	queue   chan *desk    // boxes with mails in the spool
	filings chan filing   // files that the Store does not know of
	wake    chan struct{} // the spool holds mails of boxes that are not in the queue
	calls   sync.WaitGroup
	workers sync.WaitGroup
	others  sync.WaitGroup
	sending atomic.Int64 // calls of Send that wait for the Store

	mu     sync.Mutex
	closed bool
	desks  map[Box]*desk
}

// Bounds of the memory of an office.
const (
	maxDesks  = 4096 // boxes that are remembered while nobody uses them
	maxQueued = 1024 // boxes in the queue; the rest is found in the spool
)

// Open opens the office and begins to make files of what the spool holds. The error names the option at fault.
func Open(o Options) (*Office, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Root, 0o700); err != nil {
		return nil, fmt.Errorf("mail root: %w", err)
	}
	root, err := os.OpenRoot(o.Root)
	if err != nil {
		return nil, fmt.Errorf("mail root: %w", err)
	}
	office := &Office{options: o, store: o.Store, root: root, names: maildir.NewNamer(o.Host), log: o.Log, step: o.step,
		queue: make(chan *desk, maxQueued), filings: make(chan filing, o.Workers), wake: make(chan struct{}, 1), desks: make(map[Box]*desk)}
	office.ctx, office.cancel = context.WithCancel(context.Background())
	for range o.Workers {
		office.workers.Go(office.worker)
	}
	office.others.Go(office.finisher)
	office.others.Go(office.feeder)
	return office, nil
}

// complete fills in defaults and returns an error that names the first option that cannot be.
func (o *Options) complete() error {
	for value, fallback := range map[*int]int{&o.BoxLimit: DefaultBoxLimit, &o.BodyLimit: DefaultBodyLimit, &o.Workers: DefaultWorkers} {
		if *value == 0 {
			*value = fallback
		}
	}
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	switch {
	case o.Root == "":
		return errors.New("mail root: needs a folder")
	case o.Store == nil:
		return errors.New("mail store: is missing")
	case o.BoxLimit < 1 || o.BoxLimit > MaxBoxLimit:
		return fmt.Errorf("mail box limit: must be 1 to %d", MaxBoxLimit)
	case o.BodyLimit < 1 || o.BodyLimit > MaxBodyLimit:
		return fmt.Errorf("mail body limit: must be 1 to %d", MaxBodyLimit)
	case o.Workers < 1 || o.Workers > MaxWorkers:
		return fmt.Errorf("mail workers: must be 1 to %d", MaxWorkers)
	}
	return nil
}

// Close waits for calls and filings under way and lets the folder go. What is still in the spool becomes files after the
// next Open. It is idempotent.
func (o *Office) Close() error {
	o.mu.Lock()
	closed := o.closed
	o.closed = true
	o.mu.Unlock()
	if closed {
		return nil
	}
	o.cancel()
	o.calls.Wait()
	o.workers.Wait()
	close(o.filings)
	o.others.Wait()
	return o.root.Close()
}

// Health says why mailboxes cannot be used now: the folder of the boxes is away. nil when they can.
func (o *Office) Health() error {
	if _, err := o.root.Stat("."); err != nil {
		return fmt.Errorf("mail root: %w", err)
	}
	return nil
}

// desk is what is known of one box. While it is in use there is one for a box.
type desk struct {
	box  Box
	path string
	work chan struct{} // holds a token while somebody reads or changes the folder, until the index is told

	// owned by the holder of work
	loaded bool
	files  []entry
	stamp  maildir.Stamp
	looked time.Time // when files was read from the folder

	// guarded by Office.mu
	holders int
	queued  bool
	counted time.Time        // when count was true; zero when it never was
	count   int              // files
	waiting map[string]place // mails that are no files yet, by key
}

// place is held in a box for a mail that is no file yet.
type place struct {
	until     time.Time // when it is given up; zero for never
	committed bool      // the mail is in the spool
}

// entry is a mail of a box that is a file.
type entry struct {
	maildir.File
	key   string
	row   string // the last part of its key in the index
	saved bool   // the index has a true copy
}

// enter returns the desk of a box, which the caller gives back by leave.
func (o *Office) enter(box Box) (*desk, error) {
	if !box.valid() {
		return nil, ErrBadBox
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return nil, broker.ErrClosed
	}
	o.calls.Add(1)
	return o.hold(box), nil
}

// hold counts one more holder of a desk. REQUIRES: mu.
func (o *Office) hold(box Box) *desk {
	d := o.desks[box]
	if d == nil {
		d = &desk{box: box, path: box.path(), work: make(chan struct{}, 1)}
		o.desks[box] = d
	}
	d.holders++
	return d
}

func (o *Office) leave(d *desk) {
	o.drop(d)
	o.calls.Done()
}

// drop counts one holder less. When there are too many desks an idle one is forgotten.
func (o *Office) drop(d *desk) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if d.holders--; d.holders > 0 || len(o.desks) <= maxDesks {
		return
	}
	for box, other := range o.desks { // begins anywhere: a hot box is rarely hit
		if other.holders == 0 {
			delete(o.desks, box)
			return
		}
	}
}

// lock takes the work of a desk.
func (d *desk) lock(ctx context.Context) error {
	select {
	case d.work <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *desk) unlock() { <-d.work }

// inside calls fn with the desk of a box, locked, and d.files true.
func (o *Office) inside(ctx context.Context, box Box, fn func(*desk) error) error {
	d, err := o.enter(box)
	if err != nil {
		return err
	}
	defer o.leave(d)
	if err := d.lock(ctx); err != nil {
		return err
	}
	defer d.unlock()
	if err := o.look(ctx, d); err != nil {
		return err
	}
	return fn(d)
}
