package pebble

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"

	"gosper/broker/memory"
)

// ErrLocked is returned by Open when another process has the folder.
var ErrLocked = errors.New("the folder is in use by another process")

// ErrDamaged is returned by Open when the folder's files are not what was written.
var ErrDamaged = errors.New("the store is damaged")

// errNewer is returned by Open for a folder that a later version of the program has written.
var errNewer = errors.New("the store is newer than this program")

// Open opens the database in dir, and makes it when there is none. It refuses a folder that another process uses
// (ErrLocked) and one that does not hold all that was acknowledged (ErrDamaged); the error says what to do.
func Open(dir string, o Options) (*DB, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("store options: %w", err)
	}
	db := newDB(dir, o.withDefaults())
	mark, err := readMark(db.opts.FS, dir)
	if err != nil {
		return nil, explain(dir, fmt.Errorf("%w: %w", ErrDamaged, err))
	}
	if db.pebble, err = pebble.Open(dir, db.options()); err != nil {
		return nil, explain(dir, err)
	}
	if err := db.start(mark); err != nil {
		db.view.close()
		return nil, explain(dir, errors.Join(err, db.pebble.Close()))
	}
	return db, nil
}

// start reads what memory must know and sets the goroutines going.
func (db *DB) start(mark uint64) error {
	if err := db.loadNumbers(); err != nil {
		return err
	}
	if db.batches < mark {
		return fmt.Errorf("%w: %d commits are there, but %d were acknowledged", ErrDamaged, db.batches, mark)
	}
	now := time.Now()
	if err := db.registry.load(now); err != nil {
		return err
	}
	if err := db.queue.begin(); err != nil {
		return err
	}
	db.space.measure(now)
	db.view.advance(db.pebble)
	db.registry.arm(now)
	db.bus.janitor.start()
	go db.committer.run()
	go db.courier.run()
	db.queue.start()
	return nil
}

// loadNumbers reads the S space, and writes its first keys into a new database.
func (db *DB) loadNumbers() error {
	format, err := db.readNumber(metaFormat)
	if err != nil {
		return err
	}
	switch {
	case format == 0:
		err = db.birth()
	case format > layoutVersion:
		return fmt.Errorf("%w: its layout has version %d, this program knows %d", errNewer, format, layoutVersion)
	}
	read := func(into *uint64, key []byte) {
		if err == nil {
			*into, err = db.readNumber(key)
		}
	}
	read(&db.batches, metaBatch)
	read(&db.token, metaToken)
	read(&db.store.revision, metaRevision)
	read(&db.bus.epoch, metaEpoch)
	read(&db.bus.floor, metaFloor)
	read(&db.bus.lastTopic, metaTopic)
	read(&db.journal.last, metaLog)
	q := db.queue
	read(&q.lastJob, metaJob)
	read(&q.lastTube, metaTube)
	read(&q.timers.lastSeq, metaTimer)
	q.reservedJob, q.timers.reservedSeq = q.lastJob, q.timers.lastSeq
	if err == nil {
		err = db.boot()
	}
	db.store.reserved = db.store.revision
	db.durable = db.batches
	return err
}

// birth writes what makes a database ours. The keys come in one batch: it is there whole or not at all.
func (db *DB) birth() error {
	b := db.pebble.NewBatch()
	defer b.Close()
	err := errors.Join(
		b.Set(metaFormat, number(layoutVersion), nil),
		b.Set(metaEpoch, number(memory.NewEpoch()), nil),
		b.Set(metaBatch, number(1), nil),
	)
	if err != nil {
		return err
	}
	return b.Commit(pebble.Sync)
}

// boot counts this start, so that no token of a lease is given twice: each start has its own.
func (db *DB) boot() error {
	n, err := db.readNumber(metaBoot)
	if err != nil {
		return err
	}
	db.queue.room.StartTokens((n + 1) << 40)
	return db.pebble.Set(metaBoot, number(n+1), pebble.Sync)
}

// readNumber returns 0 for a number that was never written.
func (db *DB) readNumber(key []byte) (uint64, error) {
	value, closer, err := db.pebble.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer closer.Close()
	return parseNumber(value)
}

// options are Pebble's. Memtables are small: what restart has to replay, and what tombstones can hide in, is in them.
func (db *DB) options() *pebble.Options {
	o := &pebble.Options{
		FS:                          walFS{db.opts.FS},
		FormatMajorVersion:          pebble.FormatNewest,
		CacheSize:                   db.opts.Cache,
		MemTableSize:                uint64(db.opts.MemTable),
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       2,
		L0StopWritesThreshold:       1000,
		LBaseMaxBytes:               64 << 20,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
		MaxOpenFiles:                500,
		Logger:                      pebbleLog{db},
		EventListener:               db.listener(),
	}
	for i := range o.Levels {
		// A create looks for a key that is not there: the filter answers without reading the table.
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return o
}

// listener follows what Pebble does in the background.
func (db *DB) listener() *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: db.background,
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			db.background(fmt.Errorf("%w: %s: %w", ErrDamaged, info.Path, info.Details))
		},
		FlushEnd: func(info pebble.FlushInfo) {
			if info.Err == nil {
				db.flushed.Store(true)
				db.recovered()
			}
		},
		CompactionEnd: func(info pebble.CompactionInfo) {
			if info.Err == nil {
				db.recovered()
			}
		},
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			db.log.Warn("the store can not keep up: writes wait", "dir", db.dir, "reason", info.Reason)
		},
		WriteStallEnd: func() { db.log.Info("the store has caught up", "dir", db.dir) },
	}
}

// pebbleLog is where Pebble's own lines go. They say little to an operator, so they are for debugging only.
type pebbleLog struct{ db *DB }

// Infof implements pebble.Logger.
func (l pebbleLog) Infof(format string, args ...any) {
	if l.db.log.Enabled(context.Background(), -4) {
		l.db.log.Debug("pebble: " + fmt.Sprintf(format, args...))
	}
}

// Errorf implements pebble.Logger.
func (l pebbleLog) Errorf(format string, args ...any) {
	l.db.log.Warn("pebble: " + fmt.Sprintf(format, args...))
}

// Fatalf implements pebble.Logger. Pebble calls it when a log can not be written or synced.
func (l pebbleLog) Fatalf(format string, args ...any) { l.db.fatal(fmt.Errorf(format, args...)) }

// explain makes an error of Open say what to do. What the operating system refuses is told as it is; everything else that
// can keep Pebble from opening its own files means that they are not what was written.
func explain(dir string, err error) error {
	var errno syscall.Errno
	osError := errors.As(err, &errno) && errno != syscall.ENOENT
	text := err.Error()
	switch {
	case strings.Contains(text, "lock held by current process"),
		osError && strings.Contains(text, "LOCK") && (errno == syscall.EAGAIN || errno == syscall.EACCES),
		osError && errno == syscall.EAGAIN:
		return fmt.Errorf("open store %s: %w; stop it, or use another folder", dir, ErrLocked)
	case osError && (errno == syscall.EACCES || errno == syscall.EROFS):
		return fmt.Errorf("open store %s: %w; let the user of this process write there", dir, err)
	case osError && errno == syscall.ENOSPC:
		return fmt.Errorf("open store %s: %w; free some disk space first", dir, err)
	case osError:
		return fmt.Errorf("open store %s: %w", dir, err)
	case errors.Is(err, errNewer), strings.Contains(text, "format major version"):
		return fmt.Errorf("open store %s: %w: %w; use the newer program that wrote it", dir, errNewer, err)
	case errors.Is(err, ErrDamaged):
		return fmt.Errorf("open store %s: %w; %s", dir, err, howToRepair)
	}
	return fmt.Errorf("open store %s: %w: %w; %s", dir, ErrDamaged, err, howToRepair)
}

const howToRepair = "put back a backup of the folder, or move it away to start empty"
