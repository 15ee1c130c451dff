// Package rabbittest starts RabbitMQ, the broker of others that AMQP items talk to, as a process of its own on loopback. It
// needs Linux and the Debian package rabbitmq-server; without them a test is skipped. Nothing of a RabbitMQ that the machine
// runs otherwise is touched: files, ports and even the name server of Erlang (epmd) are the test's own.
package rabbittest

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"gosper/broker/quiet"
)

// Patience is how long the broker may take to start or to stop: six to nine seconds are usual.
const Patience = 3 * time.Minute

// program is the server itself; the one on the PATH changes user and folder.
const program = "/usr/lib/rabbitmq/bin/rabbitmq-server"

// Server is RabbitMQ as a process, with one user. Its queues and messages outlive Stop and Start.
type Server struct {
	Addr           string // host and port
	User, Password string

	t       testing.TB
	folder  string
	names   string // port of epmd
	process *process
}

// process is a child whose end is waited for.
type process struct {
	*exec.Cmd
	ended chan struct{} // closed when it has gone
}

// New prepares a server on free ports of loopback, which Start starts: until then nobody listens there. The test is skipped
// where RabbitMQ cannot run.
func New(t testing.TB) *Server {
	t.Helper()
	for _, name := range []string{program, "epmd"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip("RabbitMQ is not installed (Debian: rabbitmq-server): there is no AMQP broker to publish to")
		}
	}
	folder, err := os.MkdirTemp("", "rabbit")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Addr: free(t), User: "shop", Password: "correct/horse:battery@staple", t: t, folder: folder}
	t.Cleanup(func() {
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	_, s.names, _ = net.SplitHostPort(free(t))
	epmd := exec.Command("epmd", "-address", "127.0.0.1", "-port", s.names)
	t.Cleanup(s.start(epmd).stop)
	s.await("epmd answers", func() bool { return answers("127.0.0.1:" + s.names) })
	for name, text := range map[string]string{
		"rabbitmq.conf": fmt.Sprintf("listeners.tcp.local = %s\ndefault_user = %s\ndefault_pass = %s\nlog.file.level = warning\n", s.Addr, s.User, s.Password),
		"plugins":       "[].\n"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// Start starts the broker and waits until it takes logins. It ends with the test at the latest.
func (s *Server) Start() {
	s.t.Helper()
	_, distribution, _ := net.SplitHostPort(free(s.t))
	c := exec.Command(program)
	c.Dir = s.folder
	c.Env = append(os.Environ(), "HOME="+s.folder, "RABBITMQ_NODENAME=test@localhost", "RABBITMQ_CONFIG_FILE="+s.folder+"/rabbitmq.conf",
		"RABBITMQ_MNESIA_BASE="+s.folder+"/data", "RABBITMQ_LOG_BASE="+s.folder+"/log", "RABBITMQ_ENABLED_PLUGINS_FILE="+s.folder+"/plugins",
		"RABBITMQ_PID_FILE="+s.folder+"/pid", "RABBITMQ_DIST_PORT="+distribution, "ERL_EPMD_ADDRESS=127.0.0.1", "ERL_EPMD_PORT="+s.names,
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}")
	p := s.start(c)
	s.process = p
	s.t.Cleanup(p.stop)
	s.await("RabbitMQ takes logins", func() bool {
		select {
		case <-p.ended:
			s.t.Fatalf("RabbitMQ ended: %s", s.said())
		default:
		}
		c, err := amqp.Dial(s.URL())
		if err == nil {
			_ = c.Close() // it has shown what it was made for
		}
		return err == nil
	})
}

// Stop ends the broker, as an operator does.
func (s *Server) Stop() { s.process.stop() }

// URL is the broker's with its login.
func (s *Server) URL() string {
	u := url.URL{Scheme: "amqp", User: url.UserPassword(s.User, s.Password), Host: s.Addr, Path: "/"}
	return u.String()
}

// Origin is the broker's URL without a login, as the table of services names it.
func (s *Server) Origin() string { return "amqp://" + s.Addr }

// Channel opens a channel, which ends with the test.
func (s *Server) Channel() *amqp.Channel {
	s.t.Helper()
	conn, err := amqp.Dial(s.URL())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() }) // the broker may have gone before
	c, err := conn.Channel()
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// Declare makes a durable queue.
func (s *Server) Declare(queue string) {
	s.t.Helper()
	if _, err := s.Channel().QueueDeclare(queue, true, false, false, false, nil); err != nil {
		s.t.Fatal(err)
	}
}

// Drain takes all messages out of a queue.
func (s *Server) Drain(queue string) (all []amqp.Delivery) {
	s.t.Helper()
	c := s.Channel()
	for {
		m, ok, err := c.Get(queue, true)
		if err != nil {
			s.t.Fatal(err)
		}
		if !ok {
			return all
		}
		all = append(all, m)
	}
}

// start starts a child whose words go to a file.
func (s *Server) start(c *exec.Cmd) *process {
	s.t.Helper()
	said, err := os.OpenFile(filepath.Join(s.folder, "said"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer said.Close()
	c.Stdout, c.Stderr = said, said
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	p := &process{c, make(chan struct{})}
	go func() {
		_ = p.Wait() // it ends by a signal
		close(p.ended)
	}()
	return p
}

// stop ends a process by its id, by force when it does not go.
func (p *process) stop() {
	_ = p.Process.Signal(syscall.SIGTERM) // it may have gone
	select {
	case <-p.ended:
	case <-time.After(Patience):
		_ = p.Process.Kill()
		<-p.ended
	}
}

func (s *Server) said() string {
	text, _ := os.ReadFile(filepath.Join(s.folder, "said")) // there may be none
	return strings.TrimSpace(string(text))
}

// await asks again and again.
func (s *Server) await(what string, done func() bool) {
	s.t.Helper()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	late := time.After(Patience)
	for !done() {
		select {
		case <-again.C:
		case <-late:
			s.t.Fatalf("not within %v: %s; it said:\n%s", Patience, what, s.said())
		}
	}
}

func answers(addr string) bool {
	c, err := net.Dial("tcp", addr)
	if err == nil {
		c.Close()
	}
	return err == nil
}

// free returns an address of loopback where nobody listens.
func free(t testing.TB) string {
	t.Helper()
	addrs, err := quiet.Addrs(1)
	if err != nil {
		t.Fatal(err)
	}
	return addrs[0]
}
