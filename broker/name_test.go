package broker_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"gosper/broker"
)

// TestNames goes through what may name what, at the limits too.
func TestNames(t *testing.T) {
	longest := strings.Repeat("x", broker.MaxSubject)
	cases := []struct {
		name                  string
		subject, pattern, key bool
	}{
		{"a", true, true, true},
		{"chat.0.public", true, true, true},
		{"presence.0.Zoë", true, true, true},
		{longest, true, true, true},
		{longest + "x", false, false, false},
		{"", false, false, false},
		{"a.", false, false, true},
		{".a", false, false, true},
		{"a..b", false, false, true},
		{"a b", false, false, true},
		{"ä b", false, false, true},
		{"a\u2003b", false, false, false},
		{"a\x7f", false, false, false},
		{"a\r\n", false, false, false},
		{"a\u0085", false, false, false},
		{"\xc3", false, false, false},
		{"*", false, true, true},
		{">", false, true, true},
		{"a.*.b.>", false, true, true},
		{"a.>.b", false, false, true},
		{"a*", false, false, true},
		{"a.b>", false, false, true},
	}
	for _, c := range cases {
		if broker.ValidSubject(c.name) != c.subject || broker.ValidPattern(c.name) != c.pattern || broker.ValidKey(c.name) != c.key {
			t.Errorf("%q: subject %v, pattern %v, key %v; want %v %v %v", c.name, broker.ValidSubject(c.name),
				broker.ValidPattern(c.name), broker.ValidKey(c.name), c.subject, c.pattern, c.key)
		}
	}
}

// TestMatchSubject is the table of what matches.
func TestMatchSubject(t *testing.T) {
	cases := []struct {
		pattern, subject string
		want             bool
	}{
		{"a", "a", true}, {"a", "b", false}, {"a", "a.b", false}, {"a.b", "a", false},
		{"*", "a", true}, {"*", "a.b", false}, {"*.b", "a.b", true}, {"a.*", "a", false},
		{"a.*.c", "a.b.c", true}, {"a.*.c", "a.b.d", false},
		{">", "a", true}, {">", "a.b.c", true}, {"a.>", "a", false}, {"a.>", "a.b", true}, {"a.>", "a.b.c", true}, {"a.>", "b.c", false},
		{"*.>", "a", false}, {"*.>", "a.b", true},
	}
	for _, c := range cases {
		if got := broker.MatchSubject(c.pattern, c.subject); got != c.want {
			t.Errorf("%q on %q: %v", c.pattern, c.subject, got)
		}
	}
}

// TestMatchLaws checks laws on random names: every subject matches itself, itself with any token starred, and each of
// its beginnings followed by >.
func TestMatchLaws(t *testing.T) {
	tokens := rapid.SliceOfN(rapid.StringMatching(`[a-zé0-9_-]{1,4}`), 1, 12)
	rapid.Check(t, func(t *rapid.T) {
		parts := tokens.Draw(t, "tokens")
		subject := strings.Join(parts, ".")
		for i := range parts {
			starred := append([]string(nil), parts...)
			starred[i] = "*"
			tail := strings.Join(append(append([]string(nil), parts[:i]...), ">"), ".")
			for _, pattern := range []string{subject, strings.Join(starred, "."), tail} {
				if !broker.ValidPattern(pattern) || !broker.MatchSubject(pattern, subject) {
					t.Fatalf("%q does not match %q", pattern, subject)
				}
			}
			if broker.MatchSubject(strings.Join(starred, ".")+".x", subject) {
				t.Fatalf("a longer pattern matched %q", subject)
			}
		}
	})
}

// FuzzNames checks that what is valid is valid for every looser kind too, and that matching never panics.
func FuzzNames(f *testing.F) {
	f.Add("a.*.>", "a.b.c")
	f.Add("..", "\xff")
	f.Fuzz(func(t *testing.T, a, b string) {
		if broker.ValidSubject(a) && !(broker.ValidPattern(a) && broker.ValidKey(a) && broker.MatchSubject(a, a)) {
			t.Errorf("subject %q", a)
		}
		if broker.ValidPattern(a) && broker.Wild(a) == broker.ValidSubject(a) {
			t.Errorf("pattern %q is wild %v", a, broker.Wild(a))
		}
		broker.MatchSubject(a, b)
	})
}
