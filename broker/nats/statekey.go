package nats

import "strings"

// escaped are the bytes of a name that mean something in a subject, or in this encoding.
const escaped = ".*> %"

// token makes one token of a subject from a name that broker.ValidKey or broker.ValidSubject takes: the bytes that mean
// something there become %XX. Different names give different tokens, at most three times as long.
func token(name string) string {
	if !strings.ContainsAny(name, escaped) {
		return name
	}
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(name) {
		if c := name[i]; strings.IndexByte(escaped, c) >= 0 {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// untoken is the way back; false when token has not made the text.
func untoken(text string) (string, bool) {
	if strings.IndexByte(text, '%') < 0 {
		return text, text != "" && !strings.ContainsAny(text, escaped)
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '%' {
			b.WriteByte(text[i])
			continue
		}
		if i+2 >= len(text) {
			return "", false
		}
		hi, lo := nibble(text[i+1]), nibble(text[i+2])
		b.WriteByte(hi<<4 | lo&15)
		i += 2
	}
	name := b.String()
	return name, token(name) == text
}

// nibble is the value of a hexadecimal digit; of another byte it is anything.
func nibble(c byte) byte {
	if c >= 'A' {
		return c - 'A' + 10
	}
	return c - '0'
}
