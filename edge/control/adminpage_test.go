package control

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"gosper/broker"
	"gosper/broker/chain"
	"gosper/broker/memory"
)

// Goal: without a token the internal port takes orders of programs of this machine and of its own page, and of no other page
// whatever it claims. Method: raw requests with every mixture of headers that a page cannot choose; host names that a page can.
func TestOnlyItsOwnPage(t *testing.T) {
	r, _ := chainRig(t)
	addr := r.s.Addr("internal").String()
	_, port, _ := strings.Cut(addr, ":")
	for name, test := range map[string]struct {
		headers string
		good    bool
	}{
		"program":                     {"Host: " + addr, true},
		"typed address":               {"Host: " + addr + "\r\nSec-Fetch-Site: none", true},
		"own page":                    {"Host: " + addr + "\r\nOrigin: http://" + addr + "\r\nSec-Fetch-Site: same-origin", true},
		"own page by name":            {"Host: localhost:" + port + "\r\nOrigin: http://localhost:" + port + "\r\nSec-Fetch-Site: same-origin", true},
		"own page, IPv6":              {"Host: [::1]:" + port + "\r\nOrigin: http://[::1]:" + port + "\r\nSec-Fetch-Site: same-origin", true},
		"own page, no origin":         {"Host: " + addr + "\r\nSec-Fetch-Site: same-origin", true},
		"own page, old browser":       {"Host: " + addr + "\r\nOrigin: http://" + addr, true},
		"page of another port":        {"Host: " + addr + "\r\nOrigin: http://127.0.0.1:8080\r\nSec-Fetch-Site: same-site", false},
		"page of another port, old":   {"Host: " + addr + "\r\nOrigin: http://127.0.0.1:8080", false},
		"page of another name":        {"Host: " + addr + "\r\nOrigin: http://localhost:" + port + "\r\nSec-Fetch-Site: same-site", false},
		"foreign page":                {"Host: " + addr + "\r\nOrigin: https://evil.example.com\r\nSec-Fetch-Site: cross-site", false},
		"foreign page, no origin":     {"Host: " + addr + "\r\nSec-Fetch-Site: cross-site", false},
		"foreign form":                {"Host: " + addr + "\r\nOrigin: null\r\nSec-Fetch-Site: cross-site", false},
		"frame without an origin":     {"Host: " + addr + "\r\nOrigin: null\r\nSec-Fetch-Site: same-origin", false},
		"page of TLS":                 {"Host: " + addr + "\r\nOrigin: https://" + addr + "\r\nSec-Fetch-Site: same-origin", false},
		"rebound name":                {"Host: evil.example.com:" + port + "\r\nOrigin: http://evil.example.com:" + port + "\r\nSec-Fetch-Site: same-origin", false},
		"rebound name, old browser":   {"Host: evil.example.com:" + port, false},
		"name that looks like ours":   {"Host: localhost.evil.example.com:" + port, false},
		"address that looks like one": {"Host: 127.0.0.1.example.com", false},
		"two origins":                 {"Host: " + addr + "\r\nOrigin: http://" + addr + "\r\nOrigin: https://evil.example.com\r\nSec-Fetch-Site: same-origin", false},
		"two sites":                   {"Host: " + addr + "\r\nSec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site", false},
		"same-site":                   {"Host: " + addr + "\r\nSec-Fetch-Site: same-site", false},
		"no host":                     {"Host:", false},
	} {
		want := 403
		if test.good {
			want = 200
		}
		body := `{"global_lock":false}`
		request := fmt.Sprintf("PUT /api/settings/status HTTP/1.1\r\nConnection: close\r\nContent-Length: %d\r\n%s\r\n\r\n%s", len(body), test.headers, body)
		answer := r.raw("internal", request)
		if name == "no host" && strings.HasPrefix(answer, "HTTP/1.1 400 ") {
			continue
		}
		if !strings.HasPrefix(answer, fmt.Sprintf("HTTP/1.1 %d ", want)) {
			t.Errorf("%s: %.80q, want %d", name, answer, want)
		}
	}
}

// Goal: the same for websockets of the events door, and with a token the token alone decides, in the header or as
// subprotocol. Method: handshakes; the rig answers what it takes over with a line.
func TestListenInside(t *testing.T) {
	const token = "a-long-enough-token"
	take := func(c *Config) { c.Listen = c.Adopt }
	open := newRig(t, take)
	locked := newRig(t, func(c *Config) { take(c); c.Token = token })
	for name, test := range map[string]struct {
		rig     *rig
		path    string
		headers string
		want    string
	}{
		"program":           {open, "", "", "101"},
		"own page":          {open, "", "Origin: http://HOST\r\n", "101"},
		"foreign page":      {open, "", "Origin: http://evil.example.com\r\n", "403"},
		"other port":        {open, "", "Origin: http://127.0.0.1:1\r\n", "403"},
		"bad since":         {open, "?since=x", "", "400"},
		"mine":              {open, "?mine=1", "", "400"},
		"no token":          {locked, "", "", "401"},
		"token of a page":   {locked, "", "Sec-WebSocket-Protocol: base64.bearer.token, " + token + "\r\nOrigin: http://HOST\r\n", "101"},
		"token in a header": {locked, "", "Authorization: Bearer " + token + "\r\n", "101"},
		"wrong token":       {locked, "", "Sec-WebSocket-Protocol: base64.bearer.token, x\r\n", "401"},
		"malformed":         {locked, "", "Sec-WebSocket-Protocol: " + token + "\r\n", "401"},
		"foreign with it":   {locked, "", "Sec-WebSocket-Protocol: base64.bearer.token, " + token + "\r\nOrigin: http://evil.example.com\r\n", "403"},
		"token in the path": {locked, "?token=" + token, "", "401"},
	} {
		addr := test.rig.s.Addr("internal").String()
		request := "GET /api/ws/events" + test.path + " HTTP/1.1\r\nHost: " + addr + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + strings.ReplaceAll(test.headers, "HOST", addr)
		if test.want == "401" || test.rig == open && test.want == "403" { // the guard does not look at the rest
			request = strings.Replace(request, "Connection: Upgrade", "Connection: close", 1)
		}
		answer := test.rig.raw("internal", request+"\r\n")
		if !strings.HasPrefix(answer, "HTTP/1.1 "+test.want+" ") || test.want == "101" && !strings.Contains(answer, "remote 127.0.0.1") {
			t.Errorf("%s: %.100q, want %s", name, answer, test.want)
		}
	}
}

// Goal: the operator's page is served whole: every file that it names, never in a frame, open without a token. Method: the page
// of a node with a token; the files that its files import.
func TestOperatorFiles(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Token = "a-long-enough-token" })
	seen := make(map[string]bool)
	named := regexp.MustCompile(`(?:from '\./|(?:href|src)="/admin/)([a-z]+\.(?:js|css|svg))`)
	var visit func(path string)
	visit = func(path string) {
		if seen[path] {
			return
		}
		seen[path] = true
		response, body := r.request("internal", "GET", path, "")
		if response.StatusCode != 200 || !strings.Contains(response.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'") || response.Header.Get("Referrer-Policy") != "same-origin" {
			t.Errorf("%s: %v", path, response)
		}
		for _, name := range named.FindAllStringSubmatch(body, -1) {
			visit("/admin/" + name[1])
		}
	}
	visit("/admin")
	if want := len(r.s.admin.files) - 1; len(seen) != want { // index.html is there twice
		t.Errorf("%d files are used, %d are there", len(seen), want)
	}
	if response, _ := r.request("internal", "GET", "/admin/state", ""); response.StatusCode != 401 {
		t.Error("the state is told without a token:", response.StatusCode)
	}
}

// Goal: the state is that of the node, in bounds. Method: exact members with and without parts; more chains and games than are
// shown.
func TestAdminState(t *testing.T) {
	read := func(r *rig) (out stateOut) {
		t.Helper()
		if err := json.Unmarshal([]byte(r.ask(200, "GET", "/admin/state", "")), &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	bare := newRig(t, nil)
	if out := read(bare); out.Engine != nil || out.Chains == nil || out.Tubes == nil || out.Timers == nil || out.Games == nil || out.Node.Version != "test" {
		t.Errorf("%+v", out)
	}
	recent, queue := new(Recent), memory.NewQueue(broker.QueueOptions{})
	defer queue.Close()
	timers := memory.NewSchedule(queue)
	defer timers.Close()
	r, _ := chainRig(t, func(c *Config) {
		c.Recent = recent
		c.Schedule = timers
		c.Games = func(most int) []Game { return make([]Game, most) }
	})
	var last string
	for i := range recentMost + 5 {
		w := chainOf(fmt.Sprintf("/%d", i))
		r.ask(202, "POST", "/work", string(chain.AppendWork(nil, &w)))
		recent.Note(w.Hash)
		recent.Note(w.Hash)
		last = w.Hash
	}
	recent.Note("gone")
	out := read(r)
	if len(out.Chains) != recentMost-1 || out.Chains[0].Hash != last || len(out.Games) != stateGames || out.Engine.GlobalStatus != "RUNNING" {
		t.Errorf("%d chains, first %+v", len(out.Chains), out.Chains[0])
	}
}
