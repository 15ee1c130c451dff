package post

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"mime"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"time"
)

// timeLayout is the form of the header `time`, which says no zone.
const timeLayout = "2006-01-02 15:04:05"

// fieldPrefix begins the headers of Fields.
const fieldPrefix = "field-"

// render returns the file of a mail: headers, an empty line, the body; all in ASCII, the texts percent-encoded.
//
//	time: 2026-11-21 22:50:07     in the zone of the office
//	type: 1
//	from: Ann
//	subj: GIFT_1
//	items: 3:17:1                 missing when empty, as the fields
//	key: 6442…
//	field-uid_sender: 7
//	date: Sat, 21 Nov 2026 22:50:07 +0000
//
//	Have%20fun
func render(m *Mail, zone *time.Location) []byte {
	b := make([]byte, 0, 256+len(m.Body)*3/2)
	header := func(name, value string) { b = append(append(append(append(b, name...), ": "...), value...), '\n') }
	header("time", m.Time.In(zone).Format(timeLayout))
	header("type", strconv.Itoa(int(m.Kind)))
	header("from", escape(m.From, "/"))
	header("subj", escape(m.Subject, "/"))
	if m.Items != "" {
		header("items", escape(m.Items, ":,"))
	}
	header("key", m.Key)
	for _, name := range slices.Sorted(maps.Keys(m.Fields)) {
		header(fieldPrefix+name, escape(m.Fields[name], "/"))
	}
	header("date", m.Time.UTC().Format(time.RFC1123Z))
	return append(append(b, '\n'), escape(m.Body, "/")...)
}

// parse reads a mail's file; id is the rowID of its name, which gives a mail of another program its key. Every file is a
// mail: what is missing or odd becomes empty.
func parse(content []byte, id string, zone *time.Location) Mail {
	headers, body := splitLetter(string(content))
	m := Mail{Key: headers["key"], Time: parseTime(headers, zone)}
	if !ValidKey(m.Key) {
		m.Key = foreignKey(id)
	}
	if kind, err := strconv.ParseUint(headers["type"], 10, 8); err == nil && Kind(kind) < kinds {
		m.Kind = Kind(kind)
	}
	subject, ours := headers["subj"]
	if !ours {
		m.From, m.Subject, m.Body = words(headers["from"]), words(headers["subject"]), clean(foreignBody(headers, body))
		return m
	}
	m.From, m.Subject, m.Items = unescape(headers["from"]), unescape(subject), unescape(headers["items"])
	m.Body = unescape(strings.TrimRight(body, "\r\n")) // line breaks of the body itself are escaped
	for name, value := range headers {
		if name, ok := strings.CutPrefix(name, fieldPrefix); ok && validField(name) && len(m.Fields) < MaxFields {
			if m.Fields == nil {
				m.Fields = make(map[string]string, 2)
			}
			m.Fields[name] = unescape(value)
		}
	}
	return m
}

// splitLetter cuts a file into headers, by their names in lower case, and body. Of two headers of one name the first
// counts; lines that begin with a blank go on with the header above. Text without headers is all body.
func splitLetter(text string) (headers map[string]string, body string) {
	headers = make(map[string]string, 8)
	last := ""
	for rest := text; rest != ""; {
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		line = strings.TrimSuffix(line, "\r")
		if line == "" {
			return headers, rest
		}
		if line[0] == ' ' || line[0] == '\t' {
			if last != "" {
				headers[last] += " " + strings.TrimSpace(line)
			}
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok && len(headers) == 0 {
			return headers, text
		}
		last = ""
		if name = strings.ToLower(strings.TrimSpace(name)); ok && headers[name] == "" {
			headers[name], last = strings.TrimSpace(value), name
		}
	}
	return headers, ""
}

// parseTime prefers the header that says its zone.
func parseTime(headers map[string]string, zone *time.Location) time.Time {
	if at, err := time.Parse(time.RFC1123Z, headers["date"]); err == nil {
		return at.UTC()
	}
	if at, err := mail.ParseDate(headers["date"]); err == nil {
		return at.UTC()
	}
	at, err := time.ParseInLocation(timeLayout, headers["time"], zone)
	if err != nil {
		return time.Unix(0, 0).UTC()
	}
	return at.UTC()
}

// foreignKey is the key of a mail that brought none: the same as long as its file lives.
func foreignKey(id string) string {
	sum := sha256.Sum256([]byte(id))
	return "f-" + hex.EncodeToString(sum[:16])
}

// words decodes a header of RFC 2047.
func words(s string) string {
	decoded, err := new(mime.WordDecoder).DecodeHeader(s)
	if err != nil {
		decoded = s
	}
	return clean(decoded)
}

// clean makes text of other programs valid: UTF-8 without NUL.
func clean(s string) string { return strings.ReplaceAll(strings.ToValidUTF8(s, "�"), "\x00", "") }
