package nats

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// laggard stands between a node and a server. It holds up the node's first write to a log until the node, which has waited for
// the answer in vain, has looked for the write, and looks again before the next try: in between it is stored.
type laggard struct {
	target string
	admin  *nats.Conn
	work   sync.WaitGroup

	mu   sync.Mutex
	held []byte
	over bool
}

func newLaggard(t *testing.T, target string) (url string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &laggard{target: target}
	if l.admin, err = nats.Connect("nats://"+target, nats.Timeout(patience)); err != nil {
		t.Fatal(err)
	}
	l.work.Go(func() {
		for c, err := listener.Accept(); err == nil; c, err = listener.Accept() {
			l.work.Go(func() { l.carry(c) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		l.admin.Close()
		l.work.Wait()
	})
	return "nats://" + listener.Addr().String()
}

// carry is one connection.
func (l *laggard) carry(c net.Conn) {
	defer c.Close()
	s, err := net.Dial("tcp", l.target)
	if err != nil {
		return
	}
	l.work.Go(func() {
		_, _ = io.Copy(c, s) // until one of both has closed
		c.Close()
	})
	defer s.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := c.Read(buffer)
		if err != nil || l.pass(s, buffer[:n]) != nil {
			return
		}
	}
}

// pass gives on what the node sends, or not yet.
func (l *laggard) pass(s net.Conn, b []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	info := "$JS.API.STREAM.INFO." + logStream
	switch {
	case l.over:
	case bytes.Contains(b, []byte("HPUB "+logPrefix)):
		l.held = append(l.held, b...)
		return nil
	case len(l.held) > 0 && bytes.Contains(b, []byte(info)):
		l.over = true
		if _, err := s.Write(l.held); err != nil {
			return err
		}
		for end := time.Now().Add(patience); time.Now().Before(end); {
			if m, err := l.admin.Request(info, nil, callTimeout); err == nil && !bytes.Contains(m.Data, []byte(`"last_seq":0`)) {
				break
			}
		}
	}
	_, err := s.Write(b)
	return err
}

// Goal: a snapshot whose answer was late is not taken for one that it replaces. Method: its write is stored after the node has
// looked for it in the log, and before the node looks what snapshots are at its place.
func TestSnapshotLate(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir(), -1)
	l := stateAt(t, newLaggard(t, s.Addr().String())).Log()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	if err := l.SaveSnapshot(ctx, "late", 0, 5, []byte("five")); err != nil {
		t.Fatal(err)
	}
	if at, data, err := l.Snapshot(ctx, "late", 9); at != 5 || string(data) != "five" || err != nil {
		t.Errorf("%q at %d, %v", data, at, err)
	}
}
