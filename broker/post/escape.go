package post

import (
	"encoding/base64"
	"io"
	"mime/quotedprintable"
	"strings"
)

const hexDigits = "0123456789ABCDEF"

// unreserved are the bytes that stand for themselves everywhere.
var unreserved = func() (t [256]bool) {
	for c := range t {
		t[c] = alphanumeric(byte(c)) || strings.IndexByte("_.-~", byte(c)) >= 0
	}
	return t
}()

// escape percent-encodes all bytes but letters, digits, _ . - ~ and those of plain.
func escape(s, plain string) string {
	var b strings.Builder
	b.Grow(len(s) + len(s)/2)
	for i := 0; i < len(s); i++ {
		c := s[i]
		if unreserved[c] || strings.IndexByte(plain, c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', hexDigits[c>>4], hexDigits[c&15]})
	}
	return b.String()
}

// unescape undoes escape. A % that begins no escape stays as it is; what comes out is cleaned.
func unescape(s string) string {
	if !strings.Contains(s, "%") {
		return clean(s)
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			high, low := digit(s[i+1]), digit(s[i+2])
			if high >= 0 && low >= 0 {
				b.WriteByte(byte(high<<4 | low))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return clean(b.String())
}

// digit returns the value of a hex digit, -1 for another byte.
func digit(c byte) int {
	if c >= 'a' && c <= 'f' {
		c -= 'a' - 'A'
	}
	return strings.IndexByte(hexDigits, c)
}

// foreignBody decodes the body of a mail of another program. Parts of a multipart mail are shown as they are.
func foreignBody(headers map[string]string, body string) string {
	var r io.Reader
	switch strings.ToLower(headers["content-transfer-encoding"]) {
	case "quoted-printable":
		r = quotedprintable.NewReader(strings.NewReader(body))
	case "base64":
		r = base64.NewDecoder(base64.StdEncoding, strings.NewReader(body))
	default:
		return body
	}
	decoded, err := io.ReadAll(r)
	if err != nil {
		return body
	}
	return string(decoded)
}
