package broker

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrTooLarge refuses a value above MaxValue.
var ErrTooLarge = errors.New("value is too large")

// MaxValue is the largest value of a Store record, a Registry key or a Bus message, in bytes. It bounds what one write
// can hold up in a group commit; larger things are cut into several records by their owner.
const MaxValue = 16 << 20

// ValidSubject reports whether s can be published to: 1 to MaxSubject bytes of valid UTF-8, tokens between dots not
// empty, no blanks, no control characters, no `*` and no `>`.
func ValidSubject(s string) bool {
	return validText(s) && strings.IndexByte(s, ' ') < 0 && validTokens(s, false)
}

// ValidPattern reports whether s can be subscribed to: a subject in which whole tokens may be `*` and the last may be `>`.
func ValidPattern(s string) bool {
	return validText(s) && strings.IndexByte(s, ' ') < 0 && validTokens(s, true)
}

// ValidKey reports whether s can name a key of the Registry or the Store: 1 to MaxSubject bytes of valid UTF-8
// without control characters. Blanks, dots and stars have no special meaning in keys.
func ValidKey(s string) bool { return validText(s) }

// Wild reports whether the pattern has a wildcard, so that it may match more than one subject.
func Wild(pattern string) bool { return strings.ContainsAny(pattern, "*>") }

// CheckWrite returns the error with which every engine refuses a bad key or an over-long value, or nil.
func CheckWrite(key string, value []byte) error {
	if !ValidKey(key) {
		return BadName("key", key)
	}
	if len(value) > MaxValue {
		return fmt.Errorf("%w: key %q has %d bytes, at most %d are allowed", ErrTooLarge, key, len(value), MaxValue)
	}
	return nil
}

// BadName is ErrBadName with the offending name, cut to a length that can be logged. kind says what it should have been.
func BadName(kind, name string) error {
	if len(name) > 64 {
		name = name[:64] + "…"
	}
	return fmt.Errorf("%w: %s %q", ErrBadName, kind, name)
}

// MatchSubject reports whether the valid pattern matches the valid subject. It walks both once and calls nothing
// recursively, so its cost is the length of the subject whatever the pattern is.
func MatchSubject(pattern, subject string) bool {
	for {
		if pattern == ">" {
			return true
		}
		want, patternRest, patternMore := strings.Cut(pattern, ".")
		have, subjectRest, subjectMore := strings.Cut(subject, ".")
		if want != "*" && want != have {
			return false
		}
		if patternMore != subjectMore {
			return false
		}
		if !patternMore {
			return true
		}
		pattern, subject = patternRest, subjectRest
	}
}

// validText checks length, UTF-8 and control characters. The loop over bytes settles plain ASCII, which nearly all
// names are, without decoding runes.
func validText(s string) bool {
	if len(s) == 0 || len(s) > MaxSubject {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] == 0x7f {
			return false
		}
		if s[i] >= utf8.RuneSelf {
			return validUnicode(s)
		}
	}
	return true
}

// validUnicode is validText for names with more than ASCII: here blanks other than the ASCII one count as control
// characters, because two names that look equal must be equal.
func validUnicode(s string) bool {
	for _, r := range s {
		if r != ' ' && (unicode.IsSpace(r) || unicode.IsControl(r)) {
			return false
		}
	}
	return utf8.ValidString(s)
}

func validTokens(s string, wildcards bool) bool {
	for more := true; more; {
		var token string
		token, s, more = strings.Cut(s, ".")
		switch {
		case token == "":
			return false
		case wildcards && token == "*":
		case wildcards && token == ">" && !more:
		case strings.ContainsAny(token, "*>"):
			return false
		}
	}
	return true
}
