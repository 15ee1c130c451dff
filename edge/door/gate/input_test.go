package gate

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"gosper/edge"
	"gosper/protocol"
)

// answer is the line of a gate.
func answer(status protocol.Status, message string) string {
	return string(protocol.AppendGateResponse(nil, status, message, nil))
}

// sized pads a request with blanks to a length.
func sized(line string, n int) string {
	return line[:len(line)-3] + strings.Repeat(" ", n-len(line)) + "}\r\n"
}

// Goal: whatever a client sends gets one line that says what is wrong, then the end. Method: a table of bytes.
func TestBadInput(t *testing.T) {
	r := newRig(t, nil)
	most := edge.DefaultLimits().GateBytes
	malformed, long := answer(protocol.StatusProgramming, messageMalformed), answer(protocol.StatusProgramming, messageTooLong)
	unknown := answer(protocol.StatusUnknownFunction, messageUnknown)
	for name, test := range map[string]struct{ send, want string }{
		"nothing on the line":      {"\r\n", malformed},
		"no JSON":                  {"hello\r\n", malformed},
		"cut JSON":                 {`{"world":"0","function":"login"` + "\r\n", malformed},
		"an array":                 {"[]\r\n", malformed},
		"no function":              {`{"world":"0","data":{}}` + "\r\n", malformed},
		"a function of null":       {`{"world":"0","function":null,"data":{}}` + "\r\n", malformed},
		"data is a text":           {`{"world":"0","function":"login","data":"x"}` + "\r\n", malformed},
		"world is a path":          {`{"world":"../0","function":"login","data":{}}` + "\r\n", malformed},
		"function twice":           {`{"function":"login","function":"login","data":{}}` + "\r\n", malformed},
		"NUL":                      {"{\"function\":\"lo\x00gin\"}\r\n", malformed},
		"no UTF-8":                 {"{\"function\":\"lo\xffgin\"}\r\n", malformed},
		"two lines":                {request("no_such", "{}") + request("no_such", "{}"), unknown},
		"unknown function":         {request("no_such", "{}"), unknown},
		"unknown route":            {request("/no/such", "{}"), unknown},
		"JSON on two lines":        {"{\"function\":\n\"no_such\"}\r\n", unknown},
		"as long as allowed":       {sized(request("no_such", "{}"), most), unknown},
		"one byte longer":          {sized(request("no_such", "{}"), most+1), long},
		"64 KiB without an end":    {strings.Repeat("x", most), long},
		"much without an end":      {strings.Repeat("x", 3*most), long},
		"no token":                 {request("enter_world", "{}"), answer(protocol.StatusNoToken, "token is missing")},
		"a token of another kind":  {request("enter_world", `{"token":7}`), answer(99, "content does not fit this function: token must not be number")},
		"an empty token":           {request("enter_world", `{"token":""}`), answer(protocol.StatusNoToken, "token is missing")},
		"a token that is no token": {request("enter_world", `{"token":"x.y.z"}`), answer(protocol.StatusInvalidToken, "token is not valid")},
	} {
		if got := r.visit(test.send); got != test.want {
			t.Errorf("%s: %.200q, want %q", name, got, test.want)
		}
	}
}

// Goal: a token counts while it is whole, ours, fresh and the newest of its account, for functions of the table and of
// workers. Method: one of each kind; a worker watches.
func TestTokens(t *testing.T) {
	r := newRig(t, nil)
	r.newWorker()
	token, account := r.token("phone")
	replaced := token
	token, _ = r.token("phone")
	for name, bad := range map[string]string{
		"cut": token[:len(token)-1], "replaced": replaced, "without its signature": token[:strings.LastIndexByte(token, '.')+1],
		"of nobody": "eyJhbGciOiJub25lIn0.eyJ1aWQiOiJ4In0.", "long": strings.Repeat("a", 5000),
		"expired": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJnb3NwZXIiLCJleHAiOjEsImlhdCI6MSwidWlkIjoieCJ9.AAAA",
	} {
		for _, function := range []string{"enter_world", "of_a_worker"} {
			if got := r.visit(request(function, fmt.Sprintf(`{"token":%q}`, bad))); got != answer(protocol.StatusInvalidToken, "token is not valid") {
				t.Errorf("%s, %s: %q", name, function, got)
			}
		}
	}
	if got := r.visit(request("of_a_worker", `{"unique_id":"`+account+`"}`)); got != answer(protocol.StatusNoToken, "token is missing") {
		t.Errorf("no token: %q", got)
	}
	if !r.noJobs() {
		t.Error("a job was made")
	}
}

// Goal: who does not finish the line in time is closed without a word. Method: half a line, and one byte at a time.
func TestSlowSenders(t *testing.T) {
	r := newRig(t, func(l *edge.Limits, _ *Config) { l.AuthTimeout = 300 * time.Millisecond })
	begin := time.Now()
	silent, half, dribble := r.dial(r.client), r.dial(r.client), r.dial(r.client)
	half.send(`{"world":"0","function":"login_unique"`)
	go func() {
		clock := time.NewTicker(20 * time.Millisecond)
		defer clock.Stop()
		for range clock.C {
			if _, err := dribble.Write([]byte{'{'}); err != nil {
				return
			}
		}
	}()
	for name, s := range map[string]*side{"silent": silent, "half": half, "dribble": dribble} {
		if got := s.rest(); got != "" {
			t.Errorf("%s: %q", name, got)
		}
	}
	if took := time.Since(begin); took < 100*time.Millisecond || took > 30*time.Second {
		t.Errorf("closed after %v", took)
	}
	dribble.Close()
}

// Goal: a request in any pieces is the same request. Method: cut it in two at every byte.
func TestPieces(t *testing.T) {
	r := newRig(t, nil)
	line := request("no_such", "{}")
	for i := 1; i < len(line); i++ {
		s := r.dial(r.client)
		s.send(line[:i])
		_ = s.Conn.(*net.TCPConn).SetNoDelay(true)
		s.send(line[i:])
		if got := s.rest(); got != answer(protocol.StatusUnknownFunction, messageUnknown) {
			t.Fatalf("cut at %d: %q", i, got)
		}
	}
}

// Goal: lines are found wherever the bytes are cut. Method: pieces against the whole.
func FuzzCutLine(f *testing.F) {
	f.Add([]byte("a\r\nb\r\n"), 1)
	f.Add([]byte("\r\r\n"), 2)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		seen := 0
		line, size := cutLine(b, &seen)
		cut = min(max(cut, 0), len(b))
		seen = 0
		first, n := cutLine(b[:cut], &seen)
		if n == 0 {
			first, n = cutLine(b, &seen)
		}
		if n != size || string(first) != string(line) {
			t.Errorf("cut at %d: %q %d, want %q %d", cut, first, n, line, size)
		}
	})
}
