package protocol

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Longest names.
const (
	MaxName        = 32 // longest name of a world, family, player id or game, in bytes
	MaxDisplayName = 32 // longest display name, in characters (so at most 128 bytes)
)

// ErrBadToken is returned for a subject token that EscapeToken cannot have made.
var ErrBadToken = errors.New("subject token is not well escaped")

// nameByte marks the bytes a name may hold.
var nameByte = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '_' || c == '-'
	}
	return t
}()

// ValidName reports whether s is a name of a world, a family or an id: 1 to MaxName bytes of A-Z a-z 0-9 _ -. Such a
// name can stand in subjects, keys, paths and lines as it is.
func ValidName(s string) bool {
	if len(s) == 0 || len(s) > MaxName {
		return false
	}
	for i := 0; i < len(s); i++ {
		if !nameByte[s[i]] {
			return false
		}
	}
	return true
}

// ValidDisplayName reports whether s may be shown as somebody's name: 1 to MaxDisplayName printable characters of
// UTF-8, no blank at either end, the only blank inside being U+0020. Characters that look like nothing are refused,
// since two different names must not look the same by them.
func ValidDisplayName(s string) bool {
	if s == "" || len(s) > MaxDisplayName*utf8.UTFMax || !utf8.ValidString(s) || s[0] == ' ' || s[len(s)-1] == ' ' {
		return false
	}
	count := 0
	for _, r := range s {
		if count++; count > MaxDisplayName || !unicode.IsPrint(r) || invisible(r) {
			return false
		}
	}
	return true
}

// invisible names the printable characters, by their Unicode class, that have no ink.
func invisible(r rune) bool {
	switch r {
	case '\u115f', '\u1160', '\u2800', '\u3164', '\uffa0':
		return true
	}
	return unicode.Is(unicode.Variation_Selector, r)
}

const hexDigits = "0123456789ABCDEF"

// EscapeToken turns any string into one token of a bus subject: bytes of names stay, every other byte becomes %XX,
// and the empty string becomes "%". UnescapeToken turns it back. The token is at most three times as long as s.
func EscapeToken(s string) string {
	if s == "" {
		return "%"
	}
	extra := 0
	for i := 0; i < len(s); i++ {
		if !nameByte[s[i]] {
			extra += 2
		}
	}
	if extra == 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + extra)
	for i := 0; i < len(s); i++ {
		if c := s[i]; nameByte[c] {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		}
	}
	return b.String()
}

// UnescapeToken returns the string whose token t is. There is exactly one token for a string: others (small hex
// digits, an escaped letter) give ErrBadToken.
func UnescapeToken(t string) (string, error) {
	if t == "%" {
		return "", nil
	}
	b := make([]byte, 0, len(t))
	for i := 0; i < len(t); i++ {
		c := t[i]
		if c == '%' {
			var ok bool
			if c, ok = unhex(t[i+1:]); !ok || nameByte[c] {
				return "", ErrBadToken
			}
			i += 2
		} else if !nameByte[c] {
			return "", ErrBadToken
		}
		b = append(b, c)
	}
	if len(b) == 0 {
		return "", ErrBadToken
	}
	return string(b), nil
}

// unhex reads two capital hex digits at the start of s.
func unhex[T string | []byte](s T) (byte, bool) {
	if len(s) < 2 {
		return 0, false
	}
	hi, lo := hexValue(s[0]), hexValue(s[1])
	return hi<<4 | lo, hi < 16 && lo < 16
}

func hexValue(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}

// ChatSubject returns the bus subject of a world's talk ("chat.<world>.public"), or, when family is not empty, of a
// family's talk ("chat.<world>.family.<family>"). Both names must be valid by ValidName.
func ChatSubject(world, family string) string {
	if family == "" {
		return "chat." + world + ".public"
	}
	return "chat." + world + ".family." + family
}

// UserSubject returns the bus subject whose messages reach every connection of an account ("user.<uid>").
func UserSubject(uid string) string { return "user." + uid }

// PresenceToken is the first token of presence subjects. Each node tells its own clients, so they are not shared by nodes.
const PresenceToken = "presence"

// PresenceSubject returns the bus subject of who comes and goes in a world ("presence.<world>").
func PresenceSubject(world string) string { return PresenceToken + "." + world }
