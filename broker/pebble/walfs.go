package pebble

import (
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// timedFS measures the fsyncs of the write-ahead log. Everything else passes through.
type timedFS struct{ vfs.FS }

// Create implements vfs.FS.
func (fs timedFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return timed(name)(fs.FS.Create(name, category))
}

// ReuseForWrite implements vfs.FS.
func (fs timedFS) ReuseForWrite(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return timed(name)(fs.FS.ReuseForWrite(old, name, category))
}

// Unwrap implements vfs.FS.
func (fs timedFS) Unwrap() vfs.FS { return fs.FS }

// timed returns a function that wraps the file if its name is one of the log.
func timed(name string) func(vfs.File, error) (vfs.File, error) {
	return func(f vfs.File, err error) (vfs.File, error) {
		if err != nil || !strings.HasSuffix(name, ".log") {
			return f, err
		}
		return timedFile{f}, nil
	}
}

type timedFile struct{ vfs.File }

// Sync implements vfs.File.
func (f timedFile) Sync() error {
	defer fsyncSeconds.UpdateDuration(time.Now())
	return f.File.Sync()
}

// SyncData implements vfs.File.
func (f timedFile) SyncData() error {
	defer fsyncSeconds.UpdateDuration(time.Now())
	return f.File.SyncData()
}
