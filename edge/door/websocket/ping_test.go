package websocket

import (
	"bytes"
	"testing"

	"gosper/protocol"
)

// FuzzPingFrame: what the short way takes is a whole text frame with a PING line for the common way too, and its answer,
// written over the frame itself, is the frame the common way would send.
func FuzzPingFrame(f *testing.F) {
	for _, text := range []string{"000000PING", "000000PINGhello, world", "000000PINGé", "000000PINGa\nb", "000000PONGx", "000000PING12345678\x7f"} {
		f.Add(protocol.AppendMaskedFrame(nil, protocol.OpText, [4]byte{1, 2, 3, 4}, []byte(text)), 64)
	}
	f.Fuzz(func(t *testing.T, b []byte, most int) {
		n := pingFrame(b, most)
		if n == 0 {
			return
		}
		a := protocol.Assembler{Server: true}
		ev, size, err := a.Next(bytes.Clone(b))
		if err != nil || size != n || !ev.Complete || ev.Op != protocol.OpText {
			t.Fatalf("%x: %d bytes taken, but %v %d %v", b, n, ev, size, err)
		}
		cmd, payload, err := protocol.ParseLine(ev.Payload)
		if err != nil || cmd != protocol.CmdPing || len(payload) > most {
			t.Fatalf("%q: %v %v", ev.Payload, cmd, err)
		}
		want := protocol.AppendFrame(nil, protocol.OpText, append([]byte("000000PONG"), payload...))
		behind := bytes.Clone(b[n:])
		if w := pong(b, b, n); !bytes.Equal(b[:w], want) {
			t.Fatalf("answer %q, want %q", b[:w], want)
		}
		if !bytes.Equal(b[n:], behind) {
			t.Fatal("the bytes behind the frame were changed")
		}
	})
}

// The short way takes every printable PING of every length up to the limit, whole only.
func TestPingFrame(t *testing.T) {
	text := []byte("000000PING")
	for size := range 70 {
		frame := protocol.AppendMaskedFrame(nil, protocol.OpText, [4]byte{0xa5, 0x5a, 0xff, 1}, text)
		want := len(frame)
		if size > 64 {
			want = 0
		}
		if got := pingFrame(frame, 64); got != want {
			t.Errorf("payload of %d bytes: %d, want %d", size, got, want)
		}
		for cut := range frame {
			if pingFrame(frame[:cut], 64) != 0 {
				t.Errorf("payload of %d bytes, cut at %d: taken", size, cut)
			}
		}
		text = append(text, byte(' '+size))
	}
}
