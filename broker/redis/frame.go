package redis

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

	"gosper/broker"
)

// A message is the same text in a channel and in a history:
//
//	epoch SP offset SP time(ms) SP origin SP sequence SP subject LF data
//
// epoch and offset are 0 without history. origin and sequence name the publisher and its message, so that a node knows
// its own, and a second copy of one it has just seen. The script writes the first three, the publisher the rest.

// frame is a parsed message with what only the bus wants to know.
type frame struct {
	broker.Message
	origin, sequence uint64
}

// appendTail appends what the publisher writes.
func appendTail(b []byte, origin, sequence uint64, subject string, data []byte) []byte {
	b = strconv.AppendUint(b, origin, 10)
	b = append(b, ' ')
	b = strconv.AppendUint(b, sequence, 10)
	b = append(b, ' ')
	b = append(b, subject...)
	b = append(b, '\n')
	return append(b, data...)
}

// appendPlain appends a whole message without history.
func appendPlain(b []byte, at time.Time, origin, sequence uint64, subject string, data []byte) []byte {
	b = append(b, "0 0 "...)
	b = strconv.AppendInt(b, at.UnixMilli(), 10)
	b = append(b, ' ')
	return appendTail(b, origin, sequence, subject, data)
}

const (
	maxNumber = 1<<53 - 1 // of epoch, offset and time: numbers of scripts are floating
	maxHeader = 5*21 + broker.MaxSubject
)

// parseFrame reads a message. Its data is a part of b.
func parseFrame(b []byte) (f frame, err error) {
	end := bytes.IndexByte(b[:min(len(b), maxHeader+1)], '\n')
	if end < 0 {
		return f, fmt.Errorf("a message of %d bytes has no header", len(b))
	}
	header := b[:end]
	var numbers [5]uint64
	for i := range numbers {
		word, rest, ok := bytes.Cut(header, []byte{' '})
		if !ok {
			return f, fmt.Errorf("header %q is too short", b[:end])
		}
		if numbers[i], err = strconv.ParseUint(string(word), 10, 64); err != nil || i < 3 && numbers[i] > maxNumber {
			return f, fmt.Errorf("header %q has a bad number", b[:end])
		}
		header = rest
	}
	f.Subject = string(header)
	if !broker.ValidSubject(f.Subject) {
		return f, broker.BadName("subject", f.Subject)
	}
	f.Epoch, f.Offset = numbers[0], numbers[1]
	f.Time = time.UnixMilli(int64(numbers[2]))
	f.origin, f.sequence = numbers[3], numbers[4]
	f.Data = b[end+1:]
	return f, nil
}
