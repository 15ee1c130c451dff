package control

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// Goal: the internal port serves loopback programs, not the pages of a browser on this machine, and with a token only
// who has it. Method: requests of each kind at every endpoint.
func TestInternalIsGuarded(t *testing.T) {
	open := newRig(t, nil)
	locked := newRig(t, func(c *Config) { c.Token = "a long enough token" })
	for key, e := range endpoints {
		path := key[strings.IndexByte(key, ' ')+1:]
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
