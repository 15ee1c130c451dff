// Package redistest starts real Redis servers for tests: one process each, on a free loopback port, with a folder of its
// own, ended by its process id when the test ends.
package redistest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"gosper/broker/quiet"
)

// Server is one server process. Its methods are called by the test's goroutine.
type Server struct {
	t      testing.TB
	dir    string
	config []string // a file, if any
	args   []string
	port   int
	cmd    *exec.Cmd
}

// patience bounds the wait for a server to start or end.
const patience = 30 * time.Second

// Need skips the test when there is no redis-server; with CI=true that is a failure.
func Need(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("redis-server is not installed: apt-get install redis-server")
		}
		t.Skip("redis-server is not installed")
	}
	return path
}

// Start runs a server that keeps nothing on disk. More arguments are those of redis-server.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	Need(t)
	s := &Server{t: t, dir: t.TempDir(), port: freePort(t)}
	s.args = append([]string{"--save", "", "--appendonly", "no"}, args...)
	t.Cleanup(s.Kill)
	s.Run()
	return s
}

// StartCluster runs a server in cluster mode that serves all slots alone.
func StartCluster(t testing.TB) *Server {
	t.Helper()
	s := Start(t, "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-port", fmt.Sprint(freePort(t)))
	s.command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
	s.eventually("the cluster to be whole", func() bool { return s.tells("CLUSTER INFO", "cluster_state:ok") })
	return s
}

// StartReplica runs a server that copies another.
func StartReplica(t testing.TB, of *Server) *Server {
	t.Helper()
	s := Start(t, "--replicaof", fmt.Sprintf("127.0.0.1 %d", of.port), "--repl-diskless-sync-delay", "0")
	s.eventually("the replica to follow", func() bool { return s.tells("INFO replication", "master_link_status:up") })
	return s
}

// StartSentinel runs a sentinel that watches a master by the name main, and decides alone, within four seconds: one that only
// waited for its turn must not count as dead.
func StartSentinel(t testing.TB, master *Server) *Server {
	t.Helper()
	s := &Server{t: t, dir: t.TempDir(), port: freePort(t)}
	file := filepath.Join(s.dir, "sentinel.conf")
	config := fmt.Sprintf("sentinel monitor main 127.0.0.1 %d 1\nsentinel down-after-milliseconds main 2000\nsentinel failover-timeout main 3000\n", master.port)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	s.args = []string{"--sentinel"}
	s.config = []string{file}
	t.Cleanup(s.Kill)
	s.Run()
	s.eventually("the sentinel to know the replica", func() bool { return s.tells("SENTINEL REPLICAS main", "*1") })
	return s
}

// Run starts the process, again after Kill, on the same port and with the same folder, and waits until it answers.
func (s *Server) Run() {
	s.t.Helper()
	args := append(slices.Clone(s.config), "--bind", "127.0.0.1", "--port", fmt.Sprint(s.port), "--dir", s.dir, "--daemonize", "no",
		"--logfile", filepath.Join(s.dir, "log"))
	args = append(args, s.args...)
	s.cmd = exec.Command(Need(s.t), args...)
	s.cmd.SysProcAttr = bound()
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.eventually("redis-server to answer", func() bool { return s.tells("PING", "PONG") })
}

// Kill ends the process at once. It is idempotent.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s.cmd = nil
}

// Pause stops the process without ending it; Resume lets it go on.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume lets a paused process go on.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// Addr is host:port.
func (s *Server) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// URL is how to reach the server.
func (s *Server) URL() string { return "redis://" + s.Addr() }

// command sends a command and fails the test if that cannot be.
func (s *Server) command(words ...string) {
	s.t.Helper()
	if _, err := s.Do(words...); err != nil {
		s.t.Fatal(err)
	}
}

// Do sends one command on a connection of its own and returns the beginning of the raw answer, at most 64 KiB.
func (s *Server) Do(words ...string) (string, error) {
	c, err := net.DialTimeout("tcp", s.Addr(), patience)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	request := fmt.Appendf(nil, "*%d\r\n", len(words))
	for _, word := range words {
		request = fmt.Appendf(request, "$%d\r\n%s\r\n", len(word), word)
	}
	if _, err := c.Write(request); err != nil {
		return "", err
	}
	return readAnswer(c)
}

// FreePort returns a loopback port that nobody uses, and that no system gives to who asks for any.
func FreePort(t testing.TB) string {
	t.Helper()
	return strconv.Itoa(freePort(t))
}

// freePort is FreePort as a number.
func freePort(t testing.TB) int {
	t.Helper()
	addrs, err := quiet.Addrs(1)
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(addrs[0])
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// eventually polls until ok.
func (s *Server) eventually(what string, ok func() bool) {
	s.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); time.Now().Before(end); <-tick.C {
		if ok() {
			return
		}
	}
	log, err := os.ReadFile(filepath.Join(s.dir, "log"))
	s.t.Fatalf("waited %s in vain for %s; its log: %s", patience, what, errors.Join(errors.New(string(log)), err))
}
