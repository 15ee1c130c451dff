package protocol

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// Goal: ValidJSON is RFC 8259, no more and no less. Method: a table by section of the RFC; the fuzz test below compares
// with encoding/json on anything.
func TestValidJSON(t *testing.T) {
	for section, texts := range map[string][2][]string{
		"2 grammar and blanks": {
			{"1", " 1 ", "\t\r\n{}\n", "[ ]", "{ }", `{ "a" : [ 1 , 2 ] , "b" : { } }`},
			{"", " ", "1 2", "{}{}", "\v1", "\u00a01", "\ufeff1", "1,", "//x\n1", "\x00", "1\x00"}},
		"3 values": {
			{"null", "true", "false", `["a",null,true,false,0]`},
			{"nul", "nulll", "True", "tru", "f", "NaN", "Infinity", "-Infinity", "undefined", "'a'"}},
		"4 objects": {
			{`{"":0}`, `{"a":0,"a":1}`, `{"a":{"b":{}}}`},
			{"{", "}", `{"a"}`, `{"a":}`, `{"a":1,}`, `{,"a":1}`, `{,}`, `{a:1}`, `{1:1}`, `{"a":1 "b":2}`, `{"a" 1}`, `{"a"::1}`,
				`{"a":1]`, `{"a":1`, `{"a`, `{"a":1,,"b":2}`}},
		"5 arrays": {
			{"[]", "[1]", "[[],[[]]]"},
			{"[", "]", "[1,]", "[,1]", "[,]", "[1 2]", "[1}", "[1", "[1,", "[[]"}},
		"6 numbers": {
			{"0", "-0", "10", "1.5", "-1.25e+10", "1E5", "1e-5", "0.0", "0e0", "123456789012345678901234567890"},
			{"01", "-01", "+1", "-", "--1", ".5", "1.", "1.e5", "1e", "1e+", "0x10", "1_000", "1e5.5", "00", "-a"}},
		"7 strings": {
			{`""`, `"a"`, `"\"\\\/\b\f\n\r\t"`, `"\u00e9\uABCD\uabcd"`, `"grüß €😀"`, `"\ud83d\ude00"`, `"\ud800"`, "\"\x7f\"", `"\\"`,
				`"12345678\n12345678é12345678\""`},
			{`"`, `"a`, `"\"`, `"\x41"`, `"\u12"`, `"\u12g4"`, `"\U00e9"`, `"\'"`, "\"\n\"", "\"\x00\"", "\"\x1f\"", `"\`, `"\u`, `"a"b`,
				"\"\t\"", "\"12345678\x0112345678\""}},
		"8.1 UTF-8": {
			{"\"\u0080\u07ff\u0800\uffff\U00010000\U0010ffff\""},
			{"\"\xff\"", "\"\xc0\xaf\"", "\"\xed\xa0\x80\"", "\"\xe2\x82\"", "\"é12345678\x80\"", "{\"\xff\":1}", "\xff", "[\"12345678\xc3\"]"}},
		"9 depth": {
			{strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth), strings.Repeat(`{"a":`, MaxDepth) + "1" + strings.Repeat("}", MaxDepth)},
			{strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1), strings.Repeat(`{"a":`, MaxDepth+1) + "1" + strings.Repeat("}", MaxDepth+1),
				strings.Repeat("[", 1<<16), strings.Repeat(`{"a":`, 1<<14)}},
	} {
		for i, want := range []bool{true, false} {
			for _, s := range texts[i] {
				if got := ValidJSON([]byte(s)); got != want {
					t.Errorf("section %s: ValidJSON(%.60q) = %v", section, s, got)
				}
			}
		}
	}
}

func TestJSONStrings(t *testing.T) {
	for raw, want := range map[string]string{
		``:                     "",
		`plain`:                "plain",
		`\/chat\/public`:       "/chat/public",
		`a\"\\\b\f\n\r\tz`:     "a\"\\\b\f\n\r\tz",
		`\u0041\u00e9\u20AC`:   "Aé€",
		`\ud83d\ude00!`:        "😀!",
		`\ud83d`:               "\ufffd",
		`\ud83dx`:              "\ufffdx",
		`\ud83d\u0041`:         "\ufffdA",
		`\ude00\ud83d`:         "\ufffd\ufffd",
		`\ud83d\ud83d\ude00`:   "\ufffd😀",
		`€\u20ac`:              "€€",
		`12345678\n12345678\\`: "12345678\n12345678\\",
	} {
		s := scanner{b: []byte(`"` + raw + `"`)}
		got := s.str()
		if s.bad || !s.end() || got.string() != want || !got.equal(want) || got.equal(want+"x") {
			t.Errorf("%s: %q, want %q", raw, got.string(), want)
		}
	}
	for in, want := range map[string]string{
		"":                 `""`,
		"a\"\\/":           `"a\"\\/"`,
		"\r\n\t\x00\x1f":   `"\r\n\t\u0000\u001f"`,
		"grüß €😀\u2028":    "\"grüß €😀\u2028\"",
		"a\xffb":           "\"a\ufffdb\"",
		"\xe2\x82":         "\"\ufffd\ufffd\"",
		"\ufffd":           "\"\ufffd\"",
		"\xed\xa0\x80\x7f": "\"\ufffd\ufffd\ufffd\x7f\"",
	} {
		if got := string(AppendJSONString(nil, in)); got != want {
			t.Errorf("AppendJSONString(%q) = %s, want %s", in, got, want)
		}
		if got := string(AppendJSONString(nil, []byte(in))); got != want {
			t.Errorf("AppendJSONString([]byte %q) = %s, want %s", in, got, want)
		}
	}
}

// shallow reports whether s nests less than MaxDepth, counting brackets inside strings too: then encoding/json and we
// must agree.
func shallow(s []byte) bool {
	return strings.Count(string(s), "[")+strings.Count(string(s), "{") <= MaxDepth
}

func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"a":[1,-2.5e+3,true,null],"b":"\u00e9\n€"}`, `"\ud83d\ude00"`, `[[[]]]`, `{"a":1,}`, "\"\xff\"", "01"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got := ValidJSON(data)
		if want := json.Valid(data) && utf8.Valid(data); got != want && (got || shallow(data)) {
			t.Fatalf("ValidJSON(%q) = %v", data, got)
		}
		if got && len(data) > 0 && data[0] == '"' {
			s := scanner{b: data}
			var want string
			if err := json.Unmarshal(data, &want); err != nil {
				t.Fatal(err)
			}
			if str := s.str().string(); str != want {
				t.Fatalf("%s is %q, want %q", data, str, want)
			}
		}
		var back string
		quoted := AppendJSONString(nil, data)
		if err := json.Unmarshal(quoted, &back); err != nil || !ValidJSON(quoted) {
			t.Fatalf("AppendJSONString(%q) = %s: %v", data, quoted, err)
		}
		if want := strings.ToValidUTF8(string(data), "\ufffd"); utf8.Valid(data) && back != want {
			t.Fatalf("%q comes back as %q", data, back)
		}
	})
}
