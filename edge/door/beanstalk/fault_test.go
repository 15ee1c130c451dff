package beanstalk

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"gosper/broker"
	"gosper/broker/memory"
	"gosper/edge"
)

// sick is a queue that fails.
type sick struct {
	*memory.Queue
	fault error
}

func (q sick) Put(_ string, _ []byte, _ broker.PutOptions, done func(uint64, error)) {
	go done(0, q.fault)
}

// exchange sends bytes and returns what comes back until the server closes.
func exchange(t *testing.T, addr, bytes string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	go func() { _, _ = io.WriteString(c, bytes) }()
	b, err := io.ReadAll(c)
	var reset *net.OpError
	if err != nil && !errors.As(err, &reset) {
		t.Fatal(err)
	}
	return string(b)
}

// Goal: what the queue refuses has its word. Method: a queue that fails, for each error; answers keep their order.
func TestErrorsOfTheQueue(t *testing.T) {
	for want, fault := range map[string]error{
		"OUT_OF_MEMORY": broker.ErrDiskFull, "JOB_TOO_BIG": broker.ErrTooBig, "DRAINING": broker.ErrDraining, "INTERNAL_ERROR": broker.ErrTimeout,
	} {
		_, addr := serve(t, sick{memory.NewQueue(broker.QueueOptions{}), fmt.Errorf("wrapped: %w", fault)}, nil)
		if got := exchange(t, addr, "put 0 0 1 1\r\nx\r\nlist-tube-used\r\nquit\r\n"); got != want+"\r\nUSING default\r\n" {
			t.Errorf("%v: %q", fault, got)
		}
	}
}

// Goal: a drain refuses puts with its word and lets workers go on. Method: drain between two puts.
func TestDrain(t *testing.T) {
	d, addr := serve(t, memory.NewQueue(broker.QueueOptions{}), nil)
	exchange(t, addr, "put 0 0 1 1\r\nx\r\nquit\r\n")
	d.Drain()
	if got := exchange(t, addr, "put 0 0 1 1\r\ny\r\nreserve\r\nquit\r\n"); !strings.HasPrefix(got, "DRAINING\r\nRESERVED ") {
		t.Errorf("%q", got)
	}
}

// Goal: who sends further ahead than is kept is cut, who stays within is answered in full. Method: a reserve that waits, and
// commands behind it below and above the limit.
func TestFarAhead(t *testing.T) {
	q := memory.NewQueue(broker.QueueOptions{})
	_, addr := serve(t, q, func(l *edge.Limits) { l.QueueHeld = 1 << 16 })
	const use = "use a\r\n"
	wait := "reserve-with-timeout 1\r\n"
	got := exchange(t, addr, wait+strings.Repeat(use, 9000)+"quit\r\n")
	if strings.Count(got, "USING a\r\n") != 9000 || !strings.HasPrefix(got, "TIMED_OUT\r\n") {
		t.Errorf("%d answers", strings.Count(got, "\n"))
	}
	if got := exchange(t, addr, "reserve\r\n"+strings.Repeat(use, 20000)); strings.Contains(got, "USING") {
		t.Error("answered before the reserve")
	}
	// Many more puts than slots, in one go: each is answered, in order.
	const puts = 3 * aheadMax
	answers := strings.Split(exchange(t, addr, strings.Repeat("put 0 0 1 0\r\n\r\n", puts/4)+"quit\r\n"), "\r\n")
	last := 0
	for _, a := range answers[:len(answers)-1] {
		var id int
		if _, err := fmt.Sscanf(a, "INSERTED %d", &id); err != nil || id <= last {
			t.Fatalf("%q after %d", a, last)
		}
		last = id
	}
	if len(answers)-1 != puts/4 {
		t.Errorf("%d answers to %d puts", len(answers)-1, puts/4)
	}
}

// Goal: no bytes break the door or another connection. Method: random commands and noise, seeded; then an honest talk.
func TestNoise(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	_, addr := serve(t, memory.NewQueue(broker.QueueOptions{}), nil)
	words := []string{"put 0 0 1 3\r\nabc\r\n", "put 1 1 1 70000\r\n", "put 0 0 0 2\r\n", "reserve-with-timeout 0\r\n", "delete 1\r\n", "release 2 1 0\r\n",
		"bury 3 1\r\n", "kick 5\r\n", "kick-job 4\r\n", "watch a\r\n", "ignore a\r\n", "use b\r\n", "stats\r\n", "stats-job 2\r\n", "stats-tube b\r\n",
		"peek-ready\r\n", "list-tubes\r\n", "pause-tube b 0\r\n", "touch 5\r\n", "reserve-job 6\r\n", "\x00\xff\r\n", "\r", "\n", "x", strings.Repeat("y", 230)}
	for round := range 200 {
		var b strings.Builder
		for range r.IntN(30) {
			b.WriteString(words[r.IntN(len(words))])
		}
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatalf("seed %d, round %d: %v", seed, round, err)
		}
		_, _ = io.WriteString(c, b.String())
		if round%2 == 0 {
			_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
			_, _ = io.Copy(io.Discard, c)
		}
		c.Close()
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, "list-tube-used\r\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(c).ReadString('\n'); line != "USING default\r\n" {
		t.Errorf("seed %d: %q %v", seed, line, err)
	}
}

// Goal: a connection that goes leaves nothing behind: its jobs are ready, its tubes gone, its counts zero. Method: many
// connections that reserve and vanish.
func TestGoneClients(t *testing.T) {
	q := memory.NewQueue(broker.QueueOptions{})
	d, addr := serve(t, q, nil)
	for i := range 50 {
		exchange(t, addr, fmt.Sprintf("use t%d\r\nwatch w%d\r\nput 0 0 100 1\r\nx\r\nwatch t%d\r\nreserve\r\nquit\r\n", i, i, i))
	}
	limit := time.NewTimer(patience)
	defer limit.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		ready, reserved := uint64(0), uint64(0)
		for _, tube := range q.Tubes() {
			s, err := q.Stats(tube)
			if err != nil {
				t.Fatal(err)
			}
			ready, reserved = ready+s.Ready, reserved+s.Reserved
		}
		if ready == 50 && reserved == 0 && len(d.tubes.names()) == 0 && d.clients.open.Load() == 0 && d.clients.workers.Load() == 0 && d.clients.waiting.Load() == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatalf("ready %d, reserved %d, tubes %v, open %d", ready, reserved, d.tubes.names(), d.clients.open.Load())
		}
	}
}
