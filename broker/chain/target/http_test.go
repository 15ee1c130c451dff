package target

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gosper/broker/chain"
)

// service is a service on loopback that counts its calls.
type service struct {
	*httptest.Server
	calls atomic.Int64
}

func serve(t *testing.T, handle http.HandlerFunc) *service {
	t.Helper()
	s := new(service)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.calls.Add(1)
		handle(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// private is a table with one service on loopback.
func private(origin, members string) string {
	return fmt.Sprintf(`{"services":{%q:{"private":true%s}}}`, origin, members)
}

func post(url, endpoint string) chain.Step {
	return chain.Step{Key: "h-0", Hash: "h", Order: 7, Request: chain.Request{URL: url, Endpoint: endpoint, Type: chain.TypeHTTP, Method: "POST", Payload: `{"a":1}`}}
}

// Goal: a service gets exactly what an item says, with what tells repetitions apart, and its answer comes back. Method: every
// header and byte of one call, and answers of every class.
func TestCall(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got := fmt.Sprintf("%s %s %s %s %s %s %s", r.Method, r.RequestURI, r.Header.Get("Idempotency-Key"), r.Header.Get("Work-Hash"),
			r.Header.Get("Work-Order"), r.Header.Get("Content-Type"), body)
		if got != `POST /shop/api/stock/take?x=1 h-0 h 7 application/json {"a":1}` || r.Header.Get("Cookie") != "" {
			t.Error(got, r.Header)
		}
		w.Header().Set("Set-Cookie", "a=b")
		fmt.Fprint(w, "taken")
	})
	g, _ := gateway(t, Options{}, private(s.URL, ""))
	for range 2 { // the second would bring a cookie
		out := g.Do(t.Context(), post(s.URL, "/shop/api/stock/take?x=1"))
		if !out.Response.OK || out.Response.Error || out.Response.Data != "taken" || !strings.Contains(out.Response.Metadata, `"status":200`) {
			t.Errorf("%+v", out)
		}
	}
}

// Goal: what an answer means. Method: each class of status, and a body that is no text.
func TestAnswers(t *testing.T) {
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		status    int
		after     string
		ok, fault bool
		retry     bool
		want      time.Duration
	}{
		{200, "", true, false, false, 0}, {204, "", true, false, false, 0}, {304, "", false, false, false, 0},
		{400, "9", false, false, false, 0}, {404, "", false, false, false, 0}, {409, "", false, false, false, 0},
		{408, "", false, true, true, 0}, {425, "", false, true, true, 0}, {429, "7", false, true, true, 7 * time.Second},
		{500, "", false, true, true, 0}, {503, "Wed, 02 Jan 2030 03:05:05 GMT", false, true, true, time.Minute},
		{503, "99999999999", false, true, true, time.Hour}, {503, "999999999", false, true, true, time.Hour}, {503, "-5", false, true, true, 0},
		{503, "soon", false, true, true, 0}, {503, "Wed, 02 Jan 2020 03:05:05 GMT", false, true, true, 0},
	} {
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", c.after)
			w.WriteHeader(c.status)
		})
		g, _ := gateway(t, Options{Now: func() time.Time { return at }}, private(s.URL, ""))
		out := g.Do(t.Context(), post(s.URL, "/"))
		if out.Response.OK != c.ok || out.Response.Error != c.fault || out.Retry != c.retry || out.After != c.want {
			t.Errorf("%d %q: %+v", c.status, c.after, out)
		}
	}
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte{0xff, 0, 1}) })
	g, _ := gateway(t, Options{}, private(s.URL, ""))
	if out := g.Do(t.Context(), post(s.URL, "/")); out.Response.Data != "/wAB" || !strings.Contains(out.Response.Metadata, `"encoding":"base64"`) {
		t.Errorf("%+v", out)
	}
}

// Goal: nothing is called that the table does not allow. Method: every trick with schemes, users, hosts and paths; the
// service, which is in the table, must not be called either.
func TestRefusals(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	host := strings.TrimPrefix(s.URL, "http://")
	g, _ := gateway(t, Options{}, private(s.URL, ""))
	for _, c := range []struct {
		url, endpoint, kind, method, want string
	}{
		{"https://" + host, "/", chain.TypeHTTPS, "POST", "not in the table"},
		{"http://" + host, "/", chain.TypeHTTPS, "POST", "cannot go to http"},
		{"ftp://" + host, "/", chain.TypeHTTP, "POST", "scheme"},
		{"file:///etc/passwd", "", chain.TypeHTTP, "GET", "scheme"},
		{"gopher://" + host, "/", chain.TypeHTTP, "POST", "scheme"},
		{"http:" + host, "/", chain.TypeHTTP, "POST", ""},
		{"http://", "/", chain.TypeHTTP, "POST", "no host"},
		{"//" + host, "/", chain.TypeHTTP, "POST", "scheme"},
		{"amqp://" + host, "q", chain.TypeAMQP, "publish", "not in the table"},
		{"http://" + host, "q", chain.TypeAMQP, "publish", "cannot go to http"},
		{"http://user:secret@" + host, "/", chain.TypeHTTP, "POST", "host and port only"},
		{"http://" + host + "@evil.example", "/", chain.TypeHTTP, "POST", "not in the table"},
		{"http://" + host + "?q=1", "/", chain.TypeHTTP, "POST", "host and port only"},
		{"http://" + host + "#f", "/", chain.TypeHTTP, "POST", "host and port only"},
		{"http://" + host, "@evil.example/", chain.TypeHTTP, "POST", "begin with /"},
		{"http://" + host, ".evil.example/", chain.TypeHTTP, "POST", "begin with /"},
		{"http://" + host, "http://evil.example/", chain.TypeHTTP, "POST", "begin with /"},
		{"http://" + host, "/\r\nX: y", chain.TypeHTTP, "POST", "no path"},
		{"http://" + host, "/%zz", chain.TypeHTTP, "POST", "no path"},
		{"http://" + host, "/", chain.TypeHTTP, "CONNECT", "method"},
		{"http://" + host, "/", chain.TypeHTTP, "POST\r\n", "method"},
		{"http://" + host + "\x00", "/", chain.TypeHTTP, "POST", "cannot be read"},
		{"http://%zz", "/", chain.TypeHTTP, "POST", "cannot be read"},
		{"http://evil.example", "/", chain.TypeHTTP, "POST", "not in the table"},
		{"http://localhost" + host[strings.LastIndexByte(host, ':'):], "/", chain.TypeHTTP, "POST", "not in the table"},
		{"", "/shop/api/stock/take", chain.TypeHTTP, "POST", "no route"},
		{"", "//evil.example/api/x/y", chain.TypeHTTP, "POST", "no route"},
	} {
		out := g.Do(t.Context(), chain.Step{Key: "k", Request: chain.Request{URL: c.url, Endpoint: c.endpoint, Type: c.kind, Method: c.method}})
		if out.Response.OK || !out.Response.Error || out.Retry || !strings.Contains(out.Response.Metadata, "not allowed") || !strings.Contains(out.Response.Metadata, c.want) {
			t.Errorf("%q %q: %+v", c.url, c.endpoint, out)
		}
		if strings.Contains(out.Response.Metadata, "secret") {
			t.Errorf("%q: a password is shown: %s", c.url, out.Response.Metadata)
		}
	}
	for _, path := range []string{"//evil.example/", "/\\evil.example", "/@evil.example", "/..;/x", "/?http://evil.example"} {
		if out := g.Do(t.Context(), post(s.URL, path)); !out.Response.OK { // paths like others: the host stays
			t.Errorf("%q: %+v", path, out)
		}
	}
	if n := s.calls.Load(); n != 5 {
		t.Errorf("the service was called %d times", n)
	}
}

// Goal: no spelling of an address, and no answer of a resolver, leads to an address that is not public. Method: a service on
// loopback under every name for it, with a resolver that says what an attacker wants, another thing each time.
func TestPrivateAddresses(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(s.URL, "http://"))
	names := &resolver{answers: [][4]byte{{127, 0, 0, 1}, {10, 0, 0, 1}, {169, 254, 169, 254}, {127, 9, 9, 9}, {100, 64, 0, 1}, {0, 0, 0, 0}}}
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "0.0.0.0", "[::]",
		"2130706433", "127.1", "0x7f.1", "0177.0.0.1", "rebind.test", "rebind.test.", "169.254.169.254", "10.1.2.3", "192.168.0.1", "[fe80::1]", "[fc00::1]", "224.0.0.1"} {
		g, _ := gateway(t, Options{Resolver: names.resolver(t), DialTimeout: time.Minute}, fmt.Sprintf(`{"services":{"http://%s:%s":{}}}`, host, port))
		for range 3 {
			out := g.Do(t.Context(), post("http://"+host+":"+port, "/"))
			never := strings.Contains(out.Response.Metadata, "no such host") // the resolver of Go does not even ask for such names
			if out.Response.OK || !out.Response.Error || !never && (out.Retry || !strings.Contains(out.Response.Metadata, "not public")) {
				t.Errorf("%s: %+v", host, out)
			}
		}
	}
	if n := s.calls.Load(); n > 0 {
		t.Errorf("the service was called %d times", n)
	}
	if names.asked.Load() == 0 {
		t.Error("the resolver was never asked")
	}
	g, _ := gateway(t, Options{Resolver: (&resolver{answers: [][4]byte{{127, 0, 0, 1}}}).resolver(t)}, private("http://rebind.test:"+port, ""))
	if out := g.Do(t.Context(), post("http://rebind.test:"+port, "/")); !out.Response.OK {
		t.Errorf("a private service that is allowed: %+v", out)
	}
}

// resolver answers every question for an IPv4 address with the next of its answers.
type resolver struct {
	answers [][4]byte
	asked   atomic.Int64
}

// resolver returns a net.Resolver that asks this one.
func (d *resolver) resolver(t *testing.T) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		done := make(chan struct{})
		go func() { defer close(done); d.serve(server) }()
		t.Cleanup(func() { server.Close(); <-done })
		return client, nil
	}}
}

// serve answers questions as DNS over a stream does: two bytes of length before each message.
func (d *resolver) serve(c net.Conn) {
	defer c.Close()
	head := make([]byte, 2)
	for {
		if _, err := io.ReadFull(c, head); err != nil {
			return
		}
		q := make([]byte, int(head[0])<<8|int(head[1]))
		if _, err := io.ReadFull(c, q); err != nil {
			return
		}
		end := 12
		for q[end] != 0 {
			end += int(q[end]) + 1
		}
		end += 5 // the root, type and class
		a := append([]byte{q[0], q[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, q[12:end]...)
		if q[end-3] == 1 { // type A
			ip := d.answers[int(d.asked.Add(1)-1)%len(d.answers)]
			a[7] = 1
			a = append(a, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, ip[0], ip[1], ip[2], ip[3])
		}
		if _, err := c.Write(append([]byte{byte(len(a) >> 8), byte(len(a))}, a...)); err != nil {
			return
		}
	}
}

// Goal: which addresses are public. Method: both sides of each border.
func TestPublic(t *testing.T) {
	for text, want := range map[string]bool{
		"1.1.1.1": true, "172.15.255.255": true, "172.16.0.1": false, "172.32.0.1": true, "100.63.255.255": true, "100.64.0.1": false, "100.128.0.1": true,
		"169.253.255.255": true, "169.254.169.254": false, "198.17.255.255": true, "198.18.0.1": false, "223.255.255.255": true, "224.0.0.1": false, "255.255.255.255": false,
		"0.0.0.0": false, "0.1.2.3": false, "192.0.0.8": false, "192.0.2.1": false, "203.0.113.9": false,
		"2606:4700::1": true, "::": false, "::1": false, "::ffff:10.0.0.1": false, "::ffff:1.1.1.1": true, "::10.0.0.1": false, "64:ff9b::a00:1": false, "2002:a00:1::": false,
		"2001::1": false, "2001:db8::1": false, "fe80::1": false, "fe80::1%eth0": false, "64:ff9b::a00:1%1": false, "fc00::1": false, "fec0::1": false, "ff02::1": false,
	} {
		if got := public(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: public is %v", text, got)
		}
	}
	if public(netip.Addr{}) {
		t.Error("no address is public")
	}
}

// Goal: redirects are answers, and lead nowhere. Method: redirects to inner addresses, one of them with a service behind.
func TestRedirects(t *testing.T) {
	inner := serve(t, func(http.ResponseWriter, *http.Request) {})
	for _, to := range []string{"http://169.254.169.254/latest/meta-data", "http://[::1]/", inner.URL, "//" + strings.TrimPrefix(inner.URL, "http://"), "/again"} {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusTemporaryRedirect) })
		g, _ := gateway(t, Options{}, fmt.Sprintf(`{"services":{%q:{"private":true},%q:{"private":true}}}`, s.URL, inner.URL))
		out := g.Do(t.Context(), post(s.URL, "/"))
		if out.Response.OK || out.Response.Error || out.Retry || !strings.Contains(out.Response.Metadata, `"redirect"`) || s.calls.Load() != 1 {
			t.Errorf("%s: %+v, %d calls", to, out, s.calls.Load())
		}
	}
	if n := inner.calls.Load(); n > 0 {
		t.Errorf("%d redirects were followed", n)
	}
}

// Goal: a service cannot take more time or memory than it is given. Method: answers that are too long by a byte, never end,
// come byte by byte, never come; a service that is not there.
func TestBounds(t *testing.T) {
	mode := atomic.Pointer[string]{}
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // so that the end of the client is seen
		switch *mode.Load() {
		case "fits":
			fmt.Fprint(w, strings.Repeat("x", 1000))
		case "too long":
			fmt.Fprint(w, strings.Repeat("x", 1001))
		case "endless":
			for r.Context().Err() == nil {
				fmt.Fprint(w, strings.Repeat("x", 4096))
			}
		case "slow body":
			fmt.Fprint(w, "x")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		case "no answer":
			<-r.Context().Done()
		case "long header":
			w.Header().Set("X", strings.Repeat("x", 70<<10))
		}
	})
	g, _ := gateway(t, Options{Answer: 1000}, private(s.URL, ""))
	for _, c := range []struct {
		mode  string
		ok    bool
		retry bool
		want  string
	}{
		{"fits", true, false, `"status":200`}, {"too long", false, false, "too large"}, {"endless", false, false, "too large"},
		{"slow body", false, true, "timeout"}, {"no answer", false, true, "timeout"}, {"long header", false, true, "unreachable"},
	} {
		mode.Store(&c.mode)
		wait := time.Minute
		if c.want == "timeout" {
			wait = 200 * time.Millisecond
		}
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		out := g.Do(ctx, post(s.URL, "/"))
		cancel()
		if out.Response.OK != c.ok || out.Retry != c.retry || !strings.Contains(out.Response.Metadata, c.want) {
			t.Errorf("%s: %.200s", c.mode, fmt.Sprint(out))
		}
	}
	s.Close()
	out := g.Do(t.Context(), post(s.URL, "/?token=t0ken"))
	if !out.Retry || !strings.Contains(out.Response.Metadata, "unreachable") || strings.Contains(out.Response.Metadata, "t0ken") {
		t.Errorf("a service that is not there: %+v", out)
	}
}

// Goal: secrets reach their service and nobody else. Method: a service that sends back all it gets; a secret that is not there.
func TestSecrets(t *testing.T) {
	const secret = "open-sesame-9"
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+secret || r.Header.Get("X-Two") != secret+secret {
			t.Error(r.Header)
		}
		w.Header().Set("Content-Type", "text/"+secret)
		fmt.Fprint(w, "you said ", r.Header.Get("Authorization"))
	})
	secrets := func(name string) (string, error) {
		if name != "shop" {
			return "", fmt.Errorf("there is no secret %q", name)
		}
		return secret, nil
	}
	g, words := gateway(t, Options{Secret: secrets}, private(s.URL, `,"headers":{"Authorization":"Bearer {secret:shop}","X-Two":"{secret:shop}{secret:shop}"}`))
	out := g.Do(t.Context(), post(s.URL, "/"))
	if shown := fmt.Sprint(out) + words.String(); !out.Response.OK || strings.Contains(shown, secret) || out.Response.Data != "you said Bearer ***" {
		t.Errorf("%+v, log %s", out, words)
	}
	g, _ = gateway(t, Options{Secret: secrets}, private(s.URL, `,"headers":{"Authorization":"{secret:other}"}`))
	if out := g.Do(t.Context(), post(s.URL, "/")); out.Retry || !strings.Contains(out.Response.Metadata, `there is no secret \"other\"`) {
		t.Errorf("%+v", out)
	}
	if n := s.calls.Load(); n != 1 {
		t.Errorf("%d calls", n)
	}
}

// Goal: TLS trusts the authorities it was told, and no others. Method: a service with a certificate of its own.
func TestTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // the stranger is no news
	s.StartTLS()
	defer s.Close()
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	step := post(s.URL, "/")
	step.Request.Type = chain.TypeHTTPS
	trusting, _ := gateway(t, Options{TLS: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}, private(s.URL, ""))
	if out := trusting.Do(t.Context(), step); !out.Response.OK {
		t.Errorf("%+v", out)
	}
	strange, _ := gateway(t, Options{}, private(s.URL, ""))
	if out := strange.Do(t.Context(), step); out.Response.OK || !strings.Contains(out.Response.Metadata, "certificate") {
		t.Errorf("%+v", out)
	}
}

// Goal: one service takes no more calls at a time than it may, and those who wait for it are few. Method: a service that
// holds its calls, and four times as many as it may have.
func TestConcurrency(t *testing.T) {
	var now, most atomic.Int64
	begun, leave := make(chan bool, 100), make(chan bool)
	s := serve(t, func(http.ResponseWriter, *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		begun <- true
		<-leave
	})
	g, _ := gateway(t, Options{}, private(s.URL, `,"concurrency":3`))
	var unmade, made atomic.Int64
	var calls sync.WaitGroup
	do := func() {
		if out := g.Do(t.Context(), post(s.URL, "/")); out.Unmade {
			unmade.Add(1)
			if out.After != crowded || !out.Retry {
				t.Errorf("%+v", out)
			}
		} else if out.Response.OK {
			made.Add(1)
		}
	}
	for range 3 {
		calls.Go(do)
		<-begun
	}
	for range 9 {
		calls.Go(do)
	}
	tick := time.NewTicker(time.Millisecond)
	for unmade.Load() < 6 { // three wait, all others are told to come back
		<-tick.C
	}
	tick.Stop()
	close(leave)
	calls.Wait()
	if most.Load() != 3 || made.Load() != 6 || unmade.Load() != 6 {
		t.Errorf("%d at a time, %d made, %d not", most.Load(), made.Load(), unmade.Load())
	}
}

// Goal: connections to a service are used again, however many calls it allows at a time. Method: rounds of calls that the
// service holds until all of a round are there; it counts the addresses that they come from.
func TestConnectionsAreKept(t *testing.T) {
	const calls, rounds = 64, 3 // more calls than the default of Concurrency
	var mu sync.Mutex
	from := map[string]bool{}
	begun, leave := make(chan bool, calls), make(chan bool)
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		from[r.RemoteAddr] = true
		mu.Unlock()
		begun <- true
		<-leave
	})
	g, _ := gateway(t, Options{}, private(s.URL, `,"concurrency":64`))
	for range rounds {
		var round sync.WaitGroup
		for range calls {
			round.Go(func() {
				if out := g.Do(t.Context(), post(s.URL, "/")); !out.Response.OK {
					t.Errorf("%+v", out)
				}
			})
		}
		for range calls {
			<-begun
		}
		for range calls {
			leave <- true
		}
		round.Wait()
	}
	if len(from) != calls {
		t.Errorf("%d calls at a time came over %d connections", calls, len(from))
	}
}

// Goal: a service that is dead is left alone, found again by one call, and not condemned by calls that a client cuts short.
// Method: a service that can be switched off, on a clock of the test.
func TestBreaker(t *testing.T) {
	var mu sync.Mutex
	at := time.Now()
	pass := func(d time.Duration) { mu.Lock(); at = at.Add(d); mu.Unlock() }
	well := atomic.Bool{}
	var calls atomic.Int64 // those that were cut short may come late
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // so that the end of the client is seen
		if r.URL.Path == "/hang" {
			<-r.Context().Done()
			return
		}
		if calls.Add(1); !well.Load() {
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	g, _ := gateway(t, Options{Now: func() time.Time { mu.Lock(); defer mu.Unlock(); return at }}, private(s.URL, ""))
	for range 2 * breakAfter {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		g.Do(ctx, post(s.URL, "/hang"))
		cancel()
	}
	for range breakAfter {
		if out := g.Do(t.Context(), post(s.URL, "/")); out.Unmade || !out.Retry {
			t.Fatalf("%+v", out)
		}
	}
	before := calls.Load()
	if out := g.Do(t.Context(), post(s.URL, "/")); !out.Unmade || !out.Retry || out.After != breakTime {
		t.Errorf("%+v", out)
	}
	pass(breakTime)
	if out := g.Do(t.Context(), post(s.URL, "/")); out.Unmade { // the trial, which fails
		t.Errorf("%+v", out)
	}
	if out := g.Do(t.Context(), post(s.URL, "/")); !out.Unmade || out.After != 2*breakTime {
		t.Errorf("%+v", out)
	}
	well.Store(true)
	pass(2 * breakTime)
	for range 3 {
		if out := g.Do(t.Context(), post(s.URL, "/")); !out.Response.OK {
			t.Errorf("%+v", out)
		}
	}
	if n := calls.Load() - before; n != 4 {
		t.Errorf("%d calls while it was left alone and after", n)
	}
}

// Goal: only one call tries a service that was left alone, whatever happens to it. Method: the breaker alone.
func TestOneTrial(t *testing.T) {
	b, now := newBreaker(4), time.Now()
	late, _, err := b.enter(t.Context(), now)
	if err != nil {
		t.Fatal(err)
	}
	for range breakAfter {
		ticket, _, _ := b.enter(t.Context(), now)
		b.leave(ticket, dead, now)
	}
	now = now.Add(breakTime)
	trial, away, _ := b.enter(t.Context(), now)
	if !trial.trial || away != 0 {
		t.Fatal(trial, away)
	}
	b.leave(late, nothing, now) // begun long before: it is no trial
	if _, away, _ := b.enter(t.Context(), now); away != breakTime {
		t.Error("a second trial")
	}
	b.leave(trial, nothing, now)
	if trial, away, _ = b.enter(t.Context(), now); !trial.trial || away != 0 {
		t.Error("a trial that was cut short is not made again")
	}
	b.leave(trial, alive, now)
	cut, cancel := context.WithCancel(t.Context())
	for range cap(b.places) {
		if _, away, err := b.enter(t.Context(), now); away != 0 || err != nil {
			t.Fatal(away, err)
		}
	}
	cancel()
	if _, _, err := b.enter(cut, now); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
