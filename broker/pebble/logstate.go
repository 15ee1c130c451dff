package pebble

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"gosper/broker/keys"
)

// maxLogStates is how many logs the committer remembers; of others it reads the ends again, which takes microseconds.
const maxLogStates = 4096

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// logState is what the committer knows of one log, staged works included.
type logState struct {
	name string
	logRecord
	first, next uint64
	heads       []snapshotHead  // by at
	saving      map[uint64]bool // sets of parts on their way
	batch       uint64          // the last batch that used it
}

// logRecord is the value of g|log.
type logRecord struct {
	id    uint64
	token uint64 // the highest fencing token seen
	floor uint64 // Next of a log whose entries are all trimmed
}

// snapshotHead is the value of p|id|at, with its place.
type snapshotHead struct {
	at    uint64
	set   uint64 // the parts are q|id|set|0 …
	size  uint64
	parts uint32
	sum   uint32
}

// open returns the log for a write, and makes it if need be. An error means that nothing was staged.
func (l *Log) open(t *tx, name string, token uint64) (*logState, error) {
	s, err := l.state(t, name)
	if err != nil {
		return nil, err
	}
	if s == nil {
		s = &logState{name: name, logRecord: logRecord{id: l.nextID(t), token: token, floor: 1}, first: 1, next: 1}
		s.saving = make(map[uint64]bool)
		s.write(t)
		l.enter(t, s)
		return s, nil
	}
	return s, s.fence(t, token)
}

// fence takes note of a writer's token, or refuses it.
func (s *logState) fence(t *tx, token uint64) error {
	if token < s.token {
		logFenced.Inc()
		return keys.Fenced(s.name, token, s.token)
	}
	if token > s.token {
		s.token = token
		s.write(t)
	}
	return nil
}

// write stages the record.
func (s *logState) write(t *tx) {
	t.sync = true
	t.set(in(spaceLog, s.name), s.logRecord.encode())
}

// state returns a log that is there, from memory or disk; nil when there is none.
func (l *Log) state(t *tx, name string) (*logState, error) {
	if s := l.states[name]; s != nil {
		s.batch = t.db.batches
		return s, nil
	}
	r, err := readLog(l.db.pebble, name)
	if r.id == 0 || err != nil {
		return nil, err
	}
	s := &logState{name: name, logRecord: r, saving: make(map[uint64]bool)}
	if s.first, s.next, err = logEnds(l.db.pebble, r); err != nil {
		return nil, err
	}
	if s.heads, err = readHeads(l.db.pebble, r.id); err != nil {
		return nil, err
	}
	if err := s.dropOrphans(t); err != nil {
		return nil, err
	}
	l.enter(t, s)
	return s, nil
}

// enter remembers a log, and forgets others if there are too many. A log that the present batch changes stays: the disk
// does not know it yet. So does one with a snapshot on its way.
func (l *Log) enter(t *tx, s *logState) {
	s.batch = t.db.batches
	l.states[s.name] = s
	if len(l.states) <= maxLogStates {
		return
	}
	for name, other := range l.states {
		if other.batch != s.batch && len(other.saving) == 0 {
			delete(l.states, name)
		}
		if len(l.states) <= maxLogStates/2 {
			return
		}
	}
}

// nextID returns an id that was never given.
func (l *Log) nextID(t *tx) uint64 {
	l.last++
	t.set(metaLog, number(l.last))
	return l.last
}

// save stages the row of a snapshot whose parts are there.
func (s *logState) save(t *tx, h snapshotHead) {
	s.dropSnapshots(t, func(at uint64) bool { return at == h.at })
	i, _ := slices.BinarySearchFunc(s.heads, h.at, func(h snapshotHead, at uint64) int {
		return int(min(max(int64(h.at-at), -1), 1))
	})
	s.heads = slices.Insert(s.heads, i, h)
	t.set(placeKey(s.id, h.at), h.encode())
}

// dropSnapshots stages the removal of the snapshots whose place is meant.
func (s *logState) dropSnapshots(t *tx, meant func(at uint64) bool) {
	s.heads = slices.DeleteFunc(s.heads, func(h snapshotHead) bool {
		if !meant(h.at) {
			return false
		}
		t.remove(placeKey(s.id, h.at))
		for part := range h.parts {
			t.remove(partKey(s.id, h.set, part))
		}
		return true
	})
}

// dropOrphans stages the removal of parts that no snapshot names: a crash came between them and their row.
func (s *logState) dropOrphans(t *tx) error {
	known := make(map[uint64]bool)
	for _, h := range s.heads {
		known[h.set] = true
	}
	it, err := t.db.pebble.NewIter(&pebble.IterOptions{LowerBound: logKey(spacePart, s.id), UpperBound: logKey(spacePart, s.id+1)})
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; {
		_, set, err := parseLogKey(it.Key())
		if err != nil {
			return err
		}
		if !known[set] {
			t.removeRange(partKey(s.id, set, 0), partKey(s.id, set+1, 0))
		}
		ok = it.SeekGE(partKey(s.id, set+1, 0))
	}
	return it.Error()
}

// readLog returns the record of a log; its id is 0 when there is none.
func readLog(from pebble.Reader, name string) (logRecord, error) {
	key := in(spaceLog, name)
	value, closer, err := from.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return logRecord{}, nil
	}
	if err != nil {
		return logRecord{}, fmt.Errorf("read log %q: %w", name, err)
	}
	defer closer.Close()
	return parseLog(key, value)
}

// logEnds returns the Seq of the first entry and the one after the last.
func logEnds(from pebble.Reader, r logRecord) (first, next uint64, err error) {
	it, err := from.NewIter(&pebble.IterOptions{LowerBound: logKey(spaceEntry, r.id), UpperBound: logKey(spaceEntry, r.id+1)})
	if err != nil {
		return 0, 0, err
	}
	defer it.Close()
	if !it.First() {
		return r.floor, r.floor, it.Error()
	}
	if _, first, err = parseLogKey(it.Key()); err != nil {
		return 0, 0, err
	}
	it.Last()
	if it.Error() != nil {
		return 0, 0, it.Error()
	}
	_, last, err := parseLogKey(it.Key())
	return first, last + 1, err
}

// readHeads returns the snapshots of a log by their place.
func readHeads(from pebble.Reader, id uint64) (heads []snapshotHead, err error) {
	it, err := from.NewIter(&pebble.IterOptions{LowerBound: logKey(spacePlace, id), UpperBound: logKey(spacePlace, id+1)})
	if err != nil {
		return nil, err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		h, err := parseHead(it.Key(), it.Value())
		if err != nil {
			return nil, err
		}
		heads = append(heads, h)
	}
	return heads, it.Error()
}

// logKey is the start of all keys of a log in a space.
func logKey(space byte, id uint64) []byte {
	return binary.BigEndian.AppendUint64(append(make([]byte, 0, 21), space), id)
}

func entryKey(id, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(logKey(spaceEntry, id), seq)
}

func placeKey(id, at uint64) []byte {
	return binary.BigEndian.AppendUint64(logKey(spacePlace, id), at)
}

func partKey(id, set uint64, part uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(logKey(spacePart, id), set), part)
}

// parseLogKey returns the log's id and the number after it.
func parseLogKey(key []byte) (id, n uint64, err error) {
	if len(key) < 17 {
		return 0, 0, damaged("log key", key)
	}
	return binary.BigEndian.Uint64(key[1:]), binary.BigEndian.Uint64(key[9:]), nil
}

func (r logRecord) encode() []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 24), r.id)
	b = binary.BigEndian.AppendUint64(b, r.token)
	return binary.BigEndian.AppendUint64(b, r.floor)
}

func parseLog(key, value []byte) (logRecord, error) {
	if len(value) != 24 {
		return logRecord{}, damaged("log", key)
	}
	r := logRecord{binary.BigEndian.Uint64(value), binary.BigEndian.Uint64(value[8:]), binary.BigEndian.Uint64(value[16:])}
	if r.id == 0 || r.floor == 0 {
		return logRecord{}, damaged("log", key)
	}
	return r, nil
}

func (h snapshotHead) encode() []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 24), h.set)
	b = binary.BigEndian.AppendUint64(b, h.size)
	b = binary.BigEndian.AppendUint32(b, h.parts)
	return binary.BigEndian.AppendUint32(b, h.sum)
}

func parseHead(key, value []byte) (snapshotHead, error) {
	_, at, err := parseLogKey(key)
	if err != nil || len(key) != 17 || len(value) != 24 {
		return snapshotHead{}, damaged("snapshot", key)
	}
	h := snapshotHead{
		at: at, set: binary.BigEndian.Uint64(value), size: binary.BigEndian.Uint64(value[8:]),
		parts: binary.BigEndian.Uint32(value[16:]), sum: binary.BigEndian.Uint32(value[20:]),
	}
	if h.size > keys.MaxSnapshot || uint64(h.parts) != (h.size+snapshotPart-1)/snapshotPart {
		return snapshotHead{}, damaged("snapshot", key)
	}
	return h, nil
}
