package pebble

import (
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// walFS is the file system under Pebble. It measures the fsyncs of the write-ahead log and writes zeros ahead of its end.
// Everything else passes through.
//
// An fsync that has a new size or new blocks of a file to store takes longer: on ext4 half as long
// again as that of bytes whose place was written before. Pebble reuses old logs for that reason, but the first ones after
// a start are new. The reader of a log knows zeros, like the rests of a reused log, as its end.
type walFS struct{ vfs.FS }

// walStep is how many zeros are written at once. They go to the disk with the next fsync.
const walStep = 256 << 10

var zeros [walStep]byte

// Create implements vfs.FS.
func (fs walFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, category)
	if err != nil || !isLog(name) {
		return f, err
	}
	return &walFile{File: f}, nil
}

// ReuseForWrite implements vfs.FS.
func (fs walFS) ReuseForWrite(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.ReuseForWrite(old, name, category)
	if err != nil || !isLog(name) {
		return f, err
	}
	w := &walFile{File: f}
	if info, err := f.Stat(); err == nil {
		w.written = info.Size()
	}
	return w, nil
}

// Unwrap implements vfs.FS.
func (fs walFS) Unwrap() vfs.FS { return fs.FS }

func isLog(name string) bool { return strings.HasSuffix(name, ".log") }

// walFile is a log. Pebble calls Write from one goroutine.
type walFile struct {
	vfs.File
	end     int64 // of the log
	written int64 // of the file, zeros included
}

// Write implements vfs.File. That zeros could not be written is no error: the disk may still take the log itself.
func (f *walFile) Write(p []byte) (int, error) {
	if need := f.end + int64(len(p)); need > f.written {
		if _, err := f.WriteAt(zeros[:], need); err == nil {
			f.written = need + walStep
		}
	}
	n, err := f.File.Write(p)
	f.end += int64(n)
	return n, err
}

// Sync implements vfs.File.
func (f *walFile) Sync() error {
	defer fsyncSeconds.UpdateDuration(time.Now())
	return f.File.Sync()
}

// SyncData implements vfs.File.
func (f *walFile) SyncData() error {
	defer fsyncSeconds.UpdateDuration(time.Now())
	return f.File.SyncData()
}
