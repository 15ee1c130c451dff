package keys

import (
	"fmt"

	"gosper/broker"
)

// MaxSnapshot is the largest snapshot of a log in bytes.
const MaxSnapshot = 256 << 20

// CheckEntries returns the error with which every engine refuses a bad name of a log or too much data at once, or nil.
func CheckEntries(log string, entries [][]byte) error {
	if !broker.ValidSubject(log) {
		return broker.BadName("log", log)
	}
	bytes := 0
	for _, e := range entries {
		bytes += len(e)
	}
	if bytes > broker.MaxValue {
		return fmt.Errorf("%w: %d bytes for log %q, at most %d at once are allowed", broker.ErrTooLarge, bytes, log, broker.MaxValue)
	}
	return nil
}

// CheckSnapshot is CheckEntries for a snapshot.
func CheckSnapshot(log string, data []byte) error {
	if !broker.ValidSubject(log) {
		return broker.BadName("log", log)
	}
	if len(data) > MaxSnapshot {
		return fmt.Errorf("%w: a snapshot of log %q has %d bytes, at most %d are allowed", broker.ErrTooLarge, log, len(data), MaxSnapshot)
	}
	return nil
}

// Fenced is ErrFenced with both tokens.
func Fenced(log string, token, seen uint64) error {
	return fmt.Errorf("%w: log %q, token %d after %d", broker.ErrFenced, log, token, seen)
}
