package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// queuePeer is another queue on this machine, with fsync before each answer.
type queuePeer struct {
	name, version, durability string
	addr                      string
	child                     *child
	dir                       string
}

func (p *queuePeer) stop() {
	p.child.stop()
	os.RemoveAll(p.dir)
}

// startQueuePeer starts one of the peers with its data in a folder of its own.
func startQueuePeer(ctx context.Context, r *Run, name string) (*queuePeer, error) {
	dir, err := os.MkdirTemp("", "gosper-bench-peer-")
	if err != nil {
		return nil, err
	}
	p := &queuePeer{name: name, dir: dir}
	if p.addr, err = quietAddr(); err == nil {
		err = p.start(ctx, r)
	}
	if err != nil {
		p.stop()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

func (p *queuePeer) start(ctx context.Context, r *Run) (err error) {
	host, port, err := net.SplitHostPort(p.addr)
	if err != nil {
		return err
	}
	var args []string
	binary := p.name
	switch p.name {
	case "beanstalkd":
		args, p.durability = []string{"-l", host, "-p", port, "-b", p.dir, "-f0"}, "-b -f0: fsync of the binlog after each put"
		p.version = versionOf("beanstalkd", "-v")
	case "redis":
		binary = "redis-server"
		args = []string{"--bind", host, "--port", port, "--dir", p.dir, "--save", "", "--protected-mode", "no", "--appendonly", "yes", "--appendfsync", "always"}
		p.version, p.durability = versionOf(binary, "--version"), "appendfsync always: fsync before the answers of a loop's turn"
	case "jetstream":
		p.durability = "file storage, sync_interval always: fsync of each message"
		p.child, p.addr, p.version, err = startPeer(ctx, r.Options, "jetstream", "--dir", p.dir)
		return err
	}
	path, err := exec.LookPath(binary)
	if err != nil {
		return err
	}
	if p.child, _, err = startChild(p.name, path, args, r.Log); err != nil {
		return err
	}
	return waitListening(ctx, p.addr, p.child)
}

// versionOf asks a program for its version; "unknown" when it does not say.
func versionOf(binary, flag string) string {
	out, _ := exec.Command(binary, flag).Output() // some say it and fail
	if len(out) == 0 {
		return "unknown"
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line)
}

// waitListening dials until somebody answers.
func waitListening(ctx context.Context, addr string, c *child) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	for {
		if err := c.died(); err != nil {
			return err
		}
		if conn, err := net.Dial("tcp", addr); err == nil {
			return conn.Close()
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ask sends one request on a connection of its own and returns the first line of the answer and the rest of it.
func ask(addr, request string) (line string, in *bufio.Reader, done func(), err error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return "", nil, nil, err
	}
	_ = c.SetDeadline(time.Now().Add(readyTimeout))
	in = bufio.NewReader(c)
	if _, err = io.WriteString(c, request); err == nil {
		line, err = in.ReadString('\n')
	}
	return strings.TrimSpace(line), in, func() { c.Close() }, err
}

// jetstreamMain runs a JetStream server as a peer.
func jetstreamMain(ctx context.Context, dir string, out io.Writer) error {
	if dir == "" {
		return errors.New("jetstream: needs --dir")
	}
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: dir, SyncAlways: true})
	if err != nil {
		return fmt.Errorf("nats-server: %w", err)
	}
	return serveNATS(ctx, s, out)
}

// jetLoad publishes to a stream, each producer waiting for its answer.
type jetLoad struct {
	conn *nats.Conn
	js   nats.JetStreamContext
}

func newJetLoad(addr string) (*jetLoad, error) {
	conn, err := nats.Connect("nats://" + addr)
	if err != nil {
		return nil, err
	}
	js, err := conn.JetStream()
	if err == nil {
		_, err = js.AddStream(&nats.StreamConfig{Name: "queue", Subjects: []string{"queue"}, Retention: nats.WorkQueuePolicy, Storage: nats.FileStorage})
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &jetLoad{conn, js}, nil
}

// run lets n producers publish for d.
func (l *jetLoad) run(ctx context.Context, n int, body []byte, d time.Duration) (q queueRun, err error) {
	var mu sync.Mutex
	var work sync.WaitGroup
	start := time.Now()
	end := start.Add(d)
	for range n {
		work.Go(func() {
			count := uint64(0)
			var fault error
			for fault == nil && ctx.Err() == nil && time.Now().Before(end) {
				if _, fault = l.js.Publish("queue", body); fault == nil {
					count++
				}
			}
			mu.Lock()
			q.done += count
			err = errors.Join(err, fault)
			mu.Unlock()
		})
	}
	work.Wait()
	q.seconds = time.Since(start).Seconds()
	return q, err
}
