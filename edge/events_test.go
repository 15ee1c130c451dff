package edge_test

import (
	"net"
	"testing"

	"gosper/broker"
	"gosper/edge"
	"gosper/edge/door/websocket"
	"gosper/protocol"
)

// Goal: a listener that got its __pong__ hears, and what it was told first is no older than that. Method: a bus that holds its
// subscription up; a ping, with a control frame behind it that is answered at once; the state changes,
// the bus goes on, a message comes.
func TestEventsPongMeansHearing(t *testing.T) {
	s := start(t, nil)
	gate := make(chan struct{})
	s.bus.slow = gate
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c := dial(t, ln.Addr())
	far, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	state := "old" // changed before the gate opens
	listening := &edge.Listening{Subjects: []string{"events"}, Code: protocol.ClosePolicy, First: func() []byte { return []byte(state) }}
	if err := s.Adopt(far, websocket.NewEvents(nil), edge.AdoptInfo{Listening: listening}); err != nil {
		t.Fatal(err)
	}
	c.text("__ping__")
	c.send(string(protocol.AppendMaskedFrame(nil, protocol.OpPing, [4]byte{}, []byte("behind it"))))
	if op, b := c.frame(); op != protocol.OpPong {
		t.Fatalf("before it hears, a listener gets %v %s", op, b)
	}
	state = "new"
	close(gate)
	for _, want := range []string{"new", "__pong__", `{"news":1}`} {
		if op, b := c.frame(); op != protocol.OpText || string(b) != want {
			t.Fatalf("got %v %s, want %s", op, b, want)
		}
		if want == "__pong__" {
			s.bus.Publish("events", []byte(`{"news":1}`), broker.Keep{Messages: 1}, nil)
		}
	}
}
