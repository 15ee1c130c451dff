package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gosper/broker/quiet"
)

// binary is the built program, made once for all tests of the package and removed by TestMain.
var binary struct {
	once sync.Once
	dir  string
	err  error
}

func gosper(t *testing.T) string {
	t.Helper()
	binary.once.Do(func() {
		if binary.dir, binary.err = os.MkdirTemp("", "gosper-e2e-"); binary.err != nil {
			return
		}
		build := exec.Command("go", "build", "-o", filepath.Join(binary.dir, "gosper"), "gosper/cmd/gosper")
		if output, err := build.CombinedOutput(); err != nil {
			binary.err = fmt.Errorf("%w\n%s", err, output)
		}
	})
	if binary.err != nil {
		t.Fatalf("building the server: %v", binary.err)
	}
	return filepath.Join(binary.dir, "gosper")
}

// server is a node in a process of its own, on ports and with a data folder that survive a restart.
type server struct {
	t                    *testing.T
	data                 string
	line, http, internal string
	flags                []string
	process              *exec.Cmd
	output               *bytes.Buffer
	ended                chan struct{}
}

// newServer starts a node with these flags and waits until it is ready.
func newServer(t *testing.T, flags ...string) *server {
	t.Helper()
	addrs, err := quiet.Addrs(3)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, data: t.TempDir(), line: addrs[0], http: addrs[1], internal: addrs[2], flags: flags}
	s.start()
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			t.Logf("the server said:\n%s", tail(s.output.String(), 4000))
		}
	})
	return s
}

func (s *server) start() {
	s.t.Helper()
	s.output = &bytes.Buffer{}
	s.process = exec.Command(gosper(s.t), append([]string{"serve", "--data", s.data,
		"--line-addr", s.line, "--http-addr", s.http, "--internal-addr", s.internal,
		"--gate-addr", "", "--gate-worker-addr", "",
		"--call-timeout", patience.String()}, s.flags...)...) // the hash of a password takes its time on a busy machine
	s.process.Stdout, s.process.Stderr = s.output, s.output
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.ended = make(chan struct{})
	go func(process *exec.Cmd, ended chan struct{}) {
		_ = process.Wait() // a killed process always ends with an error
		close(ended)
	}(s.process, s.ended)
	eventually(s.t, "the server is ready", func() bool {
		select {
		case <-s.ended:
			s.t.Fatalf("the server ended at once:\n%s", s.output)
		default:
		}
		answer, err := http.Get("http://" + s.internal + "/readyz")
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
}

// kill ends the process with SIGKILL and waits for its end.
func (s *server) kill() {
	_ = s.process.Process.Signal(syscall.SIGKILL) // it may have ended already
	<-s.ended
}

func (s *server) url() string { return "http://" + s.http + "/" }

// nonce registers a nonce for a player without account, as a trusted service does.
func (s *server) nonce(world, name, family string) string {
	s.t.Helper()
	nonce := fmt.Sprintf("nonce-%d-%s", time.Now().UnixNano(), name)
	body, _ := json.Marshal(map[string]any{"nonce": nonce, "payload": map[string]string{"world": world, "gn": name, "fn": family}})
	answer, err := http.Post("http://"+s.internal+"/register_nonce", "application/json", bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		s.t.Fatalf("register_nonce: %s", answer.Status)
	}
	return nonce
}

// emailCode returns the code of the nth e-mail that waits for this address, as soon as it is there: who has forgotten a
// password is answered before the e-mail is written.
func (s *server) emailCode(to string, nth int) (code string) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("e-mail %d for %s", nth, to), func() bool {
		answer, err := http.Get("http://" + s.internal + "/admin/mail/outbox")
		if err != nil {
			s.t.Fatal(err)
		}
		defer answer.Body.Close()
		var outbox struct {
			Emails []struct{ To, Code string }
		}
		if err := json.NewDecoder(answer.Body).Decode(&outbox); err != nil {
			s.t.Fatal(err)
		}
		count := 0
		for _, email := range outbox.Emails {
			if email.To == to {
				count++
				code = email.Code
			}
		}
		return count == nth
	})
	return code
}

// phone is a raw client of the line door.
type phone struct {
	t     *testing.T
	conn  net.Conn
	lines *bufio.Reader
}

// phone dials the line door and registers.
func (s *server) phone(world, name, family string) *phone {
	s.t.Helper()
	nonce := s.nonce(world, name, family)
	conn, err := net.Dial("tcp", s.line)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	p := &phone{t: s.t, conn: conn, lines: bufio.NewReader(conn)}
	p.say("00REGISTER" + nonce)
	p.expect("00000000OK")
	return p
}

func (p *phone) say(line string) {
	p.t.Helper()
	if _, err := p.conn.Write([]byte(line + "\r\n")); err != nil {
		p.t.Fatal(err)
	}
}

// expect reads the next line, which must be this one.
func (p *phone) expect(line string) {
	p.t.Helper()
	if err := p.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		p.t.Fatal(err)
	}
	got, err := p.lines.ReadString('\n')
	if err != nil || got != line+"\r\n" {
		p.t.Fatalf("the phone read %q (%v), want %q", got, err, line)
	}
}

// until reads lines until one begins with this, and returns what stands behind it.
func (p *phone) until(prefix string) string {
	p.t.Helper()
	if err := p.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		p.t.Fatal(err)
	}
	for {
		line, err := p.lines.ReadString('\n')
		if err != nil {
			p.t.Fatalf("the phone waited for %q: %v", prefix, err)
		}
		if rest, ok := strings.CutPrefix(line, prefix); ok {
			return strings.TrimSpace(rest)
		}
	}
}

// eventually waits until a condition of another process holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	end := time.After(patience)
	for !holds() {
		select {
		case <-again.C:
		case <-end:
			t.Fatalf("never true: %s", what)
		}
	}
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }
