package protocol

import (
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"
)

// text is the inside of a JSON string as it stands in the source: without quotes, escapes not resolved.
type text struct {
	raw     []byte
	escaped bool // raw has escapes
}

// equal reports whether the string that t stands for is name.
func (t text) equal(name string) bool {
	if !t.escaped {
		return string(t.raw) == name
	}
	return len(t.raw) <= 6*len(name) && string(t.append(nil)) == name
}

// str skips the string whose opening quote is next. Eight plain bytes are one step; after anything else the next eight
// are looked at one by one.
func (s *scanner) str() text {
	b, from := s.b, s.i+1
	var t text
	var high byte
	for i := from; i < len(b); {
		for i+8 <= len(b) && !special(binary.LittleEndian.Uint64(b[i:])) {
			i += 8
		}
		for stop := min(i+8, len(b)); i < stop; {
			switch c := b[i]; {
			case c == '"':
				t.raw, s.i = b[from:i:i], i+1
				if high >= utf8.RuneSelf && !utf8.Valid(t.raw) {
					s.fail()
				}
				return t
			case c == '\\':
				n := escapeLen(b[i:])
				if n == 0 {
					s.fail()
					return text{}
				}
				t.escaped = true
				i += n
			case c < ' ':
				s.fail()
				return text{}
			default:
				high |= c
				i++
			}
		}
	}
	s.fail()
	return text{}
}

const (
	quoteWord     = lowBits * '"'
	backslashWord = lowBits * '\\'
	spaceWord     = lowBits * ' '
)

// special reports whether a byte of w is a quote, a backslash, a control character or not ASCII.
func special(w uint64) bool {
	q, e := w^quoteWord, w^backslashWord
	return (w|(w-spaceWord)|(q-lowBits)|(e-lowBits))&highBits != 0
}

// escapeLen returns the length of the escape at the start of b, 0 if it is none.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if _, ok := hex4(b); ok {
			return 6
		}
	}
	return 0
}

// hex4 reads the number of an escape \uXXXX at the start of b.
func hex4(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range b[2:6] {
		if c >= 'a' && c <= 'f' {
			c -= 'a' - 'A'
		}
		v := hexValue(c)
		if v > 15 {
			return 0, false
		}
		r = r<<4 | rune(v)
	}
	return r, true
}

// append appends the string that t stands for. Half a surrogate pair becomes U+FFFD.
func (t text) append(dst []byte) []byte {
	if !t.escaped {
		return append(dst, t.raw...)
	}
	b := t.raw
	for i := 0; i < len(b); {
		if b[i] != '\\' {
			dst = append(dst, b[i])
			i++
			continue
		}
		if b[i+1] == 'u' {
			r, _ := hex4(b[i:])
			i += 6
			if utf16.IsSurrogate(r) {
				low, ok := hex4(b[i:])
				if r = utf16.DecodeRune(r, low); ok && r != utf8.RuneError {
					i += 6
				}
			}
			dst = utf8.AppendRune(dst, r)
			continue
		}
		dst = append(dst, unescaped(b[i+1]))
		i += 2
	}
	return dst
}

func unescaped(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

// string returns the string that t stands for.
func (t text) string() string {
	if !t.escaped {
		return string(t.raw)
	}
	return string(t.append(make([]byte, 0, len(t.raw))))
}

// AppendJSONString appends s as a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD, so the result
// is always valid, and it never holds CR or LF. Escapes are those of RFC 8785. It allocates only to grow dst.
func AppendJSONString[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			if n := runeLen(s, i); n > 0 {
				i += n
				continue
			}
		}
		dst = append(dst, s[from:i]...)
		dst = appendEscape(dst, c)
		i++
		from = i
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

// runeLen returns the length of the rune of more than one byte at s[i], 0 if there is none.
func runeLen[T string | []byte](s T, i int) int {
	var b [utf8.UTFMax]byte
	n := copy(b[:], s[i:])
	if r, size := utf8.DecodeRune(b[:n]); r != utf8.RuneError || size > 1 {
		return size
	}
	return 0
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	}
	if c >= utf8.RuneSelf {
		return append(dst, "\ufffd"...)
	}
	const digits = "0123456789abcdef"
	return append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
}
