package redis

import (
	"bytes"
	"testing"
	"time"
)

// FuzzFrame gives the parser any bytes: it never fails hard, and what it takes is written back the same.
func FuzzFrame(f *testing.F) {
	f.Add([]byte("1764000000000000 7 1764000000123 99 3 chat.0.public\nhello\r\n"))
	f.Add([]byte("0 0 0 0 0 a\n"))
	f.Add([]byte("0 0 0 0 a\n"))
	f.Add([]byte("9007199254740992 1 1 1 1 a\n"))
	f.Add(appendPlain(nil, time.UnixMilli(5), 1, 2, "a.b", []byte{0, '\n', 0xff}))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseFrame(b)
		if err != nil {
			return
		}
		if m.Epoch != 0 || m.Offset != 0 {
			return
		}
		again, err := parseFrame(appendPlain(nil, m.Time, m.origin, m.sequence, m.Subject, m.Data))
		if err != nil || again.Subject != m.Subject || !bytes.Equal(again.Data, m.Data) || !again.Time.Equal(m.Time) {
			t.Errorf("%q came back as %+v, %v", b, again, err)
		}
	})
}
