package pebble

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"gosper/broker"
)

// lookEvery is how often the free space is asked for at most, unless much was written meanwhile. One question costs a
// few microseconds.
const lookEvery = 200 * time.Millisecond

// level is how much room there is.
type level uint32

const (
	roomy level = iota // all writes are welcome
	tight              // only writes that free space
	full               // none
)

// admit returns the refusal of a write, or nil.
func (l level) admit(frees bool) error {
	if l == roomy || l == tight && frees {
		return nil
	}
	return fmt.Errorf("%w: see the option for the least free space", broker.ErrDiskFull)
}

// space watches the free space of the disk. Pebble itself can not survive a full disk: a log that can not grow ends the
// process and a flush that can not finish lets writers hang for ever, so the writes stop while there is room for both.
type space struct {
	fs   vfs.FS
	dir  string
	min  uint64 // below: tight; below half: full
	free uint64 // owned by the committer
	next time.Time
	left int64 // bytes that may be written before the next look

	level   atomic.Uint32
	noRoom  atomic.Int64 // unix nanoseconds when a flush or compaction last found the disk full; 0: it has gone well since
	unknown bool         // the file system can not tell
}

// outOfRoom reports whether background work found the disk full a moment ago. Pebble tries a flush again a thousand times
// a second, so as long as it fails this stays true; a compaction that failed may be left for later, and then the free
// space decides again.
func (s *space) outOfRoom(now time.Time) bool {
	at := s.noRoom.Load()
	return at != 0 && now.UnixNano()-at < int64(time.Second)
}

// look returns the present level. It is called by the committer for every batch.
func (s *space) look(now time.Time) level {
	if s.unknown {
		if s.outOfRoom(now) {
			return full
		}
		return roomy
	}
	if s.left <= 0 || !now.Before(s.next) || level(s.level.Load()) != roomy {
		s.measure(now)
	}
	return level(s.level.Load())
}

func (s *space) measure(now time.Time) {
	usage, err := s.fs.GetDiskUsage(s.dir)
	if err != nil {
		s.unknown = true
		return
	}
	s.next = now.Add(lookEvery)
	s.free = usage.AvailBytes
	s.left = int64(s.min / 8)
	freeBytes.Set(float64(s.free))
	l := roomy
	switch {
	case s.free < s.min/2 || s.outOfRoom(now):
		l = full
	case s.free < s.min:
		l = tight
	}
	s.level.Store(uint32(l))
}

// spent counts bytes that are about to be written.
func (s *space) spent(bytes int) { s.left -= int64(bytes) }

// err returns ErrDiskFull while writes are refused. It may be called from any goroutine.
func (s *space) err() error {
	if l := level(s.level.Load()); l != roomy || s.outOfRoom(time.Now()) {
		return max(l, tight).admit(false)
	}
	return nil
}
