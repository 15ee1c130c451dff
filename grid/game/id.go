package game

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
)

// ID names a game for ever. It has 50 bits, so that JavaScript holds it as a number exactly, and is drawn at random:
// nobody can guess the name of a game that was not shown to them, and nodes need not ask each other.
type ID uint64

const (
	idBits  = 50
	idChars = idBits / 5
	// The 32 characters that are hard to mistake for each other when read aloud or typed.
	idAlphabet = "0123456789abcdefghjkmnpqrstvwxyz"
)

// ErrBadID is returned for text that is no ID.
var ErrBadID = errors.New("not the id of a game: want 10 characters of 0-9 and a-z without i, l, o, u")

// String returns the 10 characters that stand for the ID in URLs, subjects, keys and lines.
func (id ID) String() string {
	var b [idChars]byte
	for i := range b {
		b[idChars-1-i] = idAlphabet[id>>(5*i)&31]
	}
	return string(b[:])
}

// ParseID reads what String wrote. Error: ErrBadID.
func ParseID(s string) (ID, error) {
	if len(s) != idChars {
		return 0, ErrBadID
	}
	var id ID
	for i := range len(s) {
		v := idValue(s[i])
		if v > 31 {
			return 0, ErrBadID
		}
		id = id<<5 | ID(v)
	}
	return id, nil
}

func idValue(c byte) int {
	for v := range len(idAlphabet) {
		if idAlphabet[v] == c {
			return v
		}
	}
	return 32
}

// MarshalText writes the ID as String does.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads it as ParseID does.
func (id *ID) UnmarshalText(b []byte) (err error) {
	*id, err = ParseID(string(b))
	return err
}

// newID draws an ID.
func newID() ID {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return ID(binary.LittleEndian.Uint64(b[:]) >> (64 - idBits))
}

// logName is the name of the game's log; Subject is that of its pushes.
func (id ID) logName() string { return "game." + id.String() }

// recordKey is where the Store keeps that the game exists.
func (id ID) recordKey() string { return RecordPrefix + id.String() }

// Subject is the bus subject for pushes about the game: "game.<id>".
func (id ID) Subject() string { return "game." + id.String() }

// phase is a number in [0, 1) that is drawn from the ID, the same at each start: games that start at the same moment
// must not all tick at the same moment.
func (id ID) phase() float64 {
	return float64(uint64(id)*0x9E3779B97F4A7C15>>11) / (1 << 53)
}
