package post

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"gosper/broker"
	"gosper/broker/maildir"
)

// Keys in the Store:
//
//	mail/spool/<world>/<uid>/<key>   an accepted mail that is no file yet
//	mail/row/<world>/<uid>/<base>    the index: a copy of a file, found by its name
//
// The value of both is a head line and the bytes of the file. Of a spool record the head is the base name that the file
// will have; of a row it is the size and the time of the file that was copied, so that a change shows.
const (
	spoolPrefix = "mail/spool/"
	rowPrefix   = "mail/row/"
)

func (b Box) spool() string { return spoolPrefix + b.World + "/" + b.UID + "/" }
func (b Box) rows() string  { return rowPrefix + b.World + "/" + b.UID + "/" }

// boxOfSpool returns the box of a spool key.
func boxOfSpool(key string) (Box, bool) {
	parts := strings.Split(strings.TrimPrefix(key, spoolPrefix), "/")
	if len(parts) != 3 {
		return Box{}, false
	}
	box := Box{parts[0], parts[1]}
	return box, box.valid()
}

// afterBox sorts after all spool keys of a box and before those of any box that follows: '0' is the byte after '/'.
func (b Box) afterBox() string { return strings.TrimSuffix(b.spool(), "/") + "0" }

// rowID is the last part of a row's key: the base name, or its hash when it cannot stand in a key.
func rowID(base string) string {
	if len(base) <= 200 && broker.ValidKey(base) {
		return base
	}
	sum := sha256.Sum256([]byte(base))
	return "#" + hex.EncodeToString(sum[:])
}

func spoolValue(base string, content []byte) []byte {
	return append(append([]byte(base), '\n'), content...)
}

// splitSpool returns what a spool record holds.
func splitSpool(value []byte) (base string, content []byte) {
	head, content, _ := bytes.Cut(value, []byte{'\n'})
	return string(head), content
}

// row is a parsed row.
type row struct {
	size    int64
	time    int64 // ns since 1970
	content []byte
}

func rowValue(f *maildir.File, content []byte) []byte {
	return append(fmt.Appendf(nil, "%d %d\n", f.Size, f.Time.UnixNano()), content...)
}

// parseRow returns false for a row that is damaged: the file is read again then.
func parseRow(value []byte) (r row, ok bool) {
	head, content, _ := bytes.Cut(value, []byte{'\n'})
	size, at, _ := strings.Cut(string(head), " ")
	var err1, err2 error
	r.content = content
	r.size, err1 = strconv.ParseInt(size, 10, 64)
	r.time, err2 = strconv.ParseInt(at, 10, 64)
	return r, err1 == nil && err2 == nil
}

// newKey makes a key that nobody can guess, as it is a nonce; keys sort by time.
func newKey(at time.Time) string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: the runtime ends the process instead
	return fmt.Sprintf("%013x-%s", at.UnixMicro(), base64.RawURLEncoding.EncodeToString(b[:]))
}

// originOf returns when and by which node a mail was accepted, as its base name tells.
func originOf(base string) (at time.Time, host string) {
	parts := strings.SplitN(base, ".", 3)
	if len(parts) < 3 {
		return at, ""
	}
	seconds, _ := strconv.ParseInt(parts[0], 10, 64) // of a damaged name: long ago
	host, _, _ = strings.Cut(parts[2], ",")
	return time.Unix(seconds, 0), host
}

// baseName is the name of a mail's file for ever: derived from the key, so that it is as unique.
func baseName(at time.Time, key, host string, size int) string {
	return maildir.WithSize(fmt.Sprintf("%d.M%dR%s.%s", at.Unix(), at.Nanosecond()/1000, key, host), size)
}
