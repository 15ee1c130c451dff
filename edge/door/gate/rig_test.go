package gate

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gosper/broker"
	"gosper/broker/memory"
	"gosper/edge"
	"gosper/edge/door/beanstalk"
	"gosper/edge/module"
	"gosper/protocol"
)

// Goal: no goroutine stays. gnet starts two for the life of the process.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/panjf2000/ants/v2.(*poolCommon).purgeStaleWorkers"),
		goleak.IgnoreAnyFunction("github.com/panjf2000/ants/v2.(*poolCommon).ticktock"))
}

// rig is a gate with the function table and the beanstalkd door, on memory engines and real ports.
type rig struct {
	t        testing.TB
	gate     *Gate
	engine   *edge.Engine
	queue    *memory.Queue
	registry *memory.Registry
	client   string // addresses
	worker   string
	jobs     string
}

// waitMost is how long a test waits for what has to come, and how long a connection of a test may last.
const waitMost = time.Minute

func newRig(t testing.TB, change func(*edge.Limits, *Config)) *rig {
	t.Helper()
	r := &rig{t: t, queue: memory.NewQueue(broker.QueueOptions{}), registry: memory.NewRegistry()}
	bus, store := memory.NewBus(memory.BusOptions{}), memory.NewStore()
	o := module.DefaultOptions()
	o.AuthRate, o.WriteRate, o.CallTimeout = module.Rate{}, module.Rate{}, waitMost
	table, err := module.New(module.Config{Options: o, Store: store, Registry: r.registry, Bus: bus, Secret: []byte("0123456789abcdef")})
	if err != nil {
		t.Fatal(err)
	}
	tubes := beanstalk.New(r.queue, "1.12", nil)
	limits := edge.DefaultLimits()
	limits.AuthTimeout, limits.GateTimeout = 2*waitMost, 2*waitMost // what ends by itself is asked for
	config := Config{Table: table, Queue: r.queue, Registry: r.registry, Open: []string{"ping"},
		Consumers: func() bool { return tubes.Watching(Tube) > 0 }}
	if change != nil {
		change(&limits, &config)
	}
	config.Timeout = limits.GateTimeout
	r.gate = New(config)
	tubes.KeepWhile(r.gate.Busy)
	r.engine, err = edge.Start(edge.Config{Loops: 2, Bus: bus, Dispatcher: table, Limits: limits, Listeners: []edge.Listener{
		{Name: "gate", Addr: "127.0.0.1:0", Door: r.gate.Client()}, {Name: "worker", Addr: "127.0.0.1:0", Door: r.gate.Worker()},
		{Name: "jobs", Addr: "127.0.0.1:0", Door: tubes}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.engine.Close(); err != nil {
			t.Error(err)
		}
		r.gate.Close()
		tubes.Close()
		table.Close()
		bus.Close()
		r.queue.Close()
	})
	r.client, r.worker, r.jobs = r.engine.Addr("gate").String(), r.engine.Addr("worker").String(), r.engine.Addr("jobs").String()
	if err := r.gate.Enter(context.Background(), r.worker); err != nil {
		t.Fatal(err)
	}
	return r
}

// side is one raw connection.
type side struct {
	net.Conn
	t  testing.TB
	in *bufio.Reader
}

func (r *rig) dial(addr string) *side {
	r.t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(waitMost))
	return &side{c, r.t, bufio.NewReader(c)}
}

func (s *side) send(text string) {
	s.t.Helper()
	if _, err := io.WriteString(s, text); err != nil {
		s.t.Fatal(err)
	}
}

// line reads one line without its end.
func (s *side) line() string {
	s.t.Helper()
	text, err := s.in.ReadString('\n')
	if err != nil || !strings.HasSuffix(text, "\r\n") {
		s.t.Fatalf("%q %v", text, err)
	}
	return text[:len(text)-2]
}

// rest reads until the other side closes; a reset is an end too.
func (s *side) rest() string {
	b, _ := io.ReadAll(s.in)
	return string(b)
}

// visit sends bytes to the gate and returns all that comes back.
func (r *rig) visit(bytes string) string {
	r.t.Helper()
	s := r.dial(r.client)
	s.send(bytes)
	return s.rest()
}

// request is a line of a client.
func request(function, data string) string {
	return string(protocol.AppendGateRequest(nil, "0", function, []byte(data)))
}

// token logs a device in.
func (r *rig) token(device string) (token, account string) {
	r.t.Helper()
	var answer struct{ Data struct{ Token string } }
	if err := json.Unmarshal([]byte(r.visit(request("login_unique", fmt.Sprintf(`{"unique_id":%q}`, device)))), &answer); err != nil {
		r.t.Fatal(err)
	}
	who, err := r.gate.config.Table.(*module.Table).Authenticate(context.Background(), answer.Data.Token)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer.Data.Token, who.Account
}

// worker is a worker in another process, as far as the gate can tell.
type worker struct {
	*rig
	queue, replies *side
	reserved       string // id of the last job in the queue
}

func (r *rig) newWorker() *worker {
	r.t.Helper()
	w := &worker{rig: r, queue: r.dial(r.jobs), replies: r.dial(r.worker)}
	w.queue.send("watch " + Tube + "\r\n")
	if got := w.queue.line(); got != "WATCHING 2" {
		r.t.Fatal(got)
	}
	return w
}

// reserve takes a job: its id and its JSON.
func (w *worker) reserve() (id, body string) {
	w.t.Helper()
	w.queue.send("reserve\r\n")
	words := strings.Fields(w.queue.line())
	if len(words) != 3 || words[0] != "RESERVED" {
		w.t.Fatal(words)
	}
	w.reserved = words[1]
	size, _ := strconv.Atoi(words[2])
	job := w.queue.line()
	if len(job) != size {
		w.t.Fatalf("%d bytes, want %d", len(job), size)
	}
	jid, text, err := protocol.ParseJob([]byte(job))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(jid), string(text)
}

// done deletes the job that was reserved last.
func (w *worker) done() {
	w.t.Helper()
	w.queue.send("delete " + w.reserved + "\r\n")
	if got := w.queue.line(); got != "DELETED" {
		w.t.Fatal(got)
	}
}

// eventually waits for a condition.
func (r *rig) eventually(what string, ok func() bool) {
	r.t.Helper()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for end := time.Now().Add(waitMost); !ok(); <-look.C {
		if time.Now().After(end) {
			r.t.Fatal("not in time: " + what)
		}
	}
}

// noJobs says whether nothing of the gate is left in the queue.
func (r *rig) noJobs() bool {
	s, err := r.queue.Stats(Tube)
	return err != nil || s.Ready+s.Reserved+s.Delayed+s.Buried == 0
}
