package protocol

import (
	"strings"
	"testing"
)

func TestValidName(t *testing.T) {
	for s, want := range map[string]bool{
		"0": true, "World_1-b": true, strings.Repeat("a", MaxName): true,
		"": false, strings.Repeat("a", MaxName+1): false, "a b": false, "a.b": false, "*": false, ">": false, "a>": false, "$": false,
		"a\r\n": false, "a:b": false, "a/b": false, "..": false, "é": false, "a\x00": false, "a%": false, "~": false,
	} {
		if got := ValidName(s); got != want {
			t.Errorf("ValidName(%q) = %v", s, got)
		}
	}
	for c := range 256 {
		want := strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-", rune(c)) && c < 128
		if got := ValidName(string([]byte{byte(c)})); got != want {
			t.Errorf("byte %x: %v", c, got)
		}
	}
}

func TestValidDisplayName(t *testing.T) {
	for s, want := range map[string]bool{
		"Anna": true, "Jean Luc": true, "Ünïcödé €": true, "小明": true, "😀": true, "a.b:c%*>": true, "O'Hara": true,
		strings.Repeat("é", MaxDisplayName): true, strings.Repeat("😀", MaxDisplayName): true,
		"": false, " ": false, " a": false, "a ": false, strings.Repeat("a", MaxDisplayName+1): false, strings.Repeat("é", MaxDisplayName+1): false,
		"a\nb": false, "a\rb": false, "a\tb": false, "a\x00": false, "a\x7f": false, "\xff": false, "a\xe2\x82": false, "a\u00a0b": false,
		"a\u200bb": false, "a\u202eb": false, "a\u3000b": false, "\ufeffa": false, "\u3164": false, "a\ufe0f": false, "\u2028": false,
		strings.Repeat("a", 1<<20): false,
	} {
		if got := ValidDisplayName(s); got != want {
			t.Errorf("ValidDisplayName(%.40q) = %v", s, got)
		}
	}
}

func TestSubjects(t *testing.T) {
	for got, want := range map[string]string{
		ChatSubject("0", ""):    "chat.0.public",
		ChatSubject("0", "fox"): "chat.0.family.fox",
		UserSubject("u1"):       "user.u1",
		PresenceSubject("0"):    "presence.0",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestEscapeToken(t *testing.T) {
	for in, want := range map[string]string{"": "%", "Anna": "Anna", "a.b": "a%2Eb", "*": "%2A", "> x": "%3E%20x", "é": "%C3%A9",
		"%": "%25", "\xff\n": "%FF%0A"} {
		if got := EscapeToken(in); got != want {
			t.Errorf("EscapeToken(%q) = %q", in, got)
		}
	}
	for _, bad := range []string{"", "a.b", "a b", "%2e", "%41", "%4", "%zz", "%%", "a%", "é", "*"} {
		if s, err := UnescapeToken(bad); err != ErrBadToken {
			t.Errorf("UnescapeToken(%q) = %q, %v", bad, s, err)
		}
	}
}

// Goal: a token and its string are one to one, and a token is one token. Method: any bytes both ways.
func FuzzNames(f *testing.F) {
	for _, s := range []string{"", "Anna", "a.b *>", "%2E", "é", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		token := EscapeToken(s)
		if token == "" || strings.ContainsAny(token, ". *>\r\n\t\x00$") || len(token) > 3*len(s)+1 {
			t.Fatalf("%q has the token %q", s, token)
		}
		if back, err := UnescapeToken(token); back != s || err != nil {
			t.Fatalf("%q is %q is %q, %v", s, token, back, err)
		}
		if back, err := UnescapeToken(s); err == nil && EscapeToken(back) != s {
			t.Fatalf("%q and %q are tokens of %q", s, EscapeToken(back), back)
		}
		if ValidName(s) && (token != s || !ValidDisplayName(s)) {
			t.Fatalf("%q is a name, its token %q", s, token)
		}
		ValidDisplayName(s)
	})
}
