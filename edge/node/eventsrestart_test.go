package node

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gosper/protocol"
)

// watcher is a client that behaves like the reference's page: it sends __ping__ every 30 seconds, here every 30
// milliseconds, gives the connection up when no __pong__ comes in time, and dials again with its last position.
type watcher struct {
	t       *testing.T
	addr    string
	headers string

	mu     sync.Mutex
	got    []string // messages without their positions
	since  string   // <epoch>.<offset>
	epoch  uint64
	offset uint64
	gaps   int
	dials  int
	done   chan struct{}
}

const (
	watcherPing = 30 * time.Millisecond
	watcherPong = 3500 * time.Millisecond // the reference waits 35 s; a busy machine is not scaled
)

// run dials until it is stopped.
func (w *watcher) run() {
	for {
		select {
		case <-w.done:
			return
		default:
			w.once()
		}
	}
}

// once is one connection, from its dial to its end.
func (w *watcher) once() {
	path := "/api/ws/events?positions=1"
	w.mu.Lock()
	if w.since != "" {
		path += "&since=" + w.since
	}
	w.dials++
	w.mu.Unlock()
	c, err := dialWatcher(w.addr, path, w.headers)
	if err != nil {
		select {
		case <-w.done:
		case <-time.After(20 * time.Millisecond):
		}
		return
	}
	defer c.Close()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		ping := time.NewTicker(watcherPing)
		defer ping.Stop()
		for {
			select {
			case <-ping.C:
				if _, err := c.Write(protocol.AppendMaskedFrame(nil, protocol.OpText, [4]byte{}, []byte("__ping__"))); err != nil {
					return
				}
			case <-w.done:
				c.Close()
				return
			case <-stop:
				return
			}
		}
	}()
	for {
		c.SetReadDeadline(time.Now().Add(watcherPong)) // each __pong__ comes within it
		op, payload, err := c.next()
		if err != nil || op == protocol.OpClose {
			return
		}
		if op == protocol.OpText && string(payload) != "__pong__" {
			w.take(string(payload))
		}
	}
}

// watcherConn is a websocket whose errors end it and not the test.
type watcherConn struct {
	net.Conn
	r *bufio.Reader
}

func dialWatcher(addr, path, headers string) (*watcherConn, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	w := &watcherConn{c, bufio.NewReader(c)}
	c.SetDeadline(time.Now().Add(watcherPong))
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n", path, addr, headers)
	response, err := http.ReadResponse(w.r, nil)
	if err == nil && response.StatusCode != http.StatusSwitchingProtocols {
		err = errors.New(response.Status)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	c.SetDeadline(time.Time{})
	return w, nil
}

// next reads one frame.
func (c *watcherConn) next() (protocol.Opcode, []byte, error) {
	for n := 2; ; n++ {
		b, err := c.r.Peek(n)
		if err != nil {
			return 0, nil, err
		}
		h, used, err := protocol.ParseFrameHeader(b)
		if err != nil {
			return 0, nil, err
		}
		if used == 0 {
			continue
		}
		c.r.Discard(used)
		payload := make([]byte, h.Length)
		_, err = io.ReadFull(c.r, payload)
		return h.Op, payload, err
	}
}

// take notes a message and where it stands.
func (w *watcher) take(message string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	body, position, ok := strings.Cut(message, `,"position":`)
	if !ok {
		return // "Shutting down"
	}
	var epoch, offset uint64
	if _, err := fmt.Sscanf(position, `{"subject":"events","epoch":%d,"offset":%d}}`, &epoch, &offset); err != nil {
		w.t.Errorf("message %s: %v", message, err)
	}
	if strings.Contains(body, `"name":"begin"`) {
		if w.since != "" {
			w.gaps++
		}
	} else {
		w.got = append(w.got, body+"}")
		if epoch == w.epoch && offset != w.offset+1 {
			w.t.Errorf("offset %d after %d", offset, w.offset)
		}
	}
	w.epoch, w.offset = epoch, offset
	w.since = fmt.Sprintf("%d.%d", epoch, offset)
}

// has says whether a message came.
func (w *watcher) has(message string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Contains(w.got, message)
}

// Goal: a client like the reference's page stays with a node that is restarted, orderly and by kill -9, and misses nothing:
// what happened while it was away comes first, in order, without a gap and without doubles. Method: two clients through four
// restarts, one all the time, one that asks for everything at the end; chains end before, and right after, each start.
func TestEventsAcrossRestarts(t *testing.T) {
	data := t.TempDir()
	p := launch(t, data, nil, "GOSPER_LIMIT_DRAIN_SPREAD=100ms")
	headers := bearer(p.token("ann"))
	w := &watcher{t: t, addr: p.http, headers: headers, done: make(chan struct{})}
	var all sync.WaitGroup
	all.Go(w.run)
	stopped := false
	stop := func() {
		if !stopped {
			stopped = true
			close(w.done)
			all.Wait()
		}
	}
	defer stop()
	eventually(t, "the listener hears", func() bool { w.mu.Lock(); defer w.mu.Unlock(); return w.since != "" })
	w.mu.Lock()
	begin := w.since
	w.mu.Unlock()
	var hashes []string
	order := 0
	submit := func() {
		order++
		hash := p.submit(chainWork(order))
		hashes = append(hashes, hash)
	}
	for round := range 4 {
		for range 3 {
			submit()
		}
		if round%2 == 0 {
			p.cmd.Process.Signal(syscall.SIGTERM)
		} else {
			for _, hash := range hashes { // their news is on disk before the kill
				eventually(t, "news", func() bool { return w.has(stale("processes", hash)) })
			}
			p.cmd.Process.Kill()
		}
		p.cmd.Wait()
		http.DefaultClient.CloseIdleConnections()
		p = launch(t, data, p, "GOSPER_LIMIT_DRAIN_SPREAD=100ms")
		submit() // perhaps before the client is back
	}
	last := hashes[len(hashes)-1]
	eventually(t, "the last news", func() bool { return w.has(stale("processes", last)) })
	stop()
	for _, hash := range hashes {
		if !w.has(stale("processes", hash)) {
			t.Errorf("never heard of chain %s", hash)
		}
	}
	if w.dials < 5 || w.gaps > 0 {
		t.Errorf("%d dials, %d gaps", w.dials, w.gaps)
	}
	late := p.listener("/api/ws/events?since="+begin, headers)
	for i, want := range w.got {
		got, _, _ := strings.Cut(late.message(), `,"position":`)
		if got+"}" != want {
			t.Fatalf("message %d of history is %s, heard live as %s", i, got, want)
		}
	}
	t.Logf("%d messages, %d dials", len(w.got), w.dials)
}

// eventually waits until a condition of another goroutine holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	end := time.After(patience)
	for !holds() {
		select {
		case <-again.C:
		case <-end:
			t.Fatalf("never true: %s", what)
		}
	}
}
