package nats

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// Goal: a link whose connection the client has ended by itself, as it does after an error of the server that it does not know,
// closes like any other. Method: end the connection behind the link's back.
func TestLinkEndedByClient(t *testing.T) {
	t.Parallel()
	o, err := Options{URL: start(t, t.TempDir(), -1).ClientURL()}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	l, err := reach(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	l.run(events{message: func(*nats.Msg) {}, back: func() {}, dropped: func(string) {}, sweep: func(time.Time) {}})
	l.conn.Close()
	done := make(chan struct{})
	go func() {
		l.close()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("the link does not close")
	}
	if !l.away.Load() {
		t.Error("a link without a connection is there")
	}
}
