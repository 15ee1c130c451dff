package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// rawID makes the MsgID that stands as s on the wire.
func rawID(t testing.TB, s string) MsgID {
	t.Helper()
	id, ok := parseMsgID([]byte(s))
	if !ok {
		t.Fatalf("%s is no msgId", s)
	}
	return id
}

func (id MsgID) Equal(other MsgID) bool { return id == other } // for cmp

// Goal: every member in every spelling, and every fault with what could be read beside it. Method: a table.
func TestParseRequest(t *testing.T) {
	long := strings.Repeat("r", MaxRoute)
	for _, c := range []struct {
		name, in string
		want     Request
		err      error
	}{
		{"all members", `{"route":"/user/register","msgId":123,"clientCode":"cc","content":{"a":1}}`,
			Request{"/user/register", rawID(t, "123"), "cc", []byte(`{"a":1}`)}, nil},
		{"route alone", `{"route":"/x"}`, Request{Route: "/x"}, nil},
		{"blanks", " {\n\"route\" : \"/x\" ,\t\"content\" : { \"a\" : [ ] } } ", Request{"/x", MsgID{}, "", []byte(`{ "a" : [ ] }`)}, nil},
		{"any order", `{"content":{},"clientCode":"c","msgId":1,"route":"/x"}`, Request{"/x", rawID(t, "1"), "c", []byte("{}")}, nil},
		{"snake case", `{"route":"/x","msg_id":7,"client_code":"c"}`, Request{Route: "/x", MsgID: rawID(t, "7"), ClientCode: "c"}, nil},
		{"snake case in the content", `{"route":"/x","content":{"msg_id":"7","client_code":"c","a":1}}`,
			Request{"/x", rawID(t, `"7"`), "c", []byte(`{"msg_id":"7","client_code":"c","a":1}`)}, nil},
		{"envelope before content", `{"route":"/x","content":{"msg_id":7,"client_code":"in"},"msgId":8,"clientCode":"out"}`,
			Request{"/x", rawID(t, "8"), "out", []byte(`{"msg_id":7,"client_code":"in"}`)}, nil},
		{"odd values in the content", `{"route":"/x","content":{"msg_id":1.5,"client_code":7}}`,
			Request{"/x", MsgID{}, "", []byte(`{"msg_id":1.5,"client_code":7}`)}, nil},
		{"numeric string", `{"route":"/x","msgId":"0123"}`, Request{Route: "/x", MsgID: rawID(t, `"0123"`)}, nil},
		{"zero and negative", `{"route":"/x","msgId":-0}`, Request{Route: "/x", MsgID: rawID(t, `-0`)}, nil},
		{"nulls", `{"route":"/x","msgId":null,"clientCode":null,"content":null}`, Request{Route: "/x"}, nil},
		{"unknown members", `{"route":"/x","room":"main","status":0,"more":{"route":"/y"}}`, Request{Route: "/x"}, nil},
		{"escapes", `{"r\u006fute":"\/chat\/public","client\u0043ode":"\u00e9"}`, Request{Route: "/chat/public", ClientCode: "é"}, nil},
		{"longest route", `{"route":"` + long + `"}`, Request{Route: long}, nil},

		{"route over the limit", `{"route":"` + long + `r","msgId":1}`, Request{MsgID: rawID(t, "1")}, ErrBadRoute},
		{"no route", `{"msgId":1}`, Request{MsgID: rawID(t, "1")}, ErrBadRoute},
		{"empty route", `{"route":"","msgId":1}`, Request{MsgID: rawID(t, "1")}, ErrBadRoute},
		{"route is a number", `{"route":1,"msgId":1}`, Request{MsgID: rawID(t, "1")}, ErrBadRoute},
		{"route is null", `{"route":null,"msgId":1}`, Request{MsgID: rawID(t, "1")}, ErrBadRoute},
		{"empty object", `{}`, Request{}, ErrBadRoute},
		{"msgId fraction", `{"route":"/x","msgId":1.5}`, Request{Route: "/x"}, ErrBadMsgID},
		{"msgId exponent", `{"route":"/x","msgId":1e3}`, Request{Route: "/x"}, ErrBadMsgID},
		{"msgId text", `{"route":"/x","msgId":"abc"}`, Request{Route: "/x"}, ErrBadMsgID},
		{"msgId empty text", `{"route":"/x","msgId":""}`, Request{Route: "/x"}, ErrBadMsgID},
		{"msgId object", `{"route":"/x","msgId":{}}`, Request{Route: "/x"}, ErrBadMsgID},
		{"msgId true", `{"route":"/x","msgId":true}`, Request{Route: "/x"}, ErrBadMsgID},
		{"msgId above 64 bits", `{"route":"/x","msgId":9223372036854775808}`, Request{Route: "/x"}, ErrBadMsgID},
		{"clientCode number", `{"route":"/x","msgId":1,"clientCode":5}`, Request{Route: "/x", MsgID: rawID(t, "1")}, ErrBadClientCode},
		{"clientCode too long", `{"route":"/x","clientCode":"` + strings.Repeat("c", MaxClientCode+1) + `"}`, Request{Route: "/x"}, ErrBadClientCode},
		{"content array", `{"route":"/x","msgId":1,"content":[]}`, Request{Route: "/x", MsgID: rawID(t, "1")}, ErrBadContent},
		{"content text", `{"content":"{}","route":"/x","msgId":1}`, Request{Route: "/x", MsgID: rawID(t, "1")}, ErrBadContent},
		{"route twice", `{"route":"/x","route":"/y","msgId":1}`, Request{Route: "/y", MsgID: rawID(t, "1")}, ErrTwice},
		{"route twice by escape", `{"route":"/x","\u0072oute":"/y"}`, Request{Route: "/y"}, ErrTwice},
		{"msgId twice", `{"route":"/x","msgId":1,"msg_id":1}`, Request{Route: "/x", MsgID: rawID(t, "1")}, ErrTwice},
		{"clientCode twice", `{"route":"/x","clientCode":"a","client_code":"a"}`, Request{Route: "/x", ClientCode: "a"}, ErrTwice},
		{"content twice", `{"route":"/x","content":{},"content":null}`, Request{Route: "/x"}, ErrTwice},

		{"array", `[]`, Request{}, ErrBadJSON},
		{"text", `"a"`, Request{}, ErrBadJSON},
		{"nothing", ``, Request{}, ErrBadJSON},
		{"cut", `{"route":"/x"`, Request{}, ErrBadJSON},
		{"two objects", `{"route":"/x"}{}`, Request{}, ErrBadJSON},
		{"bad JSON behind a good route", `{"route":"/x","content":{"a":01}}`, Request{}, ErrBadJSON},
		{"not UTF-8", "{\"route\":\"/x\xff\"}", Request{}, ErrBadJSON},
		{"not UTF-8 in content", "{\"route\":\"/x\",\"content\":{\"a\":\"\xff\"}}", Request{}, ErrBadJSON},
		{"as deep as may be", `{"route":"/x","content":` + nest(MaxDepth-1) + `}`, Request{"/x", MsgID{}, "", []byte(nest(MaxDepth - 1))}, nil},
		{"too deep", `{"route":"/x","content":` + nest(MaxDepth) + `}`, Request{}, ErrBadJSON},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ParseRequest([]byte(c.in))
			if err != c.err {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			if c.want.Content == nil && err != ErrBadJSON {
				c.want.Content = emptyObject
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if _, err := ParseRequest([]byte(c.in + "x")); err != ErrBadJSON {
				t.Errorf("with a byte behind it: %v", err)
			}
		})
	}
}

// nest returns an object nested n deep.
func nest(n int) string {
	return strings.Repeat(`{"a":`, n-1) + "{}" + strings.Repeat("}", n-1)
}

// Goal: no cut of a request is taken for a request. Method: every proper prefix.
func TestParseRequestPrefixes(t *testing.T) {
	in := `{"route":"/user/register","msgId":"12","clientCode":"c\u00e9","content":{"a":[1,{"b":null}],"msg_id":-3.5e+7}}`
	for i := range in {
		if req, err := ParseRequest([]byte(in[:i])); err != ErrBadJSON {
			t.Fatalf("%s: %v %v", in[:i], req, err)
		}
	}
}

func TestMsgID(t *testing.T) {
	var none MsgID
	if _, ok := none.Int(); ok || none.Present() || none.String() != "" {
		t.Error("the zero value is an id")
	}
	for raw, want := range map[string]int64{"0": 0, "-1": -1, `"12"`: 12, `"007"`: 7, "9223372036854775807": 1<<63 - 1,
		`"-9223372036854775808"`: -1 << 63} {
		id := rawID(t, raw)
		if v, ok := id.Int(); v != want || !ok || !id.Present() || id.String() != raw {
			t.Errorf("%s: %d %v %s", raw, v, ok, id)
		}
	}
	for _, v := range []int64{0, 1, -1, 1<<63 - 1, -1 << 63} {
		if got, ok := NewMsgID(v).Int(); got != v || !ok {
			t.Errorf("%d comes back as %d", v, got)
		}
	}
	for _, raw := range []string{"-9223372036854775809", "18446744073709551616", "99999999999999999999999", `"-"`, "-", `""`,
		`"1 "`, `"+1"`, `"1.0"`, `"\u0031"`, "true", "[]"} {
		if id, ok := parseMsgID([]byte(raw)); ok {
			t.Errorf("%s became %v", raw, id)
		}
	}
}

func TestAppendReply(t *testing.T) {
	for _, c := range []struct{ name, got, want string }{
		{"reply", string(AppendReply(nil, "/x", NewMsgID(1), StatusOK, "", []byte(`{"a":1}`))),
			`{"room":"main","route":"/x","msgId":1,"status":0,"message":"OK","content":{"a":1}}`},
		{"welcome", string(AppendReply(nil, RouteWelcome, MsgID{}, StatusOK, "", nil)),
			`{"room":"main","route":"/welcome","status":0,"message":"OK","content":{}}`},
		{"text id", string(AppendReply(nil, "/x", rawID(t, `"01"`), StatusOK, "fine", nil)),
			`{"room":"main","route":"/x","msgId":"01","status":0,"message":"fine","content":{}}`},
		{"escapes", string(AppendReply(nil, "/\"\n", MsgID{}, StatusInvalid, "a\r\n\"b\"", nil)),
			`{"room":"main","route":"/\"\n","status":1001,"message":"a\r\n\"b\"","content":{}}`},
		{"error", string(AppendError(nil, "/x", NewMsgID(0), StatusInvalid, "bad name", []byte(`"name"`))),
			`{"room":"main","route":"/x","msgId":0,"status":1001,"message":"bad name","content":{"data":"name"}}`},
		{"error without words", string(AppendError(nil, "", MsgID{}, StatusUnknown, "", nil)),
			`{"room":"main","route":"","status":1000,"message":"unknown","content":{"data":null}}`},
		{"content of lines", string(AppendReply(nil, "/x", MsgID{}, StatusOK, "", []byte("{\r\n\"a\":\n1}"))),
			`{"room":"main","route":"/x","status":0,"message":"OK","content":{  "a": 1}}`},
		{"data of lines", string(AppendError(nil, "/x", MsgID{}, StatusBusy, "", []byte("[\n]"))),
			`{"room":"main","route":"/x","status":1300,"message":"busy","content":{"data":[ ]}}`},
		{"reply line", string(AppendReplyLine(nil, "/x", MsgID{}, StatusOK, "", []byte("{\n}"))),
			"00000REPLY" + `{"room":"main","route":"/x","status":0,"message":"OK","content":{ }}` + "\r\n"},
		{"request", string(AppendRequest(nil, "/x", NewMsgID(5), "c", []byte(`{"a":1}`))),
			`{"route":"/x","msgId":5,"clientCode":"c","content":{"a":1}}`},
		{"call line", string(AppendCallLine(nil, "/x", MsgID{}, "", nil)), `000000CALL{"route":"/x","content":{}}` + "\r\n"},
	} {
		if c.got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, c.got, c.want)
		}
	}
}

// Goal: what a server writes a client reads. Method: encoded replies and pushes through ParseEnvelope.
func TestParseEnvelope(t *testing.T) {
	push := Push{RouteChatPublic, []byte(`{"name":"a","text":"b","time":3}`)}
	for _, c := range []struct {
		name string
		in   []byte
		want Envelope
		err  error
	}{
		{"reply", AppendReply(nil, "/x", NewMsgID(1), StatusInvalid, "no", []byte(`{"a":1}`)),
			Envelope{Room, "/x", NewMsgID(1), StatusInvalid, "no", []byte(`{"a":1}`), Position{}}, nil},
		{"push", AppendPushEnvelope(nil, push, "chat.0.public", 9, 4),
			Envelope{Room, RouteChatPublic, MsgID{}, StatusOK, "OK", push.Content, Position{"chat.0.public", 9, 4}}, nil},
		{"push without history", AppendPushEnvelope(nil, push, "chat.0.public", 9, 0),
			Envelope{Room, RouteChatPublic, MsgID{}, StatusOK, "OK", push.Content, Position{}}, nil},
		{"broadcast of few members", []byte(`{"room":"r","route":"/x","content":[1]}`), Envelope{Room: "r", Route: "/x", Content: []byte("[1]")}, nil},
		{"null position", []byte(`{"position":null}`), Envelope{}, nil},
		{"bad status", []byte(`{"status":1.5}`), Envelope{}, ErrBadContent},
		{"bad position", []byte(`{"position":{"epoch":-1}}`), Envelope{}, ErrBadContent},
		{"position is text", []byte(`{"position":"a"}`), Envelope{}, ErrBadContent},
		{"bad route", []byte(`{"route":5}`), Envelope{}, ErrBadRoute},
		{"bad msgId", []byte(`{"msgId":[]}`), Envelope{}, ErrBadMsgID},
		{"bad message", []byte(`{"message":5}`), Envelope{Message: ""}, ErrBadContent},
		{"no JSON", []byte(`{"route":"/x"`), Envelope{}, ErrBadJSON},
		{"no object", []byte(`[]`), Envelope{}, ErrBadJSON},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ParseEnvelope(c.in)
			if err != c.err {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			if c.want.Content == nil && err != ErrBadJSON {
				c.want.Content = emptyObject
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Goal: routes that are kept as constants come out as themselves. Method: each through a request.
func TestRoutes(t *testing.T) {
	for _, route := range []string{RouteWelcome, RouteRegister, RouteResume, RouteChatPublic, RouteChatFamily, "/other", "/chat/publi"} {
		for _, id := range []MsgID{{}, NewMsgID(1)} {
			if req, err := ParseRequest(AppendRequest(nil, route, id, "", nil)); req.Route != route || req.MsgID != id || err != nil {
				t.Errorf("%s: %+v %v", route, req, err)
			}
		}
	}
}

func TestResumeTypes(t *testing.T) {
	for want, v := range map[string]any{
		`{"token":"t","positions":[{"subject":"a","epoch":1,"offset":2}]}`: ResumeRequest{"t", []Position{{"a", 1, 2}}},
		`{"token":"t"}`: ResumeRequest{Token: "t"},
		`{"subject":"a","epoch":1,"offset":2,"recovered":true}`: Resumed{Position{"a", 1, 2}, true},
	} {
		if got, err := json.Marshal(v); string(got) != want || err != nil {
			t.Errorf("%s %v, want %s", got, err, want)
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	for _, s := range []string{`{"route":"/x","msgId":"12","clientCode":"c\u00e9","content":{"a":[1,{"b":null}],"msg_id":-3}}`,
		`{"route":"/x","route":1}`, `{"route":"/x","content":{"more than a float holds":1e999}}`, `{"\u0072oute":"\/chat\/public","content":{"client_code":"c"}}`, `[]`, `{"msg_id":1.5,"route":""}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		req, err := ParseRequest(data)
		if valid := ValidJSON(data) && bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")); valid != (err != ErrBadJSON) {
			t.Fatalf("%q: %v", data, err)
		}
		if err != nil {
			return
		}
		if len(req.Route) == 0 || len(req.Route) > MaxRoute || !utf8.ValidString(req.Route) || !ValidJSON(req.Content) || req.Content[0] != '{' {
			t.Fatalf("%q: %+v", data, req)
		}
		var members map[string]json.RawMessage
		var route string
		if err := errors.Join(json.Unmarshal(data, &members), json.Unmarshal(members["route"], &route)); err != nil || route != req.Route {
			t.Fatalf("%q: route %q, encoding/json has %s, %v", data, req.Route, members["route"], err)
		}
		line := AppendCallLine(nil, req.Route, req.MsgID, req.ClientCode, req.Content)
		cmd, payload, n, err := CutLine(line, len(line))
		if cmd != CmdCall || n != len(line) || err != nil {
			t.Fatalf("%q: %v %d %v", line, cmd, n, err)
		}
		again, err := ParseRequest(payload)
		again.Content = req.Content
		if err != nil || !cmp.Equal(again, req) {
			t.Fatalf("%q comes back as %+v %v", data, again, err)
		}
	})
}

func FuzzParseEnvelope(f *testing.F) {
	f.Add([]byte(`{"room":"main","route":"/x","msgId":1,"status":0,"message":"OK","content":{"a":1},"position":{"subject":"s","epoch":1,"offset":2}}`))
	f.Add([]byte(`{"status":1.5,"position":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := ParseEnvelope(data)
		if err != nil {
			return
		}
		back, err := ParseEnvelope(AppendReply(nil, e.Route, e.MsgID, e.Status, e.Message, e.Content))
		if err != nil || back.Route != e.Route || back.MsgID != e.MsgID || back.Status != e.Status || e.Message != "" && back.Message != e.Message {
			t.Fatalf("%q: %+v, back %+v, %v", data, e, back, err)
		}
	})
}

// Goal: a position is one more member, and the result is JSON. Method: objects of each size, and texts that are none.
func TestAppendPlaced(t *testing.T) {
	const position = `"position":{"subject":"events","epoch":3,"offset":9}`
	for in, want := range map[string]string{
		`{"a":1}`:      `{"a":1,` + position + `}`,
		"{\"a\":1 }\n": `{"a":1,` + position + `}`,
		`{}`:           `{` + position + `}`,
		`{ }`:          `{` + position + `}`,
		`[1]`:          `[1]`,
		`"x"`:          `"x"`,
	} {
		got := AppendPlaced(nil, []byte(in), "events", 3, 9)
		if string(got) != want || !ValidJSON(got) {
			t.Errorf("AppendPlaced(%s) = %s, want %s", in, got, want)
		}
	}
}
