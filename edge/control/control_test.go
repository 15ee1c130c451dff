package control

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"

	"gosper/broker/memory"
	"gosper/edge"
	"gosper/edge/module"
)

// The HTTP server leaves two goroutines that sleep and end by themselves; the loops' library keeps a pool of its own.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/panjf2000/ants/v2.(*poolCommon).purgeStaleWorkers"),
		goleak.IgnoreAnyFunction("github.com/panjf2000/ants/v2.(*poolCommon).ticktock"))
}

// patience bounds the wait for a condition. It only costs time when a test fails.
const patience = 30 * time.Second

// rig is a Server on memory engines. Adopted sockets are answered with what was told of them, and closed.
type rig struct {
	t     *testing.T
	s     *Server
	table *module.Table
	bus   *memory.Bus
	room  room
}

// room counts places, with and without an address, and refuses addresses of 192.0.2.0/24.
type room struct{ held, known, max atomic.Int64 }

func (r *room) Acquire(from netip.Addr) bool {
	if r.held.Add(1) > r.max.Load() {
		r.held.Add(-1)
		return false
	}
	return r.Claim(from)
}

func (r *room) Claim(from netip.Addr) bool {
	if netip.MustParsePrefix("192.0.2.0/24").Contains(from) {
		return false
	}
	if from.IsValid() {
		r.known.Add(1)
	}
	return true
}

func (r *room) Release(from netip.Addr) {
	r.held.Add(-1)
	if from.IsValid() {
		r.known.Add(-1)
	}
}

// newRig starts a server whose configuration may be changed first.
func newRig(t *testing.T, change func(*Config)) *rig {
	r := &rig{t: t, bus: memory.NewBus(memory.BusOptions{})}
	r.room.max.Store(1000)
	store, registry := memory.NewStore(), memory.NewRegistry()
	log := slog.New(slog.DiscardHandler)
	var err error
	o := module.DefaultOptions()
	o.CallTimeout = patience
	r.table, err = module.New(module.Config{Options: o, Store: store, Registry: registry, Bus: r.bus,
		Secret: []byte("0123456789abcdef"), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	c := Config{HTTPAddr: "127.0.0.1:0", InternalAddr: "127.0.0.1:0", Limits: DefaultLimits(), Table: r.table, Bus: r.bus, Log: log,
		Room: &r.room, Version: "test",
		Page: fstest.MapFS{"index.html": {Data: []byte("<!doctype html>" + strings.Repeat("gosper ", 200))}, "app.js": {Data: []byte("1")}},
		Adopt: func(c net.Conn, info edge.AdoptInfo) error {
			fmt.Fprintf(c, "remote %s subprotocol %q leftover %q\n", info.Remote, info.Subprotocol, info.Leftover)
			r.room.Release(info.Remote)
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
	c.SetDeadline(time.Now().Add(patience))
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
