package protocol

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// These tests are named after the sections of RFC 6455. Method: frames are written in hex or by a small builder, given
// to an Assembler whole, cut at every position and byte by byte, and what comes of them is written down as text.

// frame builds one frame byte by byte, so that it can be wrong in every way.
type frame struct {
	first   byte // FIN, RSV, opcode
	payload string
	mask    []byte // nil: not masked
}

func (f frame) bytes() []byte {
	b := []byte{f.first, 0}
	switch n := len(f.payload); {
	case n < 126:
		b[1] = byte(n)
	case n < 1<<16:
		b[1] = 126
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	default:
		b[1] = 127
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	if f.mask != nil {
		b[1] |= 0x80
		b = append(b, f.mask...)
	}
	for i := range len(f.payload) {
		c := f.payload[i]
		if f.mask != nil {
			c ^= f.mask[i%4]
		}
		b = append(b, c)
	}
	return b
}

var testMask = []byte{0x37, 0xfa, 0x21, 0x3d}

// masked joins masked frames: pairs of a first byte and a payload.
func masked(pairs ...any) []byte {
	var b []byte
	for i := 0; i < len(pairs); i += 2 {
		b = append(b, frame{byte(pairs[i].(int)), pairs[i+1].(string), testMask}.bytes()...)
	}
	return b
}

const (
	fin = 0x80

	cont, txt, bin, closing, ping, pong = 0, 1, 2, 8, 9, 10
)

// assemble feeds chunks to a server's assembler as a door would, and writes down what came of them.
func assemble(max int, chunks ...[]byte) string {
	a := Assembler{Server: true, Max: max}
	return feed(&a, chunks...)
}

func feed(a *Assembler, chunks ...[]byte) string {
	var out strings.Builder
	var buf []byte
	for _, chunk := range chunks {
		buf = append(buf, chunk...)
		for len(buf) > 0 {
			ev, n, err := a.Next(buf)
			if err != nil {
				fmt.Fprintf(&out, "%d %v", CloseCodeOf(err), err)
				return out.String()
			}
			if n == 0 {
				break
			}
			if ev.Complete {
				fmt.Fprintf(&out, "%d %q; ", ev.Op, ev.Payload)
			}
			buf = buf[n:]
			if ev.Complete && ev.Op == OpClose {
				return out.String()
			}
		}
	}
	return out.String()
}

type wsCase struct {
	name string
	in   []byte
	want string
}

// runWS checks each case whole and in every cut.
func runWS(t *testing.T, max int, cases []wsCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := assemble(max, slices.Clone(c.in)); got != c.want {
				t.Fatalf("got  %s\nwant %s", got, c.want)
			}
			everyCut(c.in, func(chunks ...[]byte) {
				if got := assemble(max, chunks...); got != c.want {
					t.Fatalf("in %d chunks (first %d bytes):\ngot  %s\nwant %s", len(chunks), len(chunks[0]), got, c.want)
				}
			})
		})
	}
}

func TestSection5_1_Masking(t *testing.T) {
	plain := frame{fin | txt, "hi", nil}.bytes()
	if got := assemble(0, plain); got != "1002 "+ErrNotMasked.Error() {
		t.Errorf("unmasked to a server: %s", got)
	}
	var client Assembler
	if got := feed(&client, masked(fin|txt, "hi")); got != "1002 "+ErrMasked.Error() {
		t.Errorf("masked to a client: %s", got)
	}
	client = Assembler{}
	if got := feed(&client, plain); got != `1 "hi"; ` {
		t.Errorf("unmasked to a client: %s", got)
	}
	runWS(t, 0, []wsCase{{"unmasked behind a good one", append(masked(fin|txt, "a"), plain...),
		`1 "a"; 1002 ` + ErrNotMasked.Error()}})
}

func TestSection5_2_Framing(t *testing.T) {
	bad := func(e *WSError) string { return fmt.Sprintf("%d %v", e.Code, e) }
	header := func(s string) []byte { b, _ := hex.DecodeString(strings.ReplaceAll(s, " ", "")); return b }
	cases := []wsCase{
		{"empty text", masked(fin|txt, ""), `1 ""; `},
		{"length 125", masked(fin|bin, strings.Repeat("a", 125)), `2 "` + strings.Repeat("a", 125) + `"; `},
		{"length 126", masked(fin|bin, strings.Repeat("a", 126)), `2 "` + strings.Repeat("a", 126) + `"; `},
		{"126 for length 125", header("82fe 007d 00000000"), bad(ErrBadLength)},
		{"126 for length 0", header("82fe 0000 00000000"), bad(ErrBadLength)},
		{"127 for length 65535", header("82ff 000000000000ffff 00000000"), bad(ErrBadLength)},
		{"127 for length 0", header("82ff 0000000000000000 00000000"), bad(ErrBadLength)},
		{"length 1<<63", header("82ff 8000000000000000 00000000"), bad(ErrBadLength)},
		{"length 1<<64-1", header("82ff ffffffffffffffff 00000000"), bad(ErrBadLength)},
		{"length 1<<63-1", header("82ff 7fffffffffffffff 00000000"), bad(ErrTooBig)},
		{"length 1<<32", header("82ff 0000000100000000 00000000"), bad(ErrTooBig)},
		{"length 1<<63-1 of a continuation", append(masked(txt, "abc"), header("80ff 7fffffffffffffff 00000000")...),
			bad(ErrTooBig)},
	}
	for rsv := 0x10; rsv <= 0x70; rsv += 0x10 {
		cases = append(cases, wsCase{fmt.Sprintf("RSV %x", rsv), masked(fin|rsv|txt, "a"), bad(ErrReservedBits)},
			wsCase{fmt.Sprintf("RSV %x on a ping", rsv), masked(fin|rsv|ping, ""), bad(ErrReservedBits)})
	}
	for _, op := range []int{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		cases = append(cases, wsCase{fmt.Sprintf("opcode %x", op), masked(fin|op, "a"), bad(ErrReservedOpcode)},
			wsCase{fmt.Sprintf("opcode %x in fragments", op), masked(op, "a", fin|cont, "b"), bad(ErrReservedOpcode)})
	}
	runWS(t, 1<<16, cases)
	long := strings.Repeat("z", 65535)
	if got := assemble(1<<16, masked(fin|bin, long)); got != `2 "`+long+`"; ` {
		t.Error("length 65535")
	}
	if got := assemble(1<<16, masked(fin|bin, long+"z")); got != `2 "`+long+`z"; ` {
		t.Error("length 65536")
	}
}

func TestSection5_3_MaskEveryLengthAndOffset(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for n := range 200 {
		plain := make([]byte, n)
		for i := range plain {
			plain[i] = byte(random.Uint32()) & 0x7f
		}
		if n > 0 && n%3 == 0 {
			plain[random.IntN(n)] |= 0x80
		}
		want := slices.Clone(plain)
		high := uint64(0)
		for i := range want {
			want[i] ^= testMask[i%4]
			high |= uint64(plain[i] & 0x80)
		}
		room := make([]byte, n+9)
		for from := range 9 {
			b := append(room[from:from], plain...)
			Mask(b, [4]byte(testMask))
			if !bytes.Equal(b, want) {
				t.Fatalf("length %d at %d: %x, want %x", n, from, b, want)
			}
			if seen := maskAll(b, binary.LittleEndian.Uint32(testMask)); !bytes.Equal(b, plain) || (seen&highBits != 0) != (high != 0) {
				t.Fatalf("length %d at %d: back %x, seen %x", n, from, b, seen)
			}
		}
	}
}

func TestSection5_4_Fragmentation(t *testing.T) {
	runWS(t, 0, []wsCase{
		{"two parts", masked(txt, "ab", fin|cont, "cd"), `1 "abcd"; `},
		{"three parts", masked(bin, "a", cont, "b", fin|cont, "c"), `2 "abc"; `},
		{"empty parts", masked(txt, "", cont, "", cont, "a", fin|cont, ""), `1 "a"; `},
		{"all empty", masked(txt, "", fin|cont, ""), `1 ""; `},
		{"two messages", masked(txt, "a", fin|cont, "b", fin|txt, "c", txt, "d", fin|cont, "e"),
			`1 "ab"; 1 "c"; 1 "de"; `},
		{"control between", masked(txt, "a", fin|ping, "p", fin|cont, "b"), `9 "p"; 1 "ab"; `},
		{"many controls between", masked(txt, "a", fin|ping, "1", fin|pong, "2", cont, "b", fin|ping, "3", fin|cont, "c"),
			`9 "1"; 10 "2"; 9 "3"; 1 "abc"; `},
		{"close between", masked(txt, "a", fin|closing, "\x03\xe8"), `8 "\x03\xe8"; `},
		{"continuation of nothing", masked(fin|cont, "a"), "1002 " + ErrFragment.Error()},
		{"open continuation of nothing", masked(cont, "a"), "1002 " + ErrFragment.Error()},
		{"continuation after the end", masked(txt, "a", fin|cont, "b", fin|cont, "c"),
			`1 "ab"; 1002 ` + ErrFragment.Error()},
		{"text inside a message", masked(txt, "a", fin|txt, "b"), "1002 " + ErrFragment.Error()},
		{"start inside a message", masked(txt, "a", bin, "b"), "1002 " + ErrFragment.Error()},
	})
}

func TestSection5_4_EventsOfFragments(t *testing.T) {
	a := Assembler{Server: true}
	for i, want := range []Event{{Op: OpBinary}, {Op: OpBinary}, {Op: OpBinary, Complete: true, Payload: []byte("abc")}} {
		in := [][]byte{masked(bin, "a"), masked(cont, "b"), masked(fin|cont, "c")}[i]
		ev, n, err := a.Next(in)
		if err != nil || n != len(in) || ev.Op != want.Op || ev.Complete != want.Complete || !bytes.Equal(ev.Payload, want.Payload) {
			t.Errorf("fragment %d: %v %d %v", i, ev, n, err)
		}
	}
	if a.parts != nil {
		t.Error("the assembler keeps the message after it was given away")
	}
}

func TestSection5_5_ControlFrames(t *testing.T) {
	p125 := strings.Repeat("p", 125)
	runWS(t, 0, []wsCase{
		{"empty ping", masked(fin|ping, ""), `9 ""; `},
		{"ping of 125", masked(fin|ping, p125), `9 "` + p125 + `"; `},
		{"ping of 126", masked(fin|ping, p125+"p"), "1002 " + ErrControlFrame.Error()},
		{"ping of 65536", masked(fin|ping, strings.Repeat("p", 1<<16))[:20], "1002 " + ErrControlFrame.Error()},
		{"ping not UTF-8", masked(fin|ping, "\xff"), `9 "\xff"; `},
		{"pong unasked", masked(fin|pong, "x"), `10 "x"; `},
		{"ping in fragments", masked(ping, "a", fin|cont, "b"), "1002 " + ErrControlFrame.Error()},
		{"pong in fragments", masked(pong, "a"), "1002 " + ErrControlFrame.Error()},
		{"close in fragments", masked(closing, "\x03\xe8"), "1002 " + ErrControlFrame.Error()},
	})
	a := Assembler{Server: true, Max: 10}
	if got := feed(&a, masked(fin|ping, p125)); got != `9 "`+p125+`"; ` {
		t.Errorf("the limit of messages touched a control frame: %s", got)
	}
}

func TestSection5_6_LimitOfMessages(t *testing.T) {
	big := "1009 " + ErrTooBig.Error()
	runWS(t, 10, []wsCase{
		{"at the limit", masked(fin|txt, "0123456789"), `1 "0123456789"; `},
		{"one over", masked(fin|txt, "0123456789a"), big},
		{"fragments at the limit", masked(txt, "01234", cont, "5678", fin|cont, "9"), `1 "0123456789"; `},
		{"fragments one over", masked(txt, "01234", cont, "56789", fin|cont, "a"), big},
		{"limit is for one message", masked(fin|txt, "0123456789", txt, "01234", fin|cont, "56789"),
			`1 "0123456789"; 1 "0123456789"; `},
		{"refused at the header", masked(fin|txt, "0123456789a")[:6], big},
	})
	a := Assembler{Server: true}
	if got := feed(&a, masked(fin|bin, strings.Repeat("a", DefaultMessage+1))); got != big {
		t.Errorf("default limit: %.60s", got)
	}
	a = Assembler{Server: true, Max: 10}
	feed(&a, masked(txt, "0123456789"))
	a.Max = 5
	if _, _, err := a.Next(masked(fin|cont, "")); err != ErrTooBig {
		t.Errorf("limit lowered inside a message: %v", err)
	}
}

func TestSection5_7_Examples(t *testing.T) {
	for _, c := range []struct {
		hex, want string
		server    bool
	}{
		{"81 05 48 65 6c 6c 6f", `1 "Hello"; `, false},
		{"81 85 37 fa 21 3d 7f 9f 4d 51 58", `1 "Hello"; `, true},
		{"01 03 48 65 6c 80 02 6c 6f", `1 "Hello"; `, false},
		{"89 05 48 65 6c 6c 6f", `9 "Hello"; `, false},
		{"8a 85 37 fa 21 3d 7f 9f 4d 51 58", `10 "Hello"; `, true},
	} {
		raw, _ := hex.DecodeString(strings.ReplaceAll(c.hex, " ", ""))
		a := Assembler{Server: c.server}
		if got := feed(&a, raw); got != c.want {
			t.Errorf("%s: %s", c.hex, got)
		}
	}
	if got := AppendFrame(nil, OpText, []byte("Hello")); hex.EncodeToString(got) != "810548656c6c6f" {
		t.Errorf("AppendFrame: %x", got)
	}
	if got := AppendMaskedFrame(nil, OpText, [4]byte(testMask), []byte("Hello")); hex.EncodeToString(got) != "818537fa213d7f9f4d5158" {
		t.Errorf("AppendMaskedFrame: %x", got)
	}
	if got := AppendFrameHeader(nil, OpBinary, true, 256); hex.EncodeToString(got) != "827e0100" {
		t.Errorf("256 bytes: %x", got)
	}
	if got := AppendFrameHeader(nil, OpBinary, true, 65536); hex.EncodeToString(got) != "827f0000000000010000" {
		t.Errorf("64 KiB: %x", got)
	}
	if got := AppendFrameHeader(nil, OpText, false, 3); hex.EncodeToString(got) != "0103" {
		t.Errorf("fragment: %x", got)
	}
}

// Goal: an incomplete frame leaves the caller's bytes as they are, since they come again. Method: all but the last byte.
func TestNextTouchesNothingBeforeTheFrameIsThere(t *testing.T) {
	in := masked(fin|txt, "hello, world")
	before := slices.Clone(in)
	a := Assembler{Server: true}
	for i := range in {
		if _, n, err := a.Next(in[:i]); n != 0 || err != nil {
			t.Fatalf("%d bytes: %d %v", i, n, err)
		}
	}
	if !bytes.Equal(in, before) || a.parts != nil || a.op != 0 {
		t.Error("bytes were changed")
	}
}

func TestAssemblerIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(Assembler{}); size > 48 {
		t.Errorf("%d bytes", size)
	}
}

// Goal: what is encoded is decoded. Method: random messages through both directions, in random fragments.
func TestRoundTripFrames(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for _, n := range []int{0, 1, 7, 8, 31, 32, 33, 125, 126, 127, 1000, 65535, 65536, 70000} {
		payload := make([]byte, n)
		for i := range payload {
			payload[i] = byte(random.Uint32())
		}
		client, server := Assembler{Max: 1 << 20}, Assembler{Max: 1 << 20, Server: true}
		for side, in := range map[*Assembler][]byte{
			&client: AppendFrame(nil, OpBinary, payload),
			&server: AppendMaskedFrame(nil, OpBinary, [4]byte(testMask), payload),
		} {
			ev, used, err := side.Next(in)
			if err != nil || used != len(in) || !ev.Complete || !bytes.Equal(ev.Payload, payload) {
				t.Errorf("%d bytes: used %d of %d, %v", n, used, len(in), err)
			}
		}
	}
}

func FuzzAssembler(f *testing.F) {
	f.Add(masked(fin|txt, "hé", txt, "\xe2\x82", fin|ping, "x", fin|cont, "\xac", fin|closing, "\x03\xe8bye"), uint16(5), true)
	f.Add(frame{fin | bin, strings.Repeat("b", 126), nil}.bytes(), uint16(3), false)
	f.Add([]byte{0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, uint16(9), true)
	f.Fuzz(func(t *testing.T, data []byte, cut uint16, server bool) {
		const max = 300
		run := func(chunks ...[]byte) string {
			return feed(&Assembler{Server: server, Max: max}, chunks...)
		}
		whole := run(slices.Clone(data))
		at := int(cut) % (len(data) + 1)
		if got := run(slices.Clone(data[:at]), slices.Clone(data[at:])); got != whole {
			t.Fatalf("cut at %d:\n%s\nwhole:\n%s", at, got, whole)
		}
		if len(whole) > 5*len(data)+200 {
			t.Fatalf("%d bytes in, %d bytes out", len(data), len(whole))
		}
		if h, n, err := ParseFrameHeader(data); n > 0 && err == nil && !h.Masked {
			if again := AppendFrameHeader(nil, h.Op, h.Fin, int(h.Length)); !bytes.Equal(again, data[:n]) {
				t.Fatalf("header %x encodes to %x", data[:n], again)
			}
		}
	})
}
