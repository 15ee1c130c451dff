package pebble

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"gosper/broker"
)

// Options of Open. The zero value of a field means its default.
type Options struct {
	Cache         int64               // bytes of the block cache. Default 16 MiB
	MemTable      int64               // bytes written before a flush; up to four may wait. Default 8 MiB
	MinFree       uint64              // bytes that must stay free on the disk; below, writes are refused. Default 128 MiB
	CommitTimeout time.Duration       // after which a commit counts as hanging. Default 5 s
	Queue         int                 // writes that may wait for the committer. Default 4096
	Ephemeral     []string            // Registry keys with these prefixes stay in memory. nil: "presence.", "rate.", "gates."
	HistoryMemory int64               // bytes of histories kept in memory; more are read from disk when asked for. Default 64 MiB
	HistoryIdle   time.Duration       // a subject nobody published to for so long loses its history. Default 7 days
	Jobs          broker.QueueOptions // of the Queue and the Schedule
	Log           *slog.Logger        // default slog.Default()
	// Fatal is called when the log could not be written or synced. It must end the process; it does not return in
	// production. Default: exit with code 1, after the reason was logged.
	Fatal func(error)
	FS    vfs.FS // default: the real file system. Tests put faulty ones here

	window int  // keys of an index in memory; 0: jobs.WindowMost. Tests make it small
	noSync bool // no fsync at all: only as the control that the power-cut test must catch
}

func (o Options) withDefaults() Options {
	if o.Cache == 0 {
		o.Cache = 16 << 20
	}
	if o.MemTable == 0 {
		o.MemTable = 8 << 20
	}
	if o.MinFree == 0 {
		o.MinFree = 128 << 20
	}
	if o.CommitTimeout == 0 {
		o.CommitTimeout = 5 * time.Second
	}
	if o.Queue == 0 {
		o.Queue = 4096
	}
	if o.Ephemeral == nil {
		o.Ephemeral = []string{"presence.", "rate.", "gates."}
	}
	if o.HistoryMemory == 0 {
		o.HistoryMemory = 64 << 20
	}
	if o.HistoryIdle == 0 {
		o.HistoryIdle = 7 * 24 * time.Hour
	}
	o.Jobs = o.Jobs.WithDefaults()
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Fatal == nil {
		o.Fatal = func(error) { os.Exit(1) }
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	return o
}

// Validate names the first field that makes no sense.
func (o Options) Validate() error {
	switch {
	case o.Cache < 0:
		return errors.New("field Cache must not be negative")
	case o.MemTable < 0 || o.MemTable > 1<<30:
		return errors.New("field MemTable must be between 0 and 1 GiB")
	case o.CommitTimeout < 0:
		return errors.New("field CommitTimeout must not be negative")
	case o.Queue < 0:
		return errors.New("field Queue must not be negative")
	case o.HistoryMemory < 0:
		return errors.New("field HistoryMemory must not be negative")
	case o.HistoryIdle < 0:
		return errors.New("field HistoryIdle must not be negative")
	}
	if err := o.Jobs.Validate(); err != nil {
		return fmt.Errorf("field Jobs: %w", err)
	}
	return nil
}
