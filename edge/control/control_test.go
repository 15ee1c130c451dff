package control

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"

	"gosper/broker/memory"
	"gosper/edge"
	"gosper/edge/module"
	"gosper/protocol"
)

// The HTTP server leaves two goroutines that sleep and end by themselves; the loops' library keeps a pool of its own.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/panjf2000/ants/v2.(*poolCommon).purgeStaleWorkers"),
		goleak.IgnoreAnyFunction("github.com/panjf2000/ants/v2.(*poolCommon).ticktock"))
}

// rig is a Server on memory engines. Adopted sockets are answered with what was told of them, and closed.
type rig struct {
	t     *testing.T
	s     *Server
	table *module.Table
	bus   *memory.Bus
	room  room
}

// room counts places.
type room struct{ held, max atomic.Int64 }

func (r *room) Acquire() bool {
	if r.held.Add(1) > r.max.Load() {
		r.held.Add(-1)
		return false
	}
	return true
}
func (r *room) Release() { r.held.Add(-1) }

// newRig starts a server whose configuration may be changed first.
func newRig(t *testing.T, change func(*Config)) *rig {
	r := &rig{t: t, bus: memory.NewBus(memory.BusOptions{})}
	r.room.max.Store(1000)
	store, registry := memory.NewStore(), memory.NewRegistry()
	log := slog.New(slog.DiscardHandler)
	var err error
	r.table, err = module.New(module.Config{Options: module.DefaultOptions(), Store: store, Registry: registry, Bus: r.bus,
		Secret: []byte("0123456789abcdef"), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	c := Config{HTTPAddr: "127.0.0.1:0", InternalAddr: "127.0.0.1:0", Limits: DefaultLimits(), Table: r.table, Bus: r.bus, Log: log,
		Room: &r.room, Version: "test",
		Page: fstest.MapFS{"index.html": {Data: []byte("<!doctype html>" + strings.Repeat("gosper ", 200))}, "app.js": {Data: []byte("1")}},
		Adopt: func(c net.Conn, info edge.AdoptInfo) error {
			fmt.Fprintf(c, "remote %s subprotocol %q leftover %q\n", info.Remote, info.Subprotocol, info.Leftover)
			r.room.Release()
			return placeOf(c).Conn.Close()
		}}
	if change != nil {
		change(&c)
	}
	if r.s, err = Start(c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := r.s.Close(); err != nil {
			t.Error(err)
		}
		r.table.Close()
		r.bus.Close()
		registry.Close()
		store.Close()
	})
	return r
}

// raw sends bytes to a port and returns all that comes back.
func (r *rig) raw(port, bytes string) string {
	r.t.Helper()
	c, err := net.Dial("tcp", r.s.Addr(port).String())
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, bytes); err != nil {
		r.t.Fatal(err)
	}
	b, _ := io.ReadAll(c) // an error ends the text as a close does
	return string(b)
}

// request sends a request and returns status, headers and body.
func (r *rig) request(port, method, path string, body string, headers ...string) (*http.Response, string) {
	r.t.Helper()
	request, err := http.NewRequest(method, "http://"+r.s.Addr(port).String()+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return response, string(b)
}

// form posts a form to the internal port.
func (r *rig) form(path string, pairs ...string) string {
	r.t.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	_, body := r.request("internal", "POST", path, form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
	return body
}

const goodUpgrade = "GET /ws HTTP/1.1\r\nHost: play.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

// Goal: only a strict handshake becomes a websocket (RFC 6455, section 4.2.1). Method: the good one, changed in one
// place at a time.
func TestUpgradeIsStrict(t *testing.T) {
	r := newRig(t, nil)
	listed := newRig(t, func(c *Config) { c.Origins = []string{"https://play.example.com"} })
	swap := func(old, new string) string { return strings.Replace(goodUpgrade, old, new, 1) }
	for _, test := range []struct {
		name, request string
		rig           *rig
		want          int
	}{
		{"good", goodUpgrade, r, 101},
		{"own origin", goodUpgrade + "Origin: https://play.example.com\r\n", r, 101},
		{"other case and lists", swap("Connection: Upgrade", "Connection: keep-alive, upgrade"), r, 101},
		{"no key", swap("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), r, 400},
		{"short key", swap("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="), r, 400},
		{"loose key", swap("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZR=="), r, 400},
		{"two keys", goodUpgrade + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", r, 400},
		{"no host", swap("Host: play.example.com\r\n", ""), r, 400},
		{"two hosts", goodUpgrade + "Host: evil.example.com\r\n", r, 400},
		{"version 8", swap("Version: 13", "Version: 8"), r, 426},
		{"no version", swap("Sec-WebSocket-Version: 13\r\n", ""), r, 426},
		{"two versions", goodUpgrade + "Sec-WebSocket-Version: 13\r\n", r, 426},
		{"no upgrade", swap("Upgrade: websocket\r\n", ""), r, 426},
		{"other upgrade", swap("Upgrade: websocket", "Upgrade: h2c"), r, 426},
		{"no connection", swap("Connection: Upgrade\r\n", ""), r, 426},
		{"connection close", swap("Connection: Upgrade", "Connection: close"), r, 426},
		{"post", swap("GET", "POST"), r, 400},
		{"http/1.0", swap("HTTP/1.1", "HTTP/1.0"), r, 400},
		{"body", goodUpgrade + "Content-Length: 0\r\n", r, 400},
		{"chunked", goodUpgrade + "Transfer-Encoding: chunked\r\n\r\n0\r\n", r, 400},
		{"foreign origin", goodUpgrade + "Origin: https://evil.example.com\r\n", r, 403},
		{"origin with our name in it", goodUpgrade + "Origin: https://play.example.com.evil.org\r\n", r, 403},
		{"origin null", goodUpgrade + "Origin: null\r\n", r, 403},
		{"two origins", goodUpgrade + "Origin: https://play.example.com\r\nOrigin: https://evil.example.com\r\n", r, 403},
		{"listed origin", goodUpgrade + "Origin: https://play.example.com\r\n", listed, 101},
		{"not the listed scheme", goodUpgrade + "Origin: http://play.example.com\r\n", listed, 403},
		{"listed as part", goodUpgrade + "Origin: https://play.example.com:8443\r\n", listed, 403},
	} {
		answer := test.rig.raw("http", test.request+"\r\n")
		if !strings.HasPrefix(answer, fmt.Sprintf("HTTP/1.1 %d ", test.want)) {
			t.Errorf("%s: want %d, got %.200q", test.name, test.want, answer)
		}
		if test.want == 101 && !strings.Contains(answer, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n") {
			t.Errorf("%s: no or wrong accept key: %q", test.name, answer)
		}
	}
	for _, x := range []*rig{r, listed} {
		x.noPlacesHeld()
	}
}

// noPlacesHeld waits until every connection has given its place back.
func (r *rig) noPlacesHeld() {
	r.t.Helper()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	for deadline := time.Now().Add(5 * time.Second); r.room.held.Load() != 0; {
		if time.Now().After(deadline) {
			r.t.Fatalf("%d places are held", r.room.held.Load())
		}
	}
}

// Goal: the first known subprotocol is taken, and no other named. Method: offers.
func TestSubprotocols(t *testing.T) {
	r := newRig(t, nil)
	for offer, want := range map[string]string{
		"":                                 "",
		"gosper.v1":                        "gosper.v1",
		"gosper.line.v1":                   "gosper.line.v1",
		"other, gosper.line.v1, gosper.v1": "gosper.line.v1",
		"GOSPER.V1":                        "",
		"other":                            "",
	} {
		request := goodUpgrade
		if offer != "" {
			request += "Sec-WebSocket-Protocol: " + offer + "\r\n"
		}
		answer := r.raw("http", request+"\r\n")
		if !strings.Contains(answer, fmt.Sprintf("subprotocol %q", want)) || strings.Contains(answer, "Sec-WebSocket-Protocol") != (want != "") {
			t.Errorf("offer %q: %q", offer, answer)
		}
	}
}

// Goal: bytes behind the handshake reach the event loop, in whatever pieces they came. Method: pipeline them.
func TestBytesBehindTheHandshake(t *testing.T) {
	r := newRig(t, nil)
	behind := strings.Repeat("frame", 300)
	if answer := r.raw("http", goodUpgrade+"\r\n"+behind); !strings.Contains(answer, fmt.Sprintf("leftover %q", behind)) {
		t.Errorf("got %q", answer)
	}
}

// Goal: a slow or silent client is cut in bounded time and costs nobody else anything. Method: half a request, one
// byte at a time, a body that never comes, an idle connection; time limits of the test are short.
func TestSlowClients(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Limits.ReadTimeout, c.Limits.IdleTimeout = 100*time.Millisecond, 100*time.Millisecond
	})
	for name, begin := range map[string]string{
		"silent":      "",
		"half a line": "GET / HT",
		"no end":      "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ",
		"no body":     "POST /api/call/user/clientCode HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
		"idle":        "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		start := time.Now()
		answer := r.raw("http", begin)
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("%s: cut after %v", name, took)
		}
		if name != "idle" && strings.Contains(answer, "200 OK") {
			t.Errorf("%s: %q", name, answer)
		}
	}
	// One byte at a time: the limit counts from the first byte of the request, not from the last one.
	c, err := net.Dial("tcp", r.s.Addr("http").String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(5 * time.Second)
	for err == nil && time.Now().Before(deadline) {
		<-tick.C
		_, err = c.Write([]byte("G"))
	}
	if err == nil {
		t.Error("one byte at a time goes on for ever")
	}
	r.noPlacesHeld()
}

// Goal: sizes are bounded and answered with a reason. Method: headers and bodies over the limit.
func TestSizes(t *testing.T) {
	r := newRig(t, nil)
	long := "GET /" + strings.Repeat("x", 9000) + " HTTP/1.1\r\nHost: x\r\n\r\n"
	if answer := r.raw("http", long); !strings.HasPrefix(answer, "HTTP/1.1 431 ") || !strings.Contains(answer, `"status":1003`) {
		t.Errorf("headers: %q", answer)
	}
	body := "POST /api/call/user/clientCode HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n"
	if answer := r.raw("http", body); !strings.HasPrefix(answer, "HTTP/1.1 413 ") || !strings.Contains(answer, `"status":1003`) {
		t.Errorf("body: %q", answer)
	}
	if answer := r.raw("http", "\x16\x03\x01 not HTTP\r\n\r\n"); !strings.HasPrefix(answer, "HTTP/1.1 400 ") || !strings.Contains(answer, `"message"`) {
		t.Errorf("no HTTP: %q", answer)
	}
}

// Goal: no connection beyond the room of the node, and none is lost to the count. Method: fill the room, one more, let
// one go.
func TestRoomIsKept(t *testing.T) {
	r := newRig(t, nil)
	r.room.max.Store(2)
	dial := func() (net.Conn, string) {
		c, err := net.Dial("tcp", r.s.Addr("http").String())
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(5 * time.Second))
		io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		line, _ := bufio.NewReader(c).ReadString('\n') // "" when cut
		return c, line
	}
	a, one := dial()
	b, two := dial()
	c, three := dial()
	if !strings.Contains(one, "200") || !strings.Contains(two, "200") || three != "" {
		t.Errorf("answers %q %q %q", one, two, three)
	}
	a.Close()
	b.Close()
	c.Close()
	r.noPlacesHeld()
	d, four := dial()
	if !strings.Contains(four, "200") {
		t.Errorf("after others went: %q", four)
	}
	d.Close()
}

// Goal: the page is served with strict headers, tags and compression, other paths and methods are JSON errors. Method:
// a table of requests.
func TestPage(t *testing.T) {
	r := newRig(t, nil)
	response, body := r.request("http", "GET", "/", "", "Accept-Encoding", "identity")
	tag := response.Header.Get("ETag")
	if response.StatusCode != 200 || !strings.HasPrefix(body, "<!doctype html>") || tag == "" || response.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("page: %v %.40q", response, body)
	}
	for _, h := range siteHeaders {
		if response.Header.Get(h[0]) != h[1] {
			t.Errorf("header %s is %q", h[0], response.Header.Get(h[0]))
		}
	}
	for _, test := range []struct {
		method, path, header, value string
		want                        int
	}{
		{"GET", "/app.js", "", "", 200},
		{"GET", "/index.html", "If-None-Match", tag, 304},
		{"GET", "/", "If-None-Match", `"x", W/` + tag, 304},
		{"GET", "/", "If-None-Match", `"x"`, 200},
		{"HEAD", "/", "", "", 200},
		{"POST", "/", "", "", 405},
		{"GET", "/missing", "", "", 404},
		{"GET", "/../index.html", "", "", 200}, // the path is cleaned before it is looked up; there are no other files
		{"GET", "/%2e%2e/secret", "", "", 404},
		{"GET", "/metrics", "", "", 404},
		{"GET", "/debug/pprof/", "", "", 404},
		{"GET", "/healthz", "", "", 200},
		{"GET", "/api/functions", "", "", 200},
	} {
		headers := []string{}
		if test.header != "" {
			headers = []string{test.header, test.value}
		}
		response, body := r.request("http", test.method, test.path, "", headers...)
		if response.StatusCode != test.want {
			t.Errorf("%s %s: %d, want %d", test.method, test.path, response.StatusCode, test.want)
		}
		if test.want >= 400 && !json.Valid([]byte(body)) {
			t.Errorf("%s %s: error %q is not JSON", test.method, test.path, body)
		}
	}
	response, body = r.request("http", "GET", "/", "", "Accept-Encoding", "gzip")
	if response.Header.Get("Content-Encoding") != "gzip" || len(body) > 500 {
		t.Errorf("compressed: %v, %d bytes", response.Header, len(body))
	}
}

// Goal: the HTTP API reaches the function table and refuses foreign pages. Method: calls good and bad.
func TestAPI(t *testing.T) {
	r := newRig(t, nil)
	var code struct{ Content struct{ ClientCode string } }
	_, body := r.request("http", "POST", "/api/call/user/clientCode", `{}`, "Content-Type", "application/json")
	if err := json.Unmarshal([]byte(body), &code); err != nil || code.Content.ClientCode == "" {
		t.Fatal(body, err)
	}
	var login struct{ Content struct{ Session string } }
	_, body = r.request("http", "POST", "/api/call/user/loginUnique", `{"unique_id":"x"}`, "Content-Type", "application/json; charset=utf-8")
	if err := json.Unmarshal([]byte(body), &login); err != nil || login.Content.Session == "" {
		t.Fatal(body, err)
	}
	for _, test := range []struct {
		name, method, route, body string
		headers                   []string
		http                      int
		status                    protocol.Status
	}{
		{"no token", "POST", "user/enterWorld", `{"world":"0","name":"Ann"}`, []string{"Content-Type", "application/json"}, 400, 1002},
		{"token", "POST", "user/enterWorld", `{"world":"0","name":"Ann"}`, []string{"Content-Type", "application/json", "Authorization", "Bearer " + login.Content.Session}, 200, 0},
		{"bad token", "POST", "user/enterWorld", `{}`, []string{"Content-Type", "application/json", "Authorization", "Bearer x"}, 401, 1006},
		{"unknown route", "POST", "no/such", `{}`, []string{"Content-Type", "application/json"}, 400, 1000},
		{"empty body", "POST", "user/clientCode", ``, []string{"Content-Type", "application/json"}, 200, 0},
		{"no JSON", "POST", "user/clientCode", `{`, []string{"Content-Type", "application/json"}, 400, 1000},
		{"form", "POST", "user/clientCode", `{}`, []string{"Content-Type", "text/plain"}, 415, 1000},
		{"foreign page", "POST", "user/clientCode", `{}`, []string{"Content-Type", "application/json", "Origin", "https://evil.example.com"}, 403, 1010},
		{"get", "GET", "user/clientCode", ``, nil, 405, 1000},
		{"needs a connection", "POST", "session/register", `{"nonce":"x"}`, []string{"Content-Type", "application/json"}, 400, 1000},
	} {
		response, body := r.request("http", test.method, "/api/call/"+test.route, test.body, test.headers...)
		var reply struct {
			Status  protocol.Status
			Message string
		}
		if err := json.Unmarshal([]byte(body), &reply); err != nil || response.StatusCode != test.http || reply.Status != test.status || reply.Message == "" {
			t.Errorf("%s: %d %s", test.name, response.StatusCode, body)
		}
	}
}

// Goal: a handler that panics answers its request and no other suffers. Method: a page that panics.
func TestPanickingHandler(t *testing.T) {
	r := newRig(t, nil)
	r.s.page = nil
	response, body := r.request("http", "GET", "/", "")
	if response.StatusCode != 500 || !strings.Contains(body, `"status":552`) {
		t.Errorf("%d %s", response.StatusCode, body)
	}
	if response, _ := r.request("http", "GET", "/healthz", ""); response.StatusCode != 200 {
		t.Error("the server is gone")
	}
}

// Goal: the internal port serves loopback programs, not the pages of a browser on this machine, and with a token only
// who has it. Method: requests of each kind at every endpoint.
func TestInternalIsGuarded(t *testing.T) {
	open := newRig(t, nil)
	locked := newRig(t, func(c *Config) { c.Token = "a long enough token" })
	for path, e := range endpoints {
		for name, test := range map[string]struct {
			rig     *rig
			headers []string
			refused int
		}{
			"page":        {open, []string{"Origin", "http://127.0.0.1"}, 403},
			"fetch":       {open, []string{"Sec-Fetch-Site", "cross-site"}, 403},
			"rebound":     {open, []string{"Host", "evil.example.com"}, 403},
			"no token":    {locked, nil, 401},
			"other token": {locked, []string{"Authorization", "Bearer a long enough tokeN"}, 401},
			"basic":       {locked, []string{"Authorization", "Basic a long enough token"}, 401},
		} {
			request := e.method + " " + path + " HTTP/1.1\r\nConnection: close\r\n"
			headers := append([]string{"Host", "localhost"}, test.headers...)
			if slices.Contains(test.headers, "Host") {
				headers = test.headers
			}
			for i := 0; i < len(headers); i += 2 {
				request += headers[i] + ": " + headers[i+1] + "\r\n"
			}
			want := test.refused
			if e.open {
				want = 200
			}
			if answer := test.rig.raw("internal", request+"\r\n"); !strings.HasPrefix(answer, fmt.Sprintf("HTTP/1.1 %d ", want)) {
				t.Errorf("%s, %s: want %d, got %.100q", path, name, want, answer)
			}
		}
	}
	if response, _ := locked.request("internal", "GET", "/metrics", "", "Authorization", "Bearer a long enough token"); response.StatusCode != 200 {
		t.Errorf("with the token: %d", response.StatusCode)
	}
	if response, _ := open.request("internal", "GET", "/issue_token", ""); response.StatusCode != 405 {
		t.Errorf("wrong method: %d", response.StatusCode)
	}
}

// Goal: the auth endpoints answer as services know them. Method: exact bodies.
func TestAuthEndpoints(t *testing.T) {
	r := newRig(t, nil)
	var issued struct{ Token string }
	if err := json.Unmarshal([]byte(r.form("/issue_token", "uid", "7", "is_session", "0")), &issued); err != nil || issued.Token == "" {
		t.Fatal(err)
	}
	if got := r.form("/validate_token", "token", issued.Token); got != `{"status":0,"data":{"uid":"7"}}` {
		t.Error("valid:", got)
	}
	r.form("/issue_token", "uid", "7", "prev_token", issued.Token)
	if got := r.form("/validate_token", "token", issued.Token); got != `{"status":1}` {
		t.Error("replaced:", got)
	}
	if got := r.form("/issue_token", "uid", "a>b"); !strings.Contains(got, `"status":1001`) {
		t.Error("bad uid:", got)
	}
	post := func(path, body string) string {
		_, answer := r.request("internal", "POST", path, body, "Content-Type", "application/json")
		return answer
	}
	if got := post("/register_nonce", `{"nonce":"n","payload":{"world":"0","gn":"Ann","exp":12345678901234567890,"on":true,"list":[1,2],"none":null}}`); got != `{"status":0}` {
		t.Error("register:", got)
	}
	if got := post("/register_nonce", `{"nonce":"n","payload":{}}`); !strings.Contains(got, `"status":1`) {
		t.Error("register twice:", got)
	}
	if got := post("/redeem_nonce", `{"keys":["n","n","m"]}`); got != `{"m":{"status":1},"n":{"exp":"12345678901234567890","gn":"Ann","list":"[1,2]","none":"","on":"true","status":0,"world":"0"}}` {
		t.Error("redeem:", got)
	}
	if got := post("/redeem_nonce", `{"keys":["n"]}`); got != `{"n":{"status":1}}` {
		t.Error("redeem again:", got)
	}
	for _, bad := range []string{``, `[]`, `{"keys":"n"}`, `{"keys":[]}{}`} {
		if response, _ := r.request("internal", "POST", "/redeem_nonce", bad); response.StatusCode != 400 {
			t.Errorf("body %q: %d", bad, response.StatusCode)
		}
	}
	if response, _ := r.request("internal", "POST", "/register_nonce", `{"nonce":"","payload":{}}`); response.StatusCode != 400 {
		t.Error("empty nonce:", response.StatusCode)
	}
}

// Goal: a tail shows every message of its pattern as a line, ends with the server, and its number is bounded. Method:
// publish through the API while one is open.
func TestTail(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.Tails = 1 })
	response, err := http.DefaultTransport.RoundTrip(mustRequest(t, "http://"+r.s.Addr("internal").String()+"/admin/tail?subject="+url.QueryEscape("chat.>")))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if second, _ := r.request("internal", "GET", "/admin/tail?subject=x", ""); second.StatusCode != 503 {
		t.Errorf("second tail: %d", second.StatusCode)
	}
	publish := `{"subject":"chat.0.public","route":"/chat/public","content":{"name":"op","text":"hello","time":1},"history":true}`
	if _, body := r.request("internal", "POST", "/admin/publish", publish); !strings.Contains(body, `"offset":1`) {
		t.Error("publish:", body)
	}
	lines := bufio.NewScanner(response.Body)
	if !lines.Scan() {
		t.Fatal("no line", lines.Err())
	}
	var line tailLine
	if err := json.Unmarshal(lines.Bytes(), &line); err != nil || line.Subject != "chat.0.public" || line.Offset != 1 || !bytes.Contains(line.Data, []byte("hello")) {
		t.Errorf("line %s, %v", lines.Bytes(), err)
	}
	for _, bad := range []string{`{"subject":"a b","route":"/x","content":{}}`, `{"subject":"a","route":"/x","content":[]}`, `{"subject":"a","route":""}`} {
		if response, _ := r.request("internal", "POST", "/admin/publish", bad); response.StatusCode != 400 {
			t.Errorf("%s: %d", bad, response.StatusCode)
		}
	}
	if err := r.s.Close(); err != nil {
		t.Error(err)
	}
	for lines.Scan() { // ends because the server has closed the stream
	}
}

func mustRequest(t *testing.T, address string) *http.Request {
	t.Helper()
	request, err := http.NewRequest("GET", address, nil)
	if err != nil {
		t.Fatal(err)
	}
	return request
}

// Goal: readiness follows the node, and a drain closes the door to websockets but not to probes. Method: drain.
func TestDrain(t *testing.T) {
	asked := make(chan struct{})
	r := newRig(t, func(c *Config) { c.Drain = func() { close(asked) } })
	if response, _ := r.request("internal", "GET", "/readyz", ""); response.StatusCode != 200 {
		t.Errorf("ready: %d", response.StatusCode)
	}
	if response, _ := r.request("internal", "POST", "/admin/drain", ""); response.StatusCode != 202 {
		t.Errorf("drain: %d", response.StatusCode)
	}
	<-asked
	r.s.Drain()
	if response, body := r.request("internal", "GET", "/readyz", ""); response.StatusCode != 503 || !strings.Contains(body, "draining") {
		t.Errorf("draining: %d %s", response.StatusCode, body)
	}
	if answer := r.raw("http", strings.Replace(goodUpgrade, "Connection: Upgrade", "Connection: Upgrade, close", 1)+"\r\n"); !strings.HasPrefix(answer, "HTTP/1.1 503 ") {
		t.Errorf("upgrade: %.100q", answer)
	}
}

// Goal: metrics carry help and type once a family, before its first sample. Method: samples of each type.
func TestMetricsAreDescribed(t *testing.T) {
	var out bytes.Buffer
	samples := "a_total{x=\"1\"} 1\na_total{x=\"2\"} 2\nh_bucket{le=\"1\"} 1\nh_sum 1\nh_count 1\nother 3\n"
	describe(&out, []byte(samples), map[string]Metric{"a_total": {"a_total", "counter", "A."}, "h": {"h", "histogram", "H\nH."}})
	want := "# HELP a_total A.\n# TYPE a_total counter\na_total{x=\"1\"} 1\na_total{x=\"2\"} 2\n" +
		"# HELP h H H.\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 1\nh_count 1\nother 3\n"
	if out.String() != want {
		t.Errorf("got\n%s", out.String())
	}
	r := newRig(t, nil)
	if _, body := r.request("internal", "GET", "/metrics", ""); !strings.Contains(body, "# TYPE gosper_http_requests_total counter\n") || !strings.Contains(body, "\ngo_goroutines ") {
		t.Error("metrics of the process or of this package are missing")
	}
}

// Goal: behind a balancer the client's address is the one in the PROXY header, exactly that header is read, and nobody
// else may send one. Method: both versions, cut and bent ones, from a trusted and from an untrusted peer.
func TestProxyHeader(t *testing.T) {
	trusted := newRig(t, func(c *Config) { c.ProxyFrom = prefixes("127.0.0.0/8") })
	untrusted := newRig(t, nil)
	v2 := "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x07\x7f\x00\x00\x01\x30\x39\x1f\x90"
	upgrade := goodUpgrade + "\r\n"
	for _, test := range []struct {
		name, bytes string
		rig         *rig
		want        string
	}{
		{"version 1", "PROXY TCP4 203.0.113.7 127.0.0.1 12345 8080\r\n" + upgrade + "X", trusted, `remote 203.0.113.7 subprotocol "" leftover "X"`},
		{"version 2", v2 + upgrade + "X", trusted, `remote 203.0.113.7 subprotocol "" leftover "X"`},
		{"unknown", "PROXY UNKNOWN\r\n" + upgrade, trusted, "remote 127.0.0.1 "},
		{"missing", upgrade, trusted, ""},
		{"bent", "PROXY TCP4 203.0.113.7\r\n" + upgrade, trusted, ""},
		{"too long", "PROXY TCP4 " + strings.Repeat("1", 200) + "\r\n" + upgrade, trusted, ""},
		{"rest too long", v2[:14] + "\xff\xff" + strings.Repeat("x", 70000), trusted, ""},
		{"untrusted", "PROXY TCP4 203.0.113.7 127.0.0.1 12345 8080\r\n" + upgrade, untrusted, "HTTP/1.1 400 "},
	} {
		answer := test.rig.raw("http", test.bytes)
		if test.want == "" && strings.Contains(answer, "101") || !strings.Contains(answer, test.want) {
			t.Errorf("%s: %q", test.name, answer)
		}
	}
	trusted.noPlacesHeld()
}
