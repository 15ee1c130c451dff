package protocol

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseGateRequest(t *testing.T) {
	none := []byte("{}")
	for _, c := range []struct {
		name, in string
		want     GateRequest
		bad      bool
	}{
		{"all", `{"world":"0","function":"enter_world","data":{"token":"t.o.k","a":1}}`,
			GateRequest{"0", "enter_world", "t.o.k", []byte(`{"token":"t.o.k","a":1}`)}, false},
		{"function alone", `{"function":"login"}`, GateRequest{"", "login", "", none}, false},
		{"world as a number", `{"world":3,"function":"login","data":{}}`, GateRequest{"3", "login", "", none}, false},
		{"token is no string", `{"function":"f","data":{"token":5}}`, GateRequest{"", "f", "", []byte(`{"token":5}`)}, false},
		{"token deeper", `{"function":"f","data":{"a":{"token":"x"}}}`, GateRequest{"", "f", "", []byte(`{"a":{"token":"x"}}`)}, false},
		{"the last token counts", `{"function":"f","data":{"token":"x","tok\u0065n":"y"}}`,
			GateRequest{"", "f", "y", []byte(`{"token":"x","tok\u0065n":"y"}`)}, false},
		{"unknown member, escaped key", `{"f\u0075nction":"f","more":[1]}`, GateRequest{"", "f", "", none}, false},
		{"longest function", `{"function":"` + strings.Repeat("f", MaxFunction) + `"}`,
			GateRequest{"", strings.Repeat("f", MaxFunction), "", none}, false},
		{"function too long", `{"function":"` + strings.Repeat("f", MaxFunction+1) + `"}`, GateRequest{}, true},
		{"no function", `{"world":"0","data":{}}`, GateRequest{}, true},
		{"empty function", `{"function":""}`, GateRequest{}, true},
		{"function is a number", `{"function":1}`, GateRequest{}, true},
		{"function twice", `{"function":"a","function":"b"}`, GateRequest{}, true},
		{"world with a dot", `{"world":"a.b","function":"f"}`, GateRequest{}, true},
		{"world is null", `{"world":null,"function":"f"}`, GateRequest{}, true},
		{"world is negative", `{"world":-1,"function":"f"}`, GateRequest{}, true},
		{"world has an exponent", `{"world":1e5,"function":"f"}`, GateRequest{}, true},
		{"world is a fraction", `{"world":1.5,"function":"f"}`, GateRequest{}, true},
		{"world twice", `{"world":1,"world":1,"function":"f"}`, GateRequest{}, true},
		{"data is an array", `{"function":"f","data":[]}`, GateRequest{}, true},
		{"data is null", `{"function":"f","data":null}`, GateRequest{}, true},
		{"data twice", `{"function":"f","data":{},"data":{}}`, GateRequest{}, true},
		{"cut", `{"function":"f"`, GateRequest{}, true},
		{"cut in data", `{"function":"f","data":{"token":"x"`, GateRequest{}, true},
		{"array", `["f"]`, GateRequest{}, true},
		{"nothing", ``, GateRequest{}, true},
		{"text", `login`, GateRequest{}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ParseGateRequest([]byte(c.in))
			if (err == ErrBadGate) != c.bad {
				t.Fatalf("error %v", err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestGateResponse(t *testing.T) {
	line := AppendGateResponse(nil, StatusTimeout, "timed \"out\"\r\n", []byte("{\n}"))
	if want := `{"status":-2,"message":"timed \"out\"\r\n","data":{ }}` + "\r\n"; string(line) != want {
		t.Errorf("%s", line)
	}
	got, err := ParseGateResponse(line[:len(line)-2])
	if diff := cmp.Diff(GateResponse{StatusTimeout, "timed \"out\"\r\n", []byte("{ }")}, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if got, err := ParseGateResponse([]byte(`{"status":0}`)); err != nil || string(got.Data) != "null" {
		t.Errorf("status alone: %+v %v", got, err)
	}
	for _, in := range []string{"", "{}", "[]", `{"status":"0"}`, `{"status":0.5}`, `{"status":0,"message":5}`, `{"status":0,"data":}`,
		`{"status":0}x`} {
		if got, err := ParseGateResponse([]byte(in)); err != ErrBadGate {
			t.Errorf("%s: %+v %v", in, got, err)
		}
	}
	if got := string(AppendGateRequest(nil, "0", "login", nil)); got != `{"world":"0","function":"login","data":{}}`+"\r\n" {
		t.Errorf("%s", got)
	}
}

func TestJobs(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 2)
	if got := string(AppendJobLine(nil, id, []byte("{\r\n}"))); got != id+"~{  }\r\n" {
		t.Errorf("%q", got)
	}
	gotID, body, err := ParseJob(AppendJob(nil, id, []byte(`{"a":"~"}`)))
	if string(gotID) != id || string(body) != `{"a":"~"}` || err != nil {
		t.Errorf("%s %s %v", gotID, body, err)
	}
	for _, in := range []string{"", "~{}", id, id + "~", id + "{}", id[1:] + "~{}", id + "0~{}", strings.ToUpper(id) + "~{}",
		"g" + id[1:] + "~{}", id[:31] + "~~{}"} {
		if id, body, err := ParseJob([]byte(in)); err != ErrBadJob {
			t.Errorf("%q: %s %s %v", in, id, body, err)
		}
	}
}

func FuzzGate(f *testing.F) {
	f.Add([]byte(`{"world":"0","function":"login","data":{"token":"x","a":[1,2]}}`))
	f.Add([]byte(`{"status":-1,"message":"programming error","data":null}`))
	f.Add([]byte("0123456789abcdef0123456789abcdef~{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if req, err := ParseGateRequest(data); err == nil {
			line := AppendGateRequest(nil, req.World, req.Function, req.Data)
			text, n, err := CutText(line, len(line))
			if err != nil || n != len(line) {
				t.Fatalf("%q: %d of %d, %v", line, n, len(line), err)
			}
			again, err := ParseGateRequest(text)
			if req.World == "" { // a missing world cannot be written: the function tells nothing apart
				return
			}
			if err != nil || again.World != req.World || again.Function != req.Function || again.Token != req.Token {
				t.Fatalf("%+v comes back as %+v, %v", req, again, err)
			}
		}
		if res, err := ParseGateResponse(data); err == nil {
			line := AppendGateResponse(nil, res.Status, res.Message, res.Data)
			again, err := ParseGateResponse(line[:len(line)-2])
			if err != nil || again.Status != res.Status || again.Message != res.Message || !ValidJSON(again.Data) {
				t.Fatalf("%+v comes back as %+v, %v", res, again, err)
			}
		}
		if id, body, err := ParseJob(data); err == nil && !bytes.Equal(append(append(bytes.Clone(id), '~'), body...), data) {
			t.Fatalf("%q: %q %q", data, id, body)
		}
	})
}
