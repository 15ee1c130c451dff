package chain

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"unicode/utf16"

	"gosper/protocol"
)

// Canonical appends the canonical form of a JSON text, as RFC 8785 has it: no blanks, members sorted by their names' UTF-16
// code units, numbers as ECMAScript writes them, as few escapes as possible. The error says why b is no JSON text.
func Canonical(dst, b []byte) ([]byte, error) {
	value, err := decode(b)
	if err != nil {
		return dst, err
	}
	return appendCanonical(dst, value)
}

// decode reads a JSON text strictly; its numbers stay as they are written.
func decode(b []byte) (value any, err error) {
	if !protocol.ValidJSON(b) {
		return nil, errors.New("not one valid JSON text (a comma before a closing bracket is not allowed)")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	err = d.Decode(&value)
	return value, err
}

func appendCanonical(dst []byte, value any) ([]byte, error) {
	var err error
	switch v := value.(type) {
	case nil:
		return append(dst, "null"...), nil
	case bool:
		if v {
			return append(dst, "true"...), nil
		}
		return append(dst, "false"...), nil
	case string:
		return protocol.AppendJSONString(dst, v), nil
	case json.Number:
		return appendNumber(dst, v)
	case []any:
		dst = append(dst, '[')
		for i, e := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = appendCanonical(dst, e); err != nil {
				return dst, err
			}
		}
		return append(dst, ']'), nil
	case map[string]any:
		dst = append(dst, '{')
		for i, name := range slices.SortedFunc(maps.Keys(v), compareUTF16) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(protocol.AppendJSONString(dst, name), ':')
			if dst, err = appendCanonical(dst, v[name]); err != nil {
				return dst, err
			}
		}
		return append(dst, '}'), nil
	}
	return dst, errors.New("not a JSON value")
}

// appendNumber writes a number as ECMAScript does, which is how encoding/json writes a float64.
func appendNumber(dst []byte, n json.Number) ([]byte, error) {
	f, err := n.Float64()
	if err != nil {
		return dst, errors.New("the number " + n.String() + " is too large")
	}
	if f == 0 {
		f = 0 // minus zero is written 0
	}
	b, err := json.Marshal(f)
	return append(dst, b...), err
}

// compareUTF16 orders names by their UTF-16 code units.
func compareUTF16(a, b string) int {
	return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
}

// HashOf returns the hash of a work message: the MD5, in lower-case hex, of the canonical form of its items. It finds
// errors of transport and tells messages apart; it proves nothing about who wrote them.
func HashOf(items []byte) (string, error) {
	canonical, err := Canonical(nil, items)
	if err != nil {
		return "", err
	}
	sum := md5.Sum(canonical)
	return hex.EncodeToString(sum[:]), nil
}
