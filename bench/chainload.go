package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"gosper/broker/chain"
)

// chainService is the service that steps call. It counts what it is asked twice.
type chainService struct {
	url    string
	server *http.Server
	ended  chan struct{}

	mu    sync.Mutex
	seen  map[string]bool // keys
	twice uint64
}

func newChainService() (*chainService, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &chainService{url: "http://" + l.Addr().String(), seen: map[string]bool{}, ended: make(chan struct{})}
	s.server = &http.Server{Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: time.Minute}
	go func() {
		defer close(s.ended)
		_ = s.server.Serve(l) // it ends by close
	}()
	return s, nil
}

func (s *chainService) serve(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // a caller that has gone reads no answer either
	key := r.Header.Get("Idempotency-Key")
	s.mu.Lock()
	if s.seen[key] {
		s.twice++
	}
	s.seen[key] = true
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, chainAnswerData)
}

// doubled returns how many calls were made twice since it was asked last.
func (s *chainService) doubled() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.twice
	s.twice = 0
	clear(s.seen)
	return n
}

func (s *chainService) close() {
	_ = s.server.Close() // it has no work left
	<-s.ended
}

// chainLoad submits chains and waits for their ends.
type chainLoad struct {
	url     string // of the internal port
	service *chainService
	client  *http.Client
	numbers atomic.Uint64
}

func newChainLoad(internal string, service *chainService) *chainLoad {
	return &chainLoad{url: "http://" + internal, service: service,
		client: &http.Client{Timeout: drainTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: chainConnections}}}
}

func (l *chainLoad) close() { l.client.CloseIdleConnections() }

// chainMeasure is what one measurement came to.
type chainMeasure struct {
	sent, completed uint64
	seconds         float64
	cpu             time.Duration // of the server
	lat             latencies     // from when a chain was due to when its end was told
}

// paced submits at a steady rate. A chain that finds no connection because earlier ones have not ended waits, and that
// counts.
func (l *chainLoad) paced(ctx context.Context, d time.Duration, rate, pid int) (chainMeasure, error) {
	count := int(d.Seconds() * float64(rate))
	start := time.Now()
	return l.measure(ctx, pid, chainConnections, func(i int) (due time.Time, more bool) {
		due = start.Add(time.Duration(i) * time.Second / time.Duration(rate))
		return due, i < count && ctx.Err() == nil
	})
}

// flat keeps a number of chains under way.
func (l *chainLoad) flat(ctx context.Context, d time.Duration, pid int) (chainMeasure, error) {
	end := time.Now().Add(d)
	return l.measure(ctx, pid, chainWorkers, func(int) (due time.Time, more bool) {
		due = time.Now()
		return due, due.Before(end) && ctx.Err() == nil
	})
}

// measure lets workers, at most so many, run chains one after another. next says when chain number i is due; workers take
// the numbers in turn.
func (l *chainLoad) measure(ctx context.Context, pid, workers int, next func(i int) (due time.Time, more bool)) (chainMeasure, error) {
	m := chainMeasure{lat: newLatencies()}
	cpu, _ := cpuTime(pid) // what is not known stays 0
	start := time.Now()
	var mu sync.Mutex
	var fault error
	var number atomic.Int64
	var work sync.WaitGroup
	for range workers {
		work.Go(func() {
			for {
				due, more := next(int(number.Add(1) - 1))
				if !more || !waitUntil(ctx, due) {
					return
				}
				err := l.chain(ctx)
				took := time.Since(due)
				mu.Lock()
				m.sent++
				if err != nil {
					if fault == nil { // others say the same
						fault = err
					}
					mu.Unlock()
					return
				}
				m.completed++
				m.lat.add(took)
				mu.Unlock()
			}
		})
	}
	work.Wait()
	m.seconds = time.Since(start).Seconds()
	after, _ := cpuTime(pid)
	m.cpu = after - cpu
	return m, errors.Join(fault, ctx.Err())
}

// waitUntil waits for a moment; false when the context ends first.
func waitUntil(ctx context.Context, due time.Time) bool {
	t := time.NewTimer(time.Until(due))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// chain submits one chain and waits until it is completed.
func (l *chainLoad) chain(ctx context.Context) error {
	w := chain.Work{}
	for order := range chainStepsEach {
		w.Items = append(w.Items, chain.Item{Order: order, Request: chain.Request{URL: l.service.url, Endpoint: fmt.Sprintf("/bench/api/step/%d", order),
			Type: chain.TypeHTTP, Method: http.MethodPost, Payload: fmt.Sprintf(`{"number":%d}`, l.numbers.Add(1))}})
	}
	w.Seal()
	var s chain.Status
	if err := l.exchange(ctx, http.MethodPost, "/work", chain.AppendWork(nil, &w), &s); err != nil {
		return err
	}
	for !s.Over() {
		if err := l.exchange(ctx, http.MethodGet, "/work/"+w.Hash+"?wait=20", nil, &s); err != nil {
			return err
		}
	}
	if s.State != chain.Completed || len(s.Items) != chainStepsEach || s.Items[chainStepsEach-1].Response.Data != chainAnswerData {
		return fmt.Errorf("chain %s is %s (%s)", s.Hash, s.State, s.Reason)
	}
	return nil
}

// exchange makes one request to the node.
func (l *chainLoad) exchange(ctx context.Context, method, path string, body []byte, out any) error {
	q, err := http.NewRequestWithContext(ctx, method, l.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	answer, err := l.client.Do(q)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode >= 300 {
		return fmt.Errorf("%s: %s: %.200s", path, answer.Status, b)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(b, out)
}
