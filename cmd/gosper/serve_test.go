package main

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// served is a gosper serve as a process of its own.
type served struct {
	cmd            *exec.Cmd
	out            *watched
	line, internal string
	ended          chan error
}

func launch(t *testing.T, data string, args ...string) *served {
	t.Helper()
	s := &served{out: newWatched(), ended: make(chan error, 1)}
	s.cmd = exec.Command(os.Args[0], append([]string{"serve", "--data", data, "--line-addr", "127.0.0.1:0", "--gate-addr", "127.0.0.1:0", "--gate-worker-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0",
		"--internal-addr", "127.0.0.1:0"}, args...)...)
	s.cmd.Stdout = s.out
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.ended <- s.cmd.Wait() }()
	t.Cleanup(func() { s.cmd.Process.Kill() })
	s.internal = s.out.await(t, `internal +http://(\S+)/metrics`)
	s.line = s.out.await(t, `lines +(\S+)`)
	return s
}

// end waits for the end of the process and returns the signal that ended it, 0 when it was none.
func (s *served) end(t *testing.T) (signal syscall.Signal, code int) {
	t.Helper()
	select {
	case err := <-s.ended:
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			return 0, 0
		}
		status := exit.Sys().(syscall.WaitStatus)
		if status.Signaled() {
			return status.Signal(), -1
		}
		return 0, status.ExitStatus()
	case <-time.After(30 * time.Second):
		t.Fatal("the process goes on")
	}
	return 0, 0
}

// Goal: the first SIGTERM drains, with readiness gone and no new session, the second ends at once, and the folder is good
// for the next start. Method: a drain that takes a minute, with connections that it has to let go.
func TestSecondSignalEnds(t *testing.T) {
	data := t.TempDir()
	s := launch(t, data, "--limit-drain-spread", "60s", "--drain-timeout", "60s", "--limit-auth-timeout", "60s")
	for range 20 {
		c, err := net.Dial("tcp", s.line)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	// What was accepted is seen in the metrics; what is still on its way would be refused by the drain.
	awaitAnswer(t, "http://"+s.internal+"/metrics", func(_ int, body string) bool {
		return strings.Contains(body, `gosper_connections{door="line"} 20`)
	})
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.out.await(t, `(draining)`)
	awaitAnswer(t, "http://"+s.internal+"/readyz", func(status int, _ string) bool { return status == http.StatusServiceUnavailable })
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if signal, code := s.end(t); signal != syscall.SIGTERM {
		t.Errorf("ended by signal %v with code %d", signal, code)
	}
	if took := time.Since(begin); took > 30*time.Second { // the drain takes a minute
		t.Errorf("the second signal took %v", took)
	}
	again := launch(t, data, "--limit-drain-spread", "0s")
	if err := again.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if signal, code := again.end(t); signal != 0 || code != exitOK {
		t.Errorf("one signal: ended by %v with code %d", signal, code)
	}
}

// awaitAnswer asks until the answer is the right one.
func awaitAnswer(t *testing.T, address string, right func(status int, body string) bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; {
		response, err := http.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if right(response.StatusCode, string(b)) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s says %s", address, b)
		}
	}
}
