package gate

import (
	"testing"

	"gosper/broker/memory"
	"gosper/edge"
)

// Goal: a worker answers at any of several gates, and a reply that no gate waits for does no harm. Method: two gates that share a
// bus; the job of one is answered at the other.
func TestReplyAtAnotherGate(t *testing.T) {
	bus := memory.NewBus(memory.BusOptions{})
	defer bus.Close()
	with := func(_ *edge.Limits, c *Config) { c.Bus = bus }
	r, other := newRig(t, with), newRig(t, with)
	w := r.newWorker()
	c := r.dial(r.client)
	c.send(request("ping", `{}`))
	id, _ := w.reserve()
	far := other.dial(other.worker)
	far.send("0123456789abcdef0123456789abcdef~{\"status\":1}\r\n" + id + "~{\"status\":7}\r\n" + id + "~{\"status\":8}\r\n")
	if got := c.rest(); got != `{"status":7}`+"\r\n" {
		t.Errorf("answered %q", got)
	}
	w.done()
}
