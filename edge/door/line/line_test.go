package line

import (
	"testing"

	"gosper/protocol"
)

// FuzzPingLine: what the short way takes for a PING line is one for the common way too, of the same length and within
// the limit; so the short way can never answer what the protocol refuses.
func FuzzPingLine(f *testing.F) {
	for _, seed := range []string{"000000PING\r\n", "000000PINGhello, world\r\nrest", "000000PINGa\rb\r\n", "000000PING\xff\xff\xff\xff\xff\xff\xff\xff\r\n",
		"000000PING12345678\r\n", "000000PING12345678", "000000PONGx\r\n", "000000PING\x7f\x00\r\n", "000000PING12345678\n"} {
		f.Add([]byte(seed), 64)
	}
	f.Fuzz(func(t *testing.T, b []byte, most int) {
		n := pingLine(b, most)
		if n == 0 {
			return
		}
		cmd, payload, size, err := protocol.CutLine(b, len(b))
		if err != nil || cmd != protocol.CmdPing || size != n || len(payload) > most {
			t.Fatalf("%q: %d bytes taken, but %v %q %d %v", b, n, cmd, payload, size, err)
		}
	})
}

// The short way takes every printable PING line of every length up to the limit, and none above it.
func TestPingLine(t *testing.T) {
	b := []byte("000000PING")
	for size := range 70 {
		line := append(b[:len(b):len(b)], "\r\n"...)
		want := len(line)
		if size > 64 {
			want = 0
		}
		if got := pingLine(line, 64); got != want {
			t.Errorf("payload of %d bytes: %d, want %d", size, got, want)
		}
		for cut := range line {
			if pingLine(line[:cut], 64) != 0 {
				t.Errorf("payload of %d bytes, cut at %d: taken", size, cut)
			}
		}
		b = append(b, byte(' '+size))
	}
}
