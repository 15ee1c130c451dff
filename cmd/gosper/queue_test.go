package main

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	library "github.com/beanstalkd/go-beanstalk"
)

// Goal: an operator sees tubes, jobs and timers and moves jobs by hand. Method: a node in this process, jobs put through its
// beanstalkd port, every word of gosper queue and gosper schedule.
func TestQueueTools(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	out, errs := newWatched(), newWatched()
	exit := make(chan int, 1)
	go func() {
		exit <- run(ctx, []string{"serve", "--data", filepath.Join(t.TempDir(), "data"), "--line-addr", "127.0.0.1:0", "--gate-addr", "127.0.0.1:0", "--gate-worker-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0",
			"--internal-addr", "127.0.0.1:0", "--beanstalk-addr", "127.0.0.1:0", "--limit-drain-spread", "0s"}, stdio{strings.NewReader(""), out, errs})
	}()
	internal := out.await(t, `internal +http://(\S+)/metrics`)
	addr := out.await(t, `beanstalkd +(\S+)`)
	c, err := library.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	tube := library.NewTube(c, "t")
	for _, body := range []string{"one", "two"} {
		if _, err := tube.Put([]byte(body), 7, 0, 60e9); err != nil {
			t.Fatal(err)
		}
	}
	tool := func(want int, args ...string) string {
		t.Helper()
		code, text, errs := run0(append(args, "--internal-addr", internal)...)
		if code != want || want != exitOK && strings.Count(errs, "\n") != 1 {
			t.Fatalf("%v: exit %d, %q %q", args, code, text, errs)
		}
		return text
	}
	if text := tool(exitOK, "queue", "list"); !strings.Contains(text, "bg_email") || !strings.Contains(text, "\nt ") {
		t.Error(text)
	}
	if text := tool(exitOK, "queue", "list", "t", "ready"); strings.Count(text, "\n") != 2 || !strings.Contains(text, `"one"`) {
		t.Error(text)
	}
	id, _, _ := strings.Cut(tool(exitOK, "queue", "list", "t", "ready"), " ")
	tool(exitOK, "queue", "bury", id, "no good")
	if text := tool(exitOK, "queue", "peek", id); !strings.Contains(text, "buried") || !strings.Contains(text, "reason: no good") {
		t.Error(text)
	}
	if text := tool(exitOK, "queue", "list", "--json", "t", "buried"); !strings.Contains(text, `"reason":"no good"`) {
		t.Error(text)
	}
	if text := tool(exitOK, "queue", "kick", "t", "10"); text != "kicked 1\n" {
		t.Error(text)
	}
	tool(exitError, "queue", "kick", id)
	tool(exitOK, "queue", "pause", "t", "1h")
	if text := tool(exitOK, "queue", "stats", "t"); !strings.Contains(text, "59m") {
		t.Error(text)
	}
	if _, _, err := c.Reserve(0); err == nil {
		t.Error("a job of a paused tube was reserved")
	}
	tool(exitOK, "queue", "delete", id)
	tool(exitError, "queue", "delete", id)
	tool(exitError, "queue", "peek", "999999")
	tool(exitError, "queue", "stats", "none")
	tool(exitError, "queue", "list", "t", "lost")
	tool(exitError, "queue", "pause", "t", "long")
	for _, args := range [][]string{{"queue"}, {"queue", "peek", "x"}, {"queue", "list", "t"}, {"schedule"}, {"schedule", "cancel"}} {
		tool(exitUsage, args...)
	}
	if text := tool(exitOK, "schedule", "stats"); text != "0 timers pending\n" {
		t.Error(text)
	}
	if text := tool(exitOK, "schedule", "list"); text != "" {
		t.Error(text)
	}
	tool(exitError, "schedule", "cancel", "building.none")
	cancel()
	if code := <-exit; code != exitOK {
		t.Errorf("serve: exit %d, %s", code, errs.text.String())
	}
}
