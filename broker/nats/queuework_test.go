package nats

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gosper/broker"
	"gosper/broker/memory"
	"gosper/broker/worker"
	"gosper/edge"
	"gosper/edge/door/beanstalk"
	"gosper/edge/module"
)

// noFunctions is the dispatcher of an engine whose only door calls no functions.
type noFunctions struct{ module.Dispatcher }

// beanstalkd runs the port of beanstalkd on a queue and returns a connection to it.
func beanstalkd(t *testing.T, q broker.Queue) (say func(text string, answers int) []string) {
	t.Helper()
	bus := memory.NewBus(memory.BusOptions{})
	d := beanstalk.New(q, "1.12", slog.New(slog.DiscardHandler))
	engine, err := edge.Start(edge.Config{Loops: 1, Bus: bus, Dispatcher: noFunctions{}, Limits: edge.DefaultLimits(),
		Listeners: []edge.Listener{{Name: "beanstalk", Addr: "127.0.0.1:0", Door: d}}})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", engine.Addr("beanstalk").String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
		d.Close()
		bus.Close()
	})
	in := bufio.NewReader(conn)
	return func(text string, answers int) (lines []string) {
		t.Helper()
		_ = conn.SetDeadline(time.Now().Add(patience))
		fmt.Fprint(conn, strings.ReplaceAll(text, "\n", "\r\n"))
		for range answers {
			line, err := in.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, strings.TrimSuffix(line, "\r\n"))
		}
		return lines
	}
}

// Goal: what works on jobs does so over this engine, on different nodes. Method: a beanstalkd client at one node puts jobs
// for the workers of another one, and timers of the first make jobs for it.
func TestQueueAtWork(t *testing.T) {
	t.Parallel()
	url := start(t, t.TempDir(), -1).ClientURL()
	both := crew(t, 2, url)
	first, second := both[0], both[1]
	say := beanstalkd(t, second)

	var worked atomic.Int64
	runtime, err := worker.Start(worker.Options{Queue: first, Tubes: []worker.Tube{{Name: "bg_work", Concurrency: 3, Base: time.Millisecond, Routes: worker.Routes{
		"/count": func(_ context.Context, j *worker.Job) error {
			if j.Reserves == 1 && j.ID%5 == 0 {
				return fmt.Errorf("not yet")
			}
			worked.Add(1)
			return nil
		}}}}})
	if err != nil {
		t.Fatal(err)
	}
	const n = 50
	body := `{"route":"/count"}`
	text := "use bg_work\n"
	for range n {
		text += fmt.Sprintf("put 5 0 60 %d\n%s\n", len(body), body)
	}
	for _, line := range say(text, n+1)[1:] {
		if !strings.HasPrefix(line, "INSERTED ") {
			t.Fatal(line)
		}
	}
	eventually(t, "all jobs are worked on", func() bool {
		stats, err := first.Stats("bg_work")
		return err == nil && worked.Load() == n && stats.Ready+stats.Reserved+stats.Delayed+stats.Buried == 0
	})
	if err := runtime.Stop(context.Background()); err != nil {
		t.Error(err)
	}

	err = first.schedule.Set(context.Background(), broker.Timer{Key: "built", Due: time.Now().Add(50 * time.Millisecond), Tube: "news", Body: []byte("built"),
		Put: broker.PutOptions{TTR: time.Minute}})
	if err != nil {
		t.Fatal(err)
	}
	got := say("watch news\nreserve-with-timeout 30\n", 3)
	var id, size uint64
	if _, err := fmt.Sscanf(got[1], "RESERVED %d %d", &id, &size); err != nil || got[2] != "built" {
		t.Fatal(got)
	}
	got = say(fmt.Sprintf("touch %d\npause-tube news 1\npause-tube news 0\nbury %[1]d 3\nkick-job %[1]d\nreserve-job %[1]d\n", id), 7)
	want := []string{"TOUCHED", "PAUSED", "PAUSED", "BURIED", "KICKED", fmt.Sprintf("RESERVED %d %d", id, size), "built"}
	if strings.Join(got, ";") != strings.Join(want, ";") {
		t.Errorf("%q, want %q", got, want)
	}
	if got := say(fmt.Sprintf("delete %d\npeek %[1]d\n", id), 2); got[0] != "DELETED" || got[1] != "NOT_FOUND" {
		t.Error(got)
	}
}
