package pebble

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"gosper/broker"
	"gosper/broker/jobs"
)

// timerRow is a timer as it is stored.
//
//	z|key                        version1 due8 seq8 pri4 ttr8 group2 … tube2 … unique2 … body
//	Z|due8|seq8                  key
//	G|group2 group|due8|seq8     key
type timerRow struct {
	broker.Timer
	due, seq uint64
}

const (
	timerVersion = 1
	timerHeader  = 29
)

// place is where the timer stands in the order.
func (r *timerRow) place() jobs.Key { return jobs.Key{A: r.due, B: r.seq} }

func (r *timerRow) encode() []byte {
	b := make([]byte, 0, timerHeader+6+len(r.Group)+len(r.Tube)+len(r.Put.Unique)+len(r.Body))
	b = append(b, timerVersion)
	b = binary.BigEndian.AppendUint64(b, r.due)
	b = binary.BigEndian.AppendUint64(b, r.seq)
	b = binary.BigEndian.AppendUint32(b, r.Put.Priority)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Put.TTR))
	for _, text := range []string{r.Group, r.Tube, r.Put.Unique} {
		b = binary.BigEndian.AppendUint16(b, uint16(len(text)))
		b = append(b, text...)
	}
	return append(b, r.Body...)
}

func parseTimer(name string, value []byte) (*timerRow, error) {
	if len(value) < timerHeader || value[0] != timerVersion {
		return nil, damaged("timer", in(spaceTimer, name))
	}
	r := &timerRow{due: binary.BigEndian.Uint64(value[1:]), seq: binary.BigEndian.Uint64(value[9:])}
	r.Key, r.Due = name, time.UnixMilli(int64(r.due))
	r.Put.Priority = binary.BigEndian.Uint32(value[17:])
	r.Put.TTR = time.Duration(binary.BigEndian.Uint64(value[21:]))
	rest := value[timerHeader:]
	for _, text := range []*string{&r.Group, &r.Tube, &r.Put.Unique} {
		if len(rest) < 2 || len(rest)-2 < int(binary.BigEndian.Uint16(rest)) {
			return nil, damaged("timer", in(spaceTimer, name))
		}
		n := 2 + int(binary.BigEndian.Uint16(rest))
		*text, rest = string(rest[2:n]), rest[n:]
	}
	r.Body = clone(rest)
	return r, nil
}

// readTimer returns the timer of a key, or ErrNotFound.
func readTimer(from pebble.Reader, name string) (*timerRow, error) {
	value, closer, err := from.Get(in(spaceTimer, name))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, fmt.Errorf("%w: timer %q", broker.ErrNotFound, name)
	}
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	return parseTimer(name, value)
}

// readPlace returns the key of the timer at a place.
func readPlace(from pebble.Reader, k jobs.Key) (string, error) {
	value, closer, err := from.Get(placeOf(k))
	if errors.Is(err, pebble.ErrNotFound) {
		return "", damaged("timer", placeOf(k))
	}
	if err != nil {
		return "", err
	}
	defer closer.Close()
	return string(value), nil
}

// placeOf is the key of Z for a place.
func placeOf(k jobs.Key) []byte {
	b := binary.BigEndian.AppendUint64(append(make([]byte, 0, 17), spaceDue), k.A)
	return binary.BigEndian.AppendUint64(b, k.B)
}

func parsePlace(key []byte) (jobs.Key, error) {
	if len(key) != 17 {
		return jobs.Key{}, damaged("timer", key)
	}
	return jobs.Key{A: binary.BigEndian.Uint64(key[1:]), B: binary.BigEndian.Uint64(key[9:])}, nil
}

// groupPrefix starts the keys of a group. The length keeps groups apart of which one is the start of the other.
func groupPrefix(group string) []byte {
	b := binary.BigEndian.AppendUint16(append(make([]byte, 0, 19+len(group)), spaceGroup), uint16(len(group)))
	return append(b, group...)
}

func groupKey(group string, k jobs.Key) []byte {
	return append(groupPrefix(group), placeOf(k)[1:]...)
}
