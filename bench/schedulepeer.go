package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// How late the timers of other systems are, made as their users make them:
//   - beanstalkd: a job is put with a delay, in whole seconds.
//   - Redis: keys in a sorted set with their time as score; a worker polls it and takes what is due by a script.
//   - JetStream: a message with the header Nats-Schedule goes to a subject of its own, and the server publishes it when it
//     is due.

const (
	redisPoll    = 10 * time.Millisecond // far more often than its libraries look: they poll each second or each five
	peerTimerGap = time.Second / timersRate
)

// latePeer measures the peer of the run.
func latePeer(ctx context.Context, r *Run) error {
	p, err := startQueuePeer(ctx, r, r.Against)
	if err != nil {
		return err
	}
	defer p.stop()
	r.Setting("durability_"+p.name, p.durability)
	switch p.name {
	case "beanstalkd":
		return lateBeanstalkd(ctx, r, p)
	case "redis":
		return lateRedis(ctx, r, p)
	}
	return lateJetstream(ctx, r, p)
}

func (p *queuePeer) lateness(r *Run, lat latencies) {
	for name, q := range map[string]float64{"lateness_p50_ms": 0.5, "lateness_p99_ms": 0.99, "lateness_max_ms": 1} {
		r.PeerSeries(p.name, p.version, name, []float64{lat.quantile(q) / 1000})
	}
}

// peerTimers are the timers of a peer: the same number and rate as ours. They are due after a time to set them all.
type peerTimers struct {
	n     int
	first time.Time
	lat   latencies
	seen  map[int]bool
}

func newPeerTimers(r *Run) *peerTimers {
	n := max(1, int(r.Duration/peerTimerGap))
	lead := time.Second + time.Duration(n)*time.Millisecond
	return &peerTimers{n: n, first: time.Now().Add(lead).Truncate(time.Millisecond), lat: newLatencies(), seen: map[int]bool{}}
}

func (t *peerTimers) due(i int) time.Time { return t.first.Add(time.Duration(i) * peerTimerGap) }

// fired notes that a timer has come.
func (t *peerTimers) fired(key string, at time.Time) error {
	i, err := strconv.Atoi(key)
	if err != nil || i < 0 || i >= t.n || t.seen[i] {
		return fmt.Errorf("a timer fired that was not set, or twice: %q", key)
	}
	t.seen[i] = true
	t.lat.add(at.Sub(t.due(i)))
	return nil
}

// lateBeanstalkd measures the peer with its shortest delay, a second.
func lateBeanstalkd(ctx context.Context, r *Run, p *queuePeer) error {
	lat := newLatencies()
	for range 10 {
		begin := time.Now()
		line, _, done, err := ask(p.addr, "put 0 1 60 1\r\nx\r\n")
		if err != nil || len(line) < 9 || line[:9] != "INSERTED " {
			return fmt.Errorf("beanstalkd answered %q, %v", line, err)
		}
		done()
		line, _, done, err = ask(p.addr, "reserve\r\n")
		if err != nil {
			return err
		}
		lat.add(time.Since(begin) - time.Second)
		done()
		if len(line) < 9 || line[:9] != "RESERVED " {
			return fmt.Errorf("beanstalkd answered %q", line)
		}
		if line, _, done, err = ask(p.addr, "delete "+line[9:len(line)-2]+"\r\n"); err != nil || line != "DELETED" {
			return fmt.Errorf("beanstalkd answered %q, %v", line, err)
		}
		done()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	p.lateness(r, lat)
	r.Note("beanstalkd's delays are whole seconds; the lateness includes its put with fsync")
	return nil
}

// takeDue moves what is due out of the sorted set, in one step, as workers that poll do.
const takeDue = "local d=redis.call('ZRANGEBYSCORE',KEYS[1],'-inf',ARGV[1],'LIMIT',0,100) if #d>0 then redis.call('ZREM',KEYS[1],unpack(d)) end return d"

// lateRedis sets timers in a sorted set and polls it.
func lateRedis(ctx context.Context, r *Run, p *queuePeer) error {
	r.Setting("redis_poll_ms", redisPoll.Milliseconds())
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	in := bufio.NewReader(c)
	t := newPeerTimers(r)
	for i := range t.n {
		if _, err := redisDo(c, in, "ZADD", "timers", strconv.FormatInt(t.due(i).UnixMilli(), 10), strconv.Itoa(i)); err != nil {
			return err
		}
	}
	poll := time.NewTicker(redisPoll)
	defer poll.Stop()
	for end := t.due(t.n).Add(readyTimeout); len(t.seen) < t.n; {
		select {
		case <-poll.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		keys, err := redisDo(c, in, "EVAL", takeDue, "1", "timers", strconv.FormatInt(time.Now().UnixMilli(), 10))
		if err != nil {
			return err
		}
		now := time.Now()
		if now.After(end) {
			return fmt.Errorf("redis: %d of %d timers came", len(t.seen), t.n)
		}
		for _, key := range keys {
			if err := t.fired(key, now); err != nil {
				return err
			}
		}
	}
	p.lateness(r, t.lat)
	return nil
}

// redisDo sends a command and returns the texts of its answer: none for a number.
func redisDo(c net.Conn, in *bufio.Reader, words ...string) (texts []string, err error) {
	request := fmt.Appendf(nil, "*%d\r\n", len(words))
	for _, w := range words {
		request = fmt.Appendf(request, "$%d\r\n%s\r\n", len(w), w)
	}
	if err := c.SetDeadline(time.Now().Add(readyTimeout)); err != nil {
		return nil, err
	}
	if _, err := c.Write(request); err != nil {
		return nil, err
	}
	kind, n, err := redisHead(in)
	if err != nil || kind != '*' {
		return nil, err
	}
	for range n {
		_, size, err := redisHead(in)
		if err != nil {
			return nil, err
		}
		text := make([]byte, size+2)
		if _, err := io.ReadFull(in, text); err != nil {
			return nil, err
		}
		texts = append(texts, string(text[:size]))
	}
	return texts, nil
}

// redisHead reads the line that an answer begins with.
func redisHead(in *bufio.Reader) (kind byte, n int, err error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return 0, 0, err
	}
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '-' {
		return 0, 0, fmt.Errorf("redis answered %q", line)
	}
	n, err = strconv.Atoi(line[1:])
	return line[0], n, err
}

// lateJetstream sets timers as scheduled messages and reads what the server publishes of them.
func lateJetstream(ctx context.Context, r *Run, p *queuePeer) error {
	conn, err := nats.Connect("nats://" + p.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	stream, err := conn.Request("$JS.API.STREAM.CREATE.timers",
		[]byte(`{"name":"timers","subjects":["timer.>","due"],"retention":"workqueue","storage":"file","allow_msg_schedules":true}`), readyTimeout)
	if err != nil {
		return err
	}
	if strings.Contains(string(stream.Data), `"error"`) {
		return fmt.Errorf("jetstream: %s", stream.Data)
	}
	js, err := conn.JetStream()
	if err != nil {
		return err
	}
	due, err := js.SubscribeSync("due", nats.AckExplicit(), nats.MaxAckPending(-1))
	if err != nil {
		return err
	}
	t := newPeerTimers(r)
	for i := range t.n {
		m := &nats.Msg{Subject: fmt.Sprint("timer.", i), Data: []byte(strconv.Itoa(i)), Header: nats.Header{
			"Nats-Schedule":        {"@at " + t.due(i).UTC().Format(time.RFC3339Nano)},
			"Nats-Schedule-Target": {"due"},
		}}
		if _, err := js.PublishMsgAsync(m); err != nil {
			return err
		}
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-ctx.Done():
		return ctx.Err()
	}
	for len(t.seen) < t.n {
		m, err := due.NextMsg(readyTimeout)
		if err != nil {
			return fmt.Errorf("jetstream: %d of %d timers came: %w", len(t.seen), t.n, err)
		}
		if err := errors.Join(t.fired(string(m.Data), time.Now()), m.Ack()); err != nil {
			return err
		}
	}
	p.lateness(r, t.lat)
	return nil
}
