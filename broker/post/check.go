package post

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"gosper/protocol"
)

// valid says whether a box can exist.
func (b Box) valid() bool { return protocol.ValidName(b.World) && protocol.ValidName(b.UID) }

// path is the folder of a box below the root.
func (b Box) path() string { return "." + b.World + "/." + b.UID }

// ValidKey reports whether s can be the key of a mail: 1 to MaxKey of A-Z a-z 0-9 _ -.
func ValidKey(s string) bool {
	if len(s) == 0 || len(s) > MaxKey {
		return false
	}
	for i := 0; i < len(s); i++ {
		if !alphanumeric(s[i]) && s[i] != '_' && s[i] != '-' {
			return false
		}
	}
	return true
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// check returns what is wrong with a mail, as ErrBadMail.
func (m *Mail) check(bodyLimit int) error {
	if m.Key != "" && !ValidKey(m.Key) {
		return badMail("key must be 1 to %d of A-Z a-z 0-9 _ -", MaxKey)
	}
	if m.Kind >= kinds {
		return badMail("type must be 0 to %d", kinds-1)
	}
	if year := m.Time.Year(); year < 1 || year > 9999 {
		return badMail("time must be in the years 1 to 9999")
	}
	for _, part := range []struct {
		name, text string
		limit      int
	}{{"from", m.From, MaxFrom}, {"subj", m.Subject, MaxSubject}, {"items", m.Items, MaxItems}, {"body", m.Body, bodyLimit}} {
		if err := checkText(part.name, part.text, part.limit); err != nil {
			return err
		}
	}
	return m.checkFields()
}

func (m *Mail) checkFields() error {
	if len(m.Fields) > MaxFields {
		return badMail("has %d fields, at most %d are allowed", len(m.Fields), MaxFields)
	}
	for name, value := range m.Fields {
		if !validField(name) {
			return badMail("name of a field must be 1 to %d of a-z 0-9 _", maxName)
		}
		if err := checkText(name, value, maxValue); err != nil {
			return err
		}
	}
	return nil
}

func validField(name string) bool {
	return name != "" && len(name) <= maxName && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

func checkText(name, text string, limit int) error {
	switch {
	case len(text) > limit:
		return badMail("%s has %d bytes, at most %d are allowed", name, len(text), limit)
	case strings.IndexByte(text, 0) >= 0:
		return badMail("%s has a NUL", name)
	case !utf8.ValidString(text):
		return badMail("%s is not UTF-8", name)
	}
	return nil
}

func badMail(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrBadMail}, args...)...)
}
