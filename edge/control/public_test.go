package control

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"gosper/protocol"
)

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
		if took := time.Since(start); took > patience/2 { // without a limit it would be all of it
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
	deadline := time.Now().Add(patience)
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

// Goal: a client that writes all of a body that is refused still gets the answer, not a reset. Method: a body beyond what sockets
// buffer; read only after all of it was written.
func TestRefusedBodyIsAnswered(t *testing.T) {
	r := newRig(t, nil)
	const size = 7 << 20
	request := fmt.Sprintf("POST /api/call/user/clientCode HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("x", size))
	for _, port := range []string{"http", "internal"} {
		if answer := r.raw(port, request); !strings.HasPrefix(answer, "HTTP/1.1 413 ") {
			t.Errorf("%s: %.200q", port, answer)
		}
	}
	r.noPlacesHeld()
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
		c.SetDeadline(time.Now().Add(patience))
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
