package protocol

import (
	"fmt"
	"testing"
	"unicode/utf8"
)

// Goal: every byte string is refused or passed as utf8.Valid says, in whichever fragments, and a break is told with the
// fragment in which it stands. Method: good and bad runes between plain text, cut into fragments at every pair of places.
func TestSection8_1_UTF8AcrossFragments(t *testing.T) {
	for _, s := range []string{"κόσμε", "a€😀b", "\U0010ffff", "\u07ff\u0800\uffff\U00010000", "\x00\x7f",
		"\x80", "\xbf", "a\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x80\x80\x80",
		"\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xfe", "\xff", "\xc3", "a\xe2\x82", "\xf0\x9f\x98", "\xf0\x9f",
		"\xe2\x82a", "\xc3\xc3\xa9", "\xf0\x9f\x98\xf0\x9f\x98\x80", "κόσμε\xed\xa0\x80edited", "a\xf0\x90\x80b"} {
		for i := 0; i <= len(s); i++ {
			for j := i; j <= len(s); j++ {
				checkFragments(t, s[:i], s[i:j], s[j:])
			}
		}
		want := fmt.Sprintf("1 %q; ", s)
		if !utf8.ValidString(s) {
			want = "1007 " + ErrTextUTF8.Error()
		}
		runWS(t, 0, []wsCase{{fmt.Sprintf("%q", s), masked(fin|txt, s), want}})
		if got := assemble(0, masked(bin, s, fin|cont, "")); got != fmt.Sprintf("2 %q; ", s) {
			t.Errorf("binary %q: %s", s, got)
		}
	}
}

func checkFragments(t *testing.T, parts ...string) {
	t.Helper()
	a := Assembler{Server: true}
	so := ""
	for i, p := range parts {
		first := cont
		if i == 0 {
			first = txt
		}
		last := i == len(parts)-1
		if last {
			first |= fin
		}
		so += p
		_, _, err := a.Next(masked(first, p))
		if good := viable(so, last); good != (err == nil) {
			t.Fatalf("%q after %q: error %v", parts, so, err)
		}
		if err != nil {
			return
		}
	}
}

// viable reports whether s is UTF-8, or can become it by more bytes if it is not the last of a message. It tries.
func viable(s string, last bool) bool {
	if utf8.ValidString(s) || last {
		return utf8.ValidString(s)
	}
	for _, first := range []string{"\x80", "\x90", "\xa0"} {
		for more := first; len(more) < 4; more += "\x80" {
			if utf8.ValidString(s + more) {
				return true
			}
		}
	}
	return false
}
