package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// Goal: every command and nothing else is known. Method: the table both ways, then each command with one byte changed.
func TestCommands(t *testing.T) {
	if len(Commands()) != int(commandCount)-1 {
		t.Fatalf("Commands has %d entries", len(Commands()))
	}
	for _, c := range Commands() {
		text := c.String()
		if len(text) != CommandSize || strings.TrimLeft(text, "0") == "" {
			t.Errorf("%d has the text %q", c, text)
		}
		if got := ParseCommand([]byte(text + "rest")); got != c {
			t.Errorf("ParseCommand(%q) = %v", text, got)
		}
		for i := range text {
			for b := range 256 {
				odd := []byte(text)
				if odd[i] == byte(b) {
					continue
				}
				odd[i] = byte(b)
				if got := ParseCommand(odd); got != CmdUnknown && got.String() != string(odd) {
					t.Errorf("ParseCommand(%q) = %v", odd, got)
				}
			}
		}
	}
	if ParseCommand([]byte(CmdUnknown.String())) != CmdUnknown || Command(200).String() != CmdUnknown.String() {
		t.Error("the text of no command became one")
	}
}

// Goal: each breach has its error and each good line its frame. Method: a table, with a limit of 32 bytes.
func TestCutLine(t *testing.T) {
	const max = 32
	long := strings.Repeat("x", max-CommandSize-2)
	for _, c := range []struct {
		name, in string
		cmd      Command
		payload  string
		err      error
	}{
		{"ping", "000000PINGabc\r\n", CmdPing, "abc", nil},
		{"empty payload", "000000EXIT\r\n", CmdExit, "", nil},
		{"runes", "0000PUBLICgrüß dich €\r\n", CmdPublic, "grüß dich €", nil},
		{"tab, NUL and DEL", "0000PUBLIC\t\x00\x7f\r\n", CmdPublic, "\t\x00\x7f", nil},
		{"second line stays", "000000PING\r\n000000EXIT\r\n", CmdPing, "", nil},
		{"payload of the limit", "0000PUBLIC" + long + "\r\n", CmdPublic, long, nil},
		{"payload over the limit", "0000PUBLIC" + long + "x\r\n", 0, "", ErrLineTooLong},
		{"no end within the limit", "0000PUBLIC" + long + "xxxxx", 0, "", ErrLineTooLong},
		{"empty line", "\r\n", 0, "", ErrBadLine},
		{"short", "0PING\r\n", 0, "", ErrBadLine},
		{"short, more behind", "0PING\r\n000000PING\r\n", 0, "", ErrBadLine},
		{"too little padding", "00000PING\r\n", 0, "", ErrUnknownCommand},
		{"too much padding", "0000000PING\r\n", 0, "", ErrUnknownCommand},
		{"padded with blanks", "      PING\r\n", 0, "", ErrUnknownCommand},
		{"padded on the right", "PING000000\r\n", 0, "", ErrUnknownCommand},
		{"small letters", "000000ping\r\n", 0, "", ErrUnknownCommand},
		{"unknown", "000000HELO\r\n", 0, "", ErrUnknownCommand},
		{"unknown before its end", "GET / HTTP", 0, "", ErrUnknownCommand},
		{"LF alone", "000000PINGabc\n", 0, "", ErrBadLine},
		{"LF at once", "000000PING\n", 0, "", ErrBadLine},
		{"CR inside", "0000PUBLICa\rb\r\n", 0, "", ErrBadLine},
		{"CR twice", "0000PUBLICa\r\r\n", 0, "", ErrBadLine},
		{"CR far in", "0000PUBLIC12345678901\r34\r\n", 0, "", ErrBadLine},
		{"lone continuation byte", "0000PUBLICa\x80\r\n", 0, "", ErrBadUTF8},
		{"rune cut by the end", "0000PUBLIC\xe2\x82\r\n", 0, "", ErrBadUTF8},
		{"overlong", "0000PUBLIC\xc0\xaf\r\n", 0, "", ErrBadUTF8},
		{"surrogate", "0000PUBLIC\xed\xa0\x80\r\n", 0, "", ErrBadUTF8},
		{"above U+10FFFF", "0000PUBLIC\xf4\x90\x80\x80\r\n", 0, "", ErrBadUTF8},
		{"nothing", "", 0, "", nil},
		{"a part of the command", "0000PUB", 0, "", nil},
		{"a part of the payload", "0000PUBLICabc\r", 0, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd, payload, n, err := CutLine([]byte(c.in), max)
			if cmd != c.cmd || string(payload) != c.payload || err != c.err {
				t.Fatalf("got %v %q %v", cmd, payload, err)
			}
			want := 0
			if cmd != CmdUnknown {
				want = strings.IndexByte(c.in, '\n') + 1
			}
			if n != want {
				t.Fatalf("consumed %d, want %d", n, want)
			}
		})
	}
}

// Goal: a limit below the length of a command lets nothing through. Method: limits 0 to 12 against one ping.
func TestCutLineTinyLimits(t *testing.T) {
	for max := range 13 {
		cmd, _, n, err := CutLine([]byte("000000PING\r\n"), max)
		if ok := max >= 12; ok != (cmd == CmdPing && n == 12 && err == nil) || !ok && err != ErrLineTooLong {
			t.Errorf("max %d: %v %d %v", max, cmd, n, err)
		}
	}
}

// cutAll feeds chunks to CutLine as a door would, and writes down what came of it.
func cutAll(max int, chunks ...[]byte) string {
	var out strings.Builder
	var buf []byte
	for _, chunk := range chunks {
		buf = append(buf, chunk...)
		for {
			cmd, payload, n, err := CutLine(buf, max)
			if err != nil {
				fmt.Fprintf(&out, "%v\n", err)
				return out.String()
			}
			if n == 0 {
				break
			}
			fmt.Fprintf(&out, "%v %q\n", cmd, payload)
			buf = buf[n:]
		}
	}
	return out.String()
}

// everyCut calls f with data in two chunks for every position of the cut, and once byte by byte.
func everyCut(data []byte, f func(chunks ...[]byte)) {
	for i := range data {
		f(slices.Clone(data[:i]), slices.Clone(data[i:]))
	}
	var single [][]byte
	for i := range data {
		single = append(single, slices.Clone(data[i:i+1]))
	}
	f(single...)
}

// Goal: cuts change nothing. Method: conversations, each ended by another breach, cut at every position and bytewise.
func TestCutLineChunks(t *testing.T) {
	const good = "00REGISTERnonce\r\n0000PUBLICgrüß €\r\n000000PING\r\n0000FAMILYa:b%\r\n"
	for _, end := range []string{"", "000000EXIT\r\n", "x\r\n0000PUBLICa\r\n", "0000PUBLICa\n", "0000PUBLICa\rb\r\n",
		"0000PUBLIC\xff\r\n", "0000PUBLICa\rb\xff\r\n", "GET / HTTP/1.1\r\n", "0\n23456789ab\r\n", "\n", "0123456789\n",
		"0000PUBLIC" + strings.Repeat("é", 40) + "\r\n", strings.Repeat("0", 100)} {
		whole := cutAll(64, []byte(good+end))
		everyCut([]byte(good+end), func(chunks ...[]byte) {
			if got := cutAll(64, chunks...); got != whole {
				t.Fatalf("%q in %d chunks:\n%swant\n%s", end, len(chunks), got, whole)
			}
		})
	}
}

// Goal: a line that is too long is refused at the same byte however it comes. Method: small limits, bytewise.
func TestCutLineChunksAtLimits(t *testing.T) {
	for max := range 20 {
		for _, in := range []string{"000000PING\r\n", "000000PINGab\r\n", "abc\r\n", "0123456789abc\r\n", "012345678\n"} {
			whole := cutAll(max, []byte(in))
			everyCut([]byte(in), func(chunks ...[]byte) {
				if got := cutAll(max, chunks...); got != whole {
					t.Fatalf("max %d, %q: %q, want %q", max, in, got, whole)
				}
			})
		}
	}
}

// Goal: ParseLine and CutLine agree. Method: the payloads of a table through both.
func TestParseLine(t *testing.T) {
	for _, in := range []string{"000000PING", "000000PINGx", "0000PUBLICgrüß", "0000PUBLIC\xff", "0000PUBLICa\rb", "0PING",
		"000000HELO", "0000PUBLICa\r"} {
		cmd, payload, err := ParseLine([]byte(in))
		wantCmd, wantPayload, _, wantErr := CutLine([]byte(in+"\r\n"), 64)
		if cmd != wantCmd || !bytes.Equal(payload, wantPayload) || err != wantErr {
			t.Errorf("%q: %v %q %v, CutLine: %v %q %v", in, cmd, payload, err, wantCmd, wantPayload, wantErr)
		}
	}
	if _, _, err := ParseLine([]byte("0000PUBLICa\nb")); err != ErrBadLine {
		t.Errorf("LF inside a message: %v", err)
	}
}

func TestAppendLine(t *testing.T) {
	got := AppendLine([]byte("x"), CmdPublic, []byte("name"), []byte(":"), []byte("text"))
	if string(got) != "x0000PUBLICname:text\r\n" {
		t.Errorf("%q", got)
	}
	if got := AppendLine(nil, CmdOK); string(got) != "00000000OK\r\n" {
		t.Errorf("%q", got)
	}
}

func TestCutText(t *testing.T) {
	for _, c := range []struct {
		in, text string
		n        int
		err      error
	}{
		{"{}\r\nmore", "{}", 4, nil},
		{"\r\n", "", 2, nil},
		{"12345678\r\n", "12345678", 10, nil},
		{"123456789\r\n", "", 0, ErrLineTooLong},
		{"1234567890", "", 0, ErrLineTooLong},
		{"123456789", "", 0, nil},
		{"", "", 0, nil},
		{"a\n", "", 0, ErrBadLine},
		{"\n", "", 0, ErrBadLine},
		{"a\rb\r\n", "", 0, ErrBadLine},
		{"\xff\r\n", "", 0, ErrBadUTF8},
	} {
		text, n, err := CutText([]byte(c.in), 10)
		if string(text) != c.text || n != c.n || err != c.err {
			t.Errorf("%q: %q %d %v", c.in, text, n, err)
		}
	}
}

// Goal: the word at a time agrees with the byte at a time. Method: random payloads of every length around the word size.
func TestCheckText(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	alphabet := []string{"a", "é", "€", "😀", "\r", "\xff", "\x00", "\x0c", "\x0e", "\x8d"}
	for range 20000 {
		p := bytes.Repeat([]byte("a"), random.IntN(80))
		if len(p) > 0 {
			at := random.IntN(len(p))
			p = append(p[:at:at], append([]byte(alphabet[random.IntN(len(alphabet))]), p[at:]...)...)
		}
		if got, want := checkText(p), checkRunes(p); !errors.Is(got, want) {
			t.Fatalf("%q: %v, want %v", p, got, want)
		}
	}
}

func FuzzCutLine(f *testing.F) {
	for _, s := range []string{"000000PINGabc\r\n", "00REGISTERn\r\n0000PUBLIC\xc3\xa9\r\n", "a\r\n", "0000PUBLIC\r\r\n", "\n"} {
		f.Add([]byte(s), uint8(30), uint16(3))
	}
	f.Fuzz(func(t *testing.T, data []byte, max uint8, cut uint16) {
		whole := cutAll(int(max), data)
		at := int(cut) % (len(data) + 1)
		if got := cutAll(int(max), data[:at], data[at:]); got != whole {
			t.Fatalf("cut at %d: %q, want %q", at, got, whole)
		}
		cmd, payload, n, err := CutLine(data, int(max))
		if err == nil && n > 0 && !bytes.Equal(AppendLine(nil, cmd, payload), data[:n]) {
			t.Fatalf("%v %q does not encode to %q", cmd, payload, data[:n])
		}
		CutText(data, int(max))
	})
}
