package protocol

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestParsePush(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     Push
		err      error
	}{
		{"chat", `{"route":"/chat/public","content":{"name":"a","text":"b","time":1}}`,
			Push{RouteChatPublic, []byte(`{"name":"a","text":"b","time":1}`)}, nil},
		{"of another service", ` { "user_id":5, "content" : {"a":[1]} , "route" : "\/building\/upgraded" } `,
			Push{"/building/upgraded", []byte(`{"a":[1]}`)}, nil},
		{"no content", `{"route":"/x"}`, Push{"/x", []byte("{}")}, nil},
		{"longest route", `{"route":"` + strings.Repeat("r", MaxRoute) + `"}`, Push{strings.Repeat("r", MaxRoute), []byte("{}")}, nil},
		{"route too long", `{"route":"` + strings.Repeat("r", MaxRoute+1) + `"}`, Push{}, ErrBadPush},
		{"no route", `{"content":{}}`, Push{}, ErrBadPush},
		{"empty route", `{"route":"","content":{}}`, Push{}, ErrBadPush},
		{"route is a number", `{"route":1}`, Push{}, ErrBadPush},
		{"content is an array", `{"route":"/x","content":[]}`, Push{}, ErrBadPush},
		{"content is null", `{"route":"/x","content":null}`, Push{}, ErrBadPush},
		{"LF as a blank", "{\"route\":\"/x\",\n\"content\":{}}", Push{}, ErrBadPush},
		{"CR as a blank", "{\"route\":\"/x\",\"content\":{}}\r", Push{}, ErrBadPush},
		{"not UTF-8", "{\"route\":\"/x\",\"content\":{\"a\":\"\xff\"}}", Push{}, ErrBadPush},
		{"cut", `{"route":"/x","content":{}`, Push{}, ErrBadPush},
		{"a command", "0000PUBLICa:b\r\n", Push{}, ErrBadPush},
		{"nothing", "", Push{}, ErrBadPush},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ParsePush([]byte(c.in))
			if err != c.err {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAppendPush(t *testing.T) {
	chat := AppendChatPush(nil, true, "a\"b", "x\r\ny", 12)
	if want := `{"route":"/chat/family","content":{"name":"a\"b","text":"x\r\ny","time":12}}`; string(chat) != want {
		t.Errorf("got %s", chat)
	}
	for in, want := range map[string]string{
		"":            `{"route":"/x","content":{}}`,
		"{\n\"a\":1}": `{"route":"/x","content":{ "a":1}}`,
	} {
		if got := string(AppendPush(nil, "/x", []byte(in))); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	p := Push{"/x", []byte(`{"a":1}`)}
	want := `{"room":"main","route":"/x","status":0,"message":"OK","position":{"subject":"user.1","epoch":3,"offset":4},"content":{"a":1}}`
	if got := string(AppendPushEnvelope(nil, p, "user.1", 3, 4)); got != want {
		t.Errorf("got %s", got)
	}
}

// Goal: chat becomes a chat line whenever it can, and everything else an envelope, without losing a byte.
func TestAppendPushLine(t *testing.T) {
	for _, c := range []struct{ name, push, want string }{
		{"public", string(AppendChatPush(nil, false, "Anna", "hi: 100%", 1)), "0000PUBLICAnna:hi: 100%\r\n"},
		{"family", string(AppendChatPush(nil, true, "Anna", "grüß €😀", 1)), "0000FAMILYAnna:grüß €😀\r\n"},
		{"odd name", string(AppendChatPush(nil, false, "a:b%c\n\x7fé", "t", 1)), "0000PUBLICa%3Ab%25c%0A%7Fé:t\r\n"},
		{"escapes in JSON", `{"route":"/chat/public","content":{"text":"\u0041\"\t","name":"\u003a"}}`, "0000PUBLIC%3A:A\"\t\r\n"},
		{"empty", string(AppendChatPush(nil, false, "", "", 1)), "0000PUBLIC:\r\n"},
		{"text with LF", string(AppendChatPush(nil, false, "a", "x\n0000PUBLICb:y", 1)),
			`000000PUSH{"room":"main","route":"/chat/public","status":0,"message":"OK","content":{"name":"a","text":"x\n0000PUBLICb:y","time":1}}` + "\r\n"},
		{"text with CR", string(AppendChatPush(nil, true, "a", "x\ry", 1)),
			`000000PUSH{"room":"main","route":"/chat/family","status":0,"message":"OK","content":{"name":"a","text":"x\ry","time":1}}` + "\r\n"},
		{"chat without text", `{"route":"/chat/public","content":{"name":"a"}}`,
			`000000PUSH{"room":"main","route":"/chat/public","status":0,"message":"OK","content":{"name":"a"}}` + "\r\n"},
		{"chat whose name is a number", `{"route":"/chat/public","content":{"name":1,"text":"a"}}`,
			`000000PUSH{"room":"main","route":"/chat/public","status":0,"message":"OK","content":{"name":1,"text":"a"}}` + "\r\n"},
		{"other", `{"route":"/building/upgraded","content":{"body_id":3}}`,
			`000000PUSH{"room":"main","route":"/building/upgraded","status":0,"message":"OK","content":{"body_id":3}}` + "\r\n"},
	} {
		p, err := ParsePush([]byte(c.push))
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := string(AppendPushLine([]byte("before"), p)); got != "before"+c.want {
			t.Errorf("%s:\n got %q\nwant %q", c.name, got, "before"+c.want)
		}
	}
}

func TestParseChat(t *testing.T) {
	got, err := ParseChat([]byte(`{"text":"b\n","name":"a","time":-5,"more":{}}`))
	if want := (Chat{"a", "b\n", -5}); got != want || err != nil {
		t.Errorf("%+v %v", got, err)
	}
	for _, in := range []string{"", "[]", "{}", `{"name":"a"}`, `{"text":"a"}`, `{"name":"a","text":5}`, `{"name":"a","text":"b","time":"x"}`,
		`{"name":"a","text":"b"`, `{"name":"a","text":"b","time":1.5}`} {
		if got, err := ParseChat([]byte(in)); err != ErrBadPush {
			t.Errorf("%s: %+v %v", in, got, err)
		}
	}
}

func TestParseChatLine(t *testing.T) {
	for _, c := range []struct {
		in, name, said string
		err            error
	}{
		{"Anna:hi:you", "Anna", "hi:you", nil},
		{":", "", "", nil},
		{"a%3Ab%25:x%3A", "a:b%", "x%3A", nil},
		{"nobody", "", "", ErrBadLine},
		{"", "", "", ErrBadLine},
		{"a%3:x", "", "", ErrBadLine},
		{"a%zz:x", "", "", ErrBadLine},
		{"%FF:x", "", "", ErrBadLine},
	} {
		name, said, err := ParseChatLine([]byte(c.in))
		if name != c.name || string(said) != c.said || err != c.err {
			t.Errorf("%q: %q %q %v", c.in, name, said, err)
		}
	}
}

// Goal: whatever a player is called and says, exactly that comes out of both doors, and never a second frame.
func FuzzChat(f *testing.F) {
	f.Add("Anna", "hi", false)
	f.Add("a:b%3A", "x\r\n0000PUBLICevil:y", true)
	f.Add("\xff", "\x00\u2028\"\\", false)
	f.Fuzz(func(t *testing.T, name, said string, family bool) {
		data := AppendChatPush(nil, family, name, said, 7)
		if !bytes.Equal(data, AppendChatPush(nil, family, name, []byte(said), 7)) {
			t.Fatal("text as string and as bytes differ")
		}
		p, err := ParsePush(data)
		if err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		wantName, wantSaid := validUTF8(name), validUTF8(said)
		e, err := ParseEnvelope(AppendPushEnvelope(nil, p, name, 1, 2))
		if err != nil || e.Position != (Position{wantName, 1, 2}) {
			t.Fatalf("%+v %v", e, err)
		}
		chat, err := ParseChat(e.Content)
		if want := (Chat{wantName, wantSaid, 7}); chat != want || err != nil {
			t.Fatalf("envelope: %+v %v, want %+v", chat, err, want)
		}
		line := AppendPushLine(nil, p)
		cmd, payload, n, err := CutLine(line, len(line))
		if err != nil || n != len(line) {
			t.Fatalf("%q: cut %d of %d, %v", line, n, len(line), err)
		}
		if cmd == CmdPush {
			if e, err = ParseEnvelope(payload); err == nil {
				chat, err = ParseChat(e.Content)
			}
		} else {
			var text []byte
			chat.Name, text, err = ParseChatLine(payload)
			chat.Text = string(text)
		}
		if err != nil || chat.Name != wantName || chat.Text != wantSaid || (cmd == CmdPush) != strings.ContainsAny(said, "\r\n") {
			t.Fatalf("line %q: %+v %v", line, chat, err)
		}
	})
}

// validUTF8 replaces every byte that is not UTF-8 by U+FFFD, as encoding/json does.
func validUTF8(s string) string {
	var b strings.Builder
	for _, r := range s {
		b.WriteRune(r)
	}
	return b.String()
}

func FuzzParsePush(f *testing.F) {
	f.Add([]byte(`{"route":"/chat/public","content":{"name":"a:","text":"b","time":1}}`))
	f.Add([]byte(`{"route":"\/x","content":{"a":1},"b":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParsePush(data)
		if err != nil {
			return
		}
		if !ValidJSON(data) || !ValidJSON(p.Content) || !utf8.ValidString(p.Route) {
			t.Fatalf("%q passed as %+v", data, p)
		}
		again, err := ParsePush(AppendPush(nil, p.Route, p.Content))
		if err != nil || again.Route != p.Route || !bytes.Equal(again.Content, p.Content) {
			t.Fatalf("%+v comes back as %+v, %v", p, again, err)
		}
		line := AppendPushLine(nil, p)
		if _, _, n, err := CutLine(line, len(line)); n != len(line) || err != nil {
			t.Fatalf("%q: cut %d of %d, %v", line, n, len(line), err)
		}
		if envelope := AppendPushEnvelope(nil, p, "s", 1, 1); !json.Valid(envelope) {
			t.Fatalf("%s", envelope)
		}
	})
}
