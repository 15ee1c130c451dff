package bench

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// node is the gosper under measurement: a child process, or one that ran already.
type node struct {
	line, web, internal string // addresses; web and internal are "" when they are not known
	queue               string // of the beanstalkd protocol
	gate, reply         string // of the gate, for clients and for workers
	loops               int    // event loops; 0 when it has its default
	ready               time.Duration
	child               *child
	dir                 string
	http                *http.Client
}

// startServer starts a server with its own data folder and addresses, or points at the one the user named, which must have
// the further options already.
func startServer(ctx context.Context, r *Run, further ...string) (*node, error) {
	s := &node{http: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: nonceWorkers}}}
	if r.Target != "self" {
		return s, s.point(ctx, r)
	}
	ports := []*string{&s.line, &s.web, &s.internal, &s.queue, &s.gate, &s.reply}
	addrs, err := QuietAddrs(len(ports))
	if err != nil {
		return nil, err
	}
	for i, p := range ports {
		*p = addrs[i]
	}
	dir, err := os.MkdirTemp("", "gosper-bench-")
	if err != nil {
		return nil, err
	}
	s.dir = dir
	args := append([]string{"serve", "--data", dir, "--line-addr", s.line, "--http-addr", s.web, "--internal-addr", s.internal, "--beanstalk-addr", s.queue,
		"--gate-addr", s.gate, "--gate-worker-addr", s.reply}, slices.Concat(raisedLimits, further)...)
	start := time.Now()
	s.child, _, err = startChild("gosper serve", r.Binary, args, r.Log)
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	if err := s.waitReady(ctx); err != nil {
		s.stop()
		return nil, err
	}
	s.ready = time.Since(start)
	r.Setting("server", "gosper serve "+strings.Join(raisedLimits, " "))
	r.Setting("durability", "chat history on disk, fsync with group commit before delivery")
	return s, nil
}

// raisedLimits takes the rates off that a load generator would meet; every other limit is the server's default.
var raisedLimits = []string{
	"--limit-chat-rate=0", "--limit-call-rate=0", "--limit-control-rate=0",
	"--rate-read=0", "--rate-write=0", "--rate-chat=0", "--rate-auth=0", "--log-level=error",
	"--rate-edit=0", "--rate-look=0", "--limit-games-user=10000", "--limit-subscriptions=20000", "--limit-edits-user=1000000", "--limit-edits-game=1000000",
	"--limit-descriptor-reserve=256", // so that 19,000 connections fit into 20,000 descriptors
}

// targetPorts reads the address of a server that runs already: "host" for the default ports, or
// "host:line,http,internal".
func targetPorts(target string) (host string, ports []string, err error) {
	host, list, named := strings.Cut(target, ":")
	ports = []string{"9000", "8080", "8000"}
	if named {
		ports = strings.Split(list, ",")
	}
	if len(ports) != 3 || host == "" {
		return "", nil, fmt.Errorf("target: %q is not self, host or host:line,http,internal", target)
	}
	return host, ports, nil
}

// point takes the addresses of a server that runs already.
func (s *node) point(ctx context.Context, r *Run) error {
	host, list, err := targetPorts(r.Target)
	if err != nil {
		return err
	}
	s.line, s.web, s.internal = net.JoinHostPort(host, list[0]), net.JoinHostPort(host, list[1]), net.JoinHostPort(host, list[2])
	r.Note("the server runs already, so its CPU time and memory are not known; its rate limits must be off: %s", strings.Join(raisedLimits, " "))
	_, err = s.get(ctx, "/readyz")
	return err
}

// waitReady asks until the server says that it is ready.
func (s *node) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	for {
		if err := s.child.died(); err != nil {
			return err
		}
		if _, err := s.get(ctx, "/readyz"); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("gosper serve is not ready in time: %w", ctx.Err())
		case <-poll.C:
		}
	}
}

// stop ends the server and removes its data.
func (s *node) stop() {
	s.child.stop()
	s.http.CloseIdleConnections()
	if s.dir != "" {
		os.RemoveAll(s.dir)
	}
}

func (s *node) pid() int {
	if s.child == nil {
		return 0
	}
	return s.child.pid
}

func (s *node) get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.internal+path, nil)
	if err != nil {
		return nil, err
	}
	return s.do(req)
}

func (s *node) post(ctx context.Context, path string, body any) ([]byte, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.internal+path, bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	return s.do(req)
}

func (s *node) do(req *http.Request) ([]byte, error) {
	resp, err := s.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s: %.200s", req.URL.Path, resp.Status, b)
	}
	return b, nil
}

// nonceWorkers is how many nonces are registered at the same time.
const nonceWorkers = 16

// nonces registers a nonce for each of n players p00000… of a world, and returns them in that order.
func (s *node) nonces(ctx context.Context, n int, world string) ([]string, error) {
	return s.noncesOf(ctx, world, 0, n)
}

// noncesOf registers a nonce for each of n players of a world, whose names count from first.
func (s *node) noncesOf(ctx context.Context, world string, first, n int) ([]string, error) {
	list := make([]string, n)
	errs := make(chan error, nonceWorkers)
	for w := range nonceWorkers {
		go func() {
			var err error
			for i := w; i < n && err == nil; i += nonceWorkers {
				name := fmt.Sprintf("p%05d", first+i)
				list[i] = rand.Text()
				err = s.nonce(ctx, list[i], map[string]string{"world": world, "gn": name})
			}
			errs <- err
		}()
	}
	var fault error
	for range nonceWorkers {
		if err := <-errs; err != nil && fault == nil {
			fault = fmt.Errorf("register nonces: %w", err)
		}
	}
	return list, fault
}

func (s *node) nonce(ctx context.Context, nonce string, payload map[string]string) error {
	b, err := s.post(ctx, "/register_nonce", map[string]any{"nonce": nonce, "payload": payload})
	if err != nil {
		return err
	}
	var answer struct {
		Status int `json:"status"`
	}
	if err := json.Unmarshal(b, &answer); err != nil || answer.Status != 0 {
		return fmt.Errorf("answered %.200q", b)
	}
	return nil
}

// mallocs returns how many objects the server has allocated since its start.
func (s *node) mallocs() (float64, error) {
	return s.metric("go_memstats_mallocs_total")
}

// metric returns one value of the server's metrics.
func (s *node) metric(name string) (float64, error) {
	b, err := s.get(context.Background(), "/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(v), 64)
		}
	}
	return 0, fmt.Errorf("the server has no metric %s", name)
}

// live collects the server's garbage and returns the bytes of what lives.
func (s *node) live(ctx context.Context) (float64, error) {
	for range collections {
		if _, err := s.get(ctx, "/debug/pprof/heap?gc=1"); err != nil {
			return 0, err
		}
	}
	return s.metric("go_memstats_heap_alloc_bytes")
}
