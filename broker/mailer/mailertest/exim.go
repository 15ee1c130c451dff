package mailertest

import (
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gosper/broker/quiet"
)

//go:embed exim.conf
var configuration string

// Patience is how long the server may take to start, and a mail to arrive.
const Patience = time.Minute

// eximUser is who the Debian package lets Exim be.
const eximUser = "Debian-exim"

// Server is Exim as a process. It takes mails for anyone at example.com from User alone, puts off those for
// later@example.com (451), and refuses any other domain for good (550).
type Server struct {
	Addr           string // STARTTLS
	TLSAddr        string // TLS from the first byte
	User, Password string
	Certificate    Certificate

	folder  string
	process *exec.Cmd
	ended   chan struct{} // closed when the process has gone
}

// New prepares a server on free ports of loopback, which Start starts: until then nobody listens there. The test is
// skipped where Exim cannot run.
func New(t testing.TB) *Server {
	t.Helper()
	if _, err := exec.LookPath(exim()); err != nil {
		t.Skip("exim4 is not installed (Debian: exim4-daemon-light): there is no SMTP server to send to")
	}
	if os.Getuid() != 0 {
		t.Skip("exim4 with a configuration of the test needs root")
	}
	folder, err := os.MkdirTemp("", "exim") // short: Exim has a limit for paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	s := &Server{Addr: freeAddr(t), TLSAddr: freeAddr(t), User: "game", Password: "correct-horse", folder: folder, Certificate: NewCertificate(t, folder)}
	values := strings.NewReplacer("FOLDER", folder, "PLAINPORT", port(s.Addr), "TLSPORT", port(s.TLSAddr), "USER", s.User, "PASSWORD", s.Password)
	if err := os.WriteFile(s.config(), []byte(values.Replace(configuration)), 0o600); err != nil {
		t.Fatal(err)
	}
	s.give(t)
	return s
}

// give lets the user that Exim runs as write in the folder: mails are never written by root.
func (s *Server) give(t testing.TB) {
	t.Helper()
	u, err := user.Lookup(eximUser)
	if err != nil {
		t.Skip("there is no user for exim4: ", err)
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{s.folder, s.Certificate.CertFile, s.Certificate.KeyFile} {
		if err := os.Chown(name, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
}

// Start starts the process, which ends with the test, and waits until it answers.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	said, err := os.Create(filepath.Join(s.folder, "said"))
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	s.process = exec.Command(exim(), "-C", s.config(), "-bdf")
	s.process.Stdout, s.process.Stderr = said, said
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	s.ended = make(chan struct{})
	go func() {
		_ = s.process.Wait() // it ends by a signal
		close(s.ended)
	}()
	t.Cleanup(s.stop)
	s.await(t, "Exim answers", func() bool {
		select {
		case <-s.ended:
			t.Fatalf("Exim ended: %s", s.file("said"))
		default:
		}
		return answers(s.Addr) && answers(s.TLSAddr)
	})
}

func (s *Server) stop() {
	_ = s.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(Patience):
		_ = s.process.Process.Kill()
		<-s.ended
	}
}

// Mail waits for the next mail in the Maildir, takes it out and returns its bytes.
func (s *Server) Mail(t testing.TB) []byte {
	t.Helper()
	var mail []byte
	s.await(t, "a mail arrives", func() bool {
		arrived := s.arrived(t)
		if len(arrived) == 0 {
			return false
		}
		var err error
		if mail, err = os.ReadFile(arrived[0]); err == nil {
			err = os.Remove(arrived[0])
		}
		if err != nil {
			t.Fatal(err)
		}
		return true
	})
	return mail
}

// Waiting returns how many mails have arrived and were not taken.
func (s *Server) Waiting(t testing.TB) int {
	t.Helper()
	return len(s.arrived(t))
}

func (s *Server) arrived(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.folder, "mail/new/*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// Idle waits until Exim serves no connection and delivers no mail: it has a process for each.
func (s *Server) Idle(t testing.TB) {
	t.Helper()
	children := fmt.Sprintf("/proc/%d/task/%[1]d/children", s.process.Process.Pid)
	s.await(t, "Exim is idle", func() bool {
		text, err := os.ReadFile(children)
		if err != nil {
			t.Fatal(err)
		}
		return len(text) == 0
	})
}

// file is the text of a file that Exim writes.
func (s *Server) file(name string) string {
	text, _ := os.ReadFile(filepath.Join(s.folder, name)) // there may be none yet
	return string(text)
}

func (s *Server) config() string { return filepath.Join(s.folder, "exim.conf") }

// await asks again and again. When it takes too long the test fails with the log of the server.
func (s *Server) await(t testing.TB, what string, done func() bool) {
	t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	late := time.After(Patience)
	for !done() {
		select {
		case <-again.C:
		case <-late:
			t.Fatalf("not within %v: %s; Exim noted:\n%s", Patience, what, s.file("main.log"))
		}
	}
}

// exim is the program; Debian's folder for it is not on every PATH.
func exim() string {
	if _, err := exec.LookPath("exim4"); err == nil {
		return "exim4"
	}
	return "/usr/sbin/exim4"
}

func answers(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, Patience)
	if err != nil {
		return false
	}
	return c.Close() == nil
}

func freeAddr(t testing.TB) string {
	t.Helper()
	addrs, err := quiet.Addrs(1)
	if err != nil {
		t.Fatal(err)
	}
	return addrs[0]
}

func port(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}
