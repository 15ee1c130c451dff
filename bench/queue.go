package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"time"
)

func init() {
	Register(Scenario{
		Name:    "queue",
		Summary: "durable jobs: puts, full cycles, one and many producers, age; peers: beanstalkd, redis, jetstream with fsync",
		Peers:   []string{"beanstalkd", "redis", "jetstream"},
		Run:     runQueue,
	})
}

const (
	queueBody      = 128
	queueMany      = 64
	queueCrowd     = 256
	queuePace      = 10_000 // puts a second of paced producers together
	queueAged      = 1_000_000
	queueAgedQuick = 20_000
	queuePut       = "bench-put" // tubes
	queueCycle     = "bench-cycle"
)

// queueBench is one run of the scenario.
type queueBench struct {
	r    *Run
	body []byte
	node *node
	peer *queuePeer // nil without one
	jet  *jetLoad

	put64, put1, put256, cycle, floor, peerPut, peerCycle *queueLoad
	series                                                map[string][]float64
	exchange                                              float64 // µs that all cores need for the writes and reads of a put
	acknowledged                                          uint64  // puts of the node
}

func runQueue(ctx context.Context, r *Run) error {
	if r.Target != "self" {
		return errors.New("target: the queue scenario starts its own server")
	}
	b := &queueBench{r: r, body: bytes.Repeat([]byte("x"), queueBody), series: map[string][]float64{}}
	r.Setting("body_bytes", queueBody)
	r.Setting("generator_threads", 1)
	r.Setting("paced_per_s", queuePace)
	r.Setting("floor1", "a bare server: one thread reads, writes a file with fsync, answers")
	if err := b.limits(); err != nil {
		return err
	}
	var cl closers
	defer cl.close()
	err := onThread(func() error {
		if err := b.open(ctx, &cl); err != nil {
			return err
		}
		for turn := range r.Repeat {
			r.Step(float64(turn)/float64(r.Repeat), "turn %d of %d", turn+1, r.Repeat)
			if err := b.turn(ctx); err != nil {
				return err
			}
		}
		return b.count()
	})
	b.report()
	if err != nil {
		return err
	}
	r.Step(0.95, "ageing")
	return b.age(ctx)
}

// limits measures what no server on this machine can do better: a put is written and read at both ends.
func (b *queueBench) limits() error {
	write, read, err := loopbackCost(queueCrowd, queueBody, 50)
	if err != nil {
		return err
	}
	b.exchange = 2 * (write + read) / float64(runtime.NumCPU())
	b.r.Figure("put64_ceiling_per_s", 1e6/b.exchange)
	return nil
}

// open starts the servers and connects to them.
func (b *queueBench) open(ctx context.Context, cl *closers) (err error) {
	if b.node, err = startServer(ctx, b.r); err != nil {
		return err
	}
	cl.add(b.node.stop)
	b.r.Setting("durability", "fsync before each answer, one for all producers of the moment")
	connect := func(to **queueLoad, addr string, n int, speak func(int) queueSpeech) {
		if err == nil {
			if *to, err = newQueueLoad(ctx, addr, n, speak); err == nil {
				cl.add((*to).close)
			}
		}
	}
	puts := func(int) queueSpeech { return newPutSpeech(b.body) }
	cycles := func(int) queueSpeech { return &cycleSpeech{putSpeech: *newPutSpeech(b.body)} }
	connect(&b.put64, b.node.queue, queueMany, puts)
	connect(&b.put1, b.node.queue, 1, puts)
	connect(&b.put256, b.node.queue, queueCrowd, puts)
	connect(&b.cycle, b.node.queue, queueMany, cycles)
	floor, addr, _, err2 := startPeer(ctx, b.r.Options, "floor", "--dir", b.node.dir)
	if err = errors.Join(err, err2); err != nil {
		return err
	}
	cl.add(floor.stop)
	connect(&b.floor, addr, 1, puts)
	if err != nil {
		return err
	}
	if err := b.useTubes(b.put64, b.put1, b.put256, b.cycle); err != nil {
		return err
	}
	if b.r.Against == "" {
		return nil
	}
	if b.peer, err = startQueuePeer(ctx, b.r, b.r.Against); err != nil {
		return err
	}
	cl.add(b.peer.stop)
	b.r.PeerSeries(b.peer.name, b.peer.version, "", nil)
	b.r.Setting("durability_"+b.peer.name, b.peer.durability)
	switch b.peer.name {
	case "beanstalkd":
		connect(&b.peerPut, b.peer.addr, queueMany, puts)
		connect(&b.peerCycle, b.peer.addr, queueMany, cycles)
		if err == nil {
			err = b.useTubes(b.peerPut, b.peerCycle)
		}
	case "redis":
		connect(&b.peerPut, b.peer.addr, queueMany, func(int) queueSpeech { return newPushSpeech(b.body) })
	case "jetstream":
		if b.jet, err = newJetLoad(b.peer.addr); err == nil {
			cl.add(b.jet.conn.Close)
		}
	}
	return err
}

// useTubes lets puts go to one tube and cycles live in another.
func (b *queueBench) useTubes(loads ...*queueLoad) error {
	for _, l := range loads {
		words := []string{"use " + queuePut}
		if _, cycles := l.speeches[0].(*cycleSpeech); cycles {
			words = []string{"use " + queueCycle, "watch " + queueCycle, "ignore default"}
		}
		for i := range l.links {
			for _, word := range words {
				if err := l.once(i, word+"\r\n"); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// once sends a request and waits for its one line.
func (l *queueLoad) once(i int, request string) error {
	if err := l.send(i, []byte(request)); err != nil {
		return err
	}
	for limit := time.Now().Add(readyTimeout); time.Now().Before(limit); {
		if _, err := l.p.wait(10 * time.Millisecond); err != nil {
			return err
		}
		n, err := readNow(l.links[i].fd, l.buf)
		if err != nil {
			return err
		}
		if n > 0 && bytes.HasSuffix(l.buf[:n], []byte("\r\n")) {
			return nil
		}
	}
	return fmt.Errorf("no answer to %q", request)
}

func (b *queueBench) add(name string, v float64) { b.series[name] = append(b.series[name], v) }

// turn measures every side once, ours and the peer's next to each other.
func (b *queueBench) turn(ctx context.Context) error {
	slice := b.r.Slice() / 4
	if err := b.compare(ctx, slice); err != nil {
		return err
	}
	disk, err := b.alone(ctx, slice/2)
	if err != nil {
		return err
	}
	crowd, err := b.measure(ctx, b.put256, "put256", slice/2)
	if err != nil {
		return err
	}
	b.add("put256_p99_vs_fsync", crowd.lat.quantile(0.99)/disk)
	b.add("put256_floor_vs_fsync", queueCrowd*b.exchange/disk)
	paced, err := b.put256.paced(ctx, slice/2, queuePace)
	if err != nil {
		return fmt.Errorf("put256_paced: %w", err)
	}
	b.acknowledged += paced.done
	b.addRun("put256_paced", paced)
	b.add("put256_paced_p99_vs_fsync", paced.lat.quantile(0.99)/disk)
	return b.cycles(ctx, slice)
}

// compare measures puts of 64 producers on both sides, which take turns several times within d: a disturbance of the
// machine that lasts longer than one pass meets both.
func (b *queueBench) compare(ctx context.Context, d time.Duration) error {
	commits, err := b.node.metric("gosper_broker_commits_total")
	if err != nil {
		return err
	}
	mine, theirs := queueRun{lat: newLatencies()}, queueRun{lat: newLatencies()}
	for range passes {
		q, err := b.put64.run(ctx, d/passes)
		if err != nil {
			return fmt.Errorf("put64: %w", err)
		}
		mine.join(q)
		if q, err = b.peerPuts(ctx, d/passes); err != nil {
			return fmt.Errorf("%s: %w", b.peer.name, err)
		}
		theirs.join(q)
	}
	after, err := b.node.metric("gosper_broker_commits_total")
	if err != nil {
		return err
	}
	b.acknowledged += mine.done
	b.addRun("put64", mine)
	b.add("syncs_per_put64", (after-commits)/float64(mine.done))
	if theirs.done > 0 {
		b.add("peer.put64_per_s", theirs.perSecond())
		b.add("vs_"+b.peer.name+"_64", mine.perSecond()/theirs.perSecond())
	}
	return nil
}

// alone measures one producer beside the disk and a bare server, in turns, and returns the time of the disk's fsync.
func (b *queueBench) alone(ctx context.Context, d time.Duration) (fsync float64, err error) {
	one, floor := queueRun{lat: newLatencies()}, queueRun{lat: newLatencies()}
	for range passes {
		us, err := measureSync(b.node.dir, d/passes)
		if err != nil {
			return 0, err
		}
		fsync += us / passes
		q, err := b.floor.run(ctx, d/passes)
		if err != nil {
			return 0, fmt.Errorf("floor: %w", err)
		}
		floor.join(q)
		if q, err = b.put1.run(ctx, d/passes); err != nil {
			return 0, fmt.Errorf("put1: %w", err)
		}
		one.join(q)
	}
	b.acknowledged += one.done
	b.addRun("floor1", floor)
	b.addRun("put1", one)
	b.add("fsync_us", fsync)
	b.add("floor1_vs_fsync", 1e6/floor.perSecond()/fsync)
	b.add("put1_vs_fsync", 1e6/one.perSecond()/fsync)
	b.add("put1_vs_floor1", floor.perSecond()/one.perSecond())
	return fsync, nil
}

// measure runs puts of the node.
func (b *queueBench) measure(ctx context.Context, l *queueLoad, name string, d time.Duration) (queueRun, error) {
	q, err := l.run(ctx, d)
	if err != nil {
		return q, fmt.Errorf("%s: %w", name, err)
	}
	b.acknowledged += q.done
	b.addRun(name, q)
	return q, nil
}

func (b *queueBench) addRun(name string, q queueRun) {
	b.add(name+"_per_s", q.perSecond())
	b.add(name+"_p50_us", q.lat.quantile(0.5))
	b.add(name+"_p99_us", q.lat.quantile(0.99))
}

// peerPuts measures the peer's puts; nothing without one.
func (b *queueBench) peerPuts(ctx context.Context, d time.Duration) (queueRun, error) {
	switch {
	case b.peerPut != nil:
		return b.peerPut.run(ctx, d)
	case b.jet != nil:
		return b.jet.run(ctx, queueMany, b.body, d)
	}
	return queueRun{}, nil
}

func (b *queueBench) cycles(ctx context.Context, d time.Duration) error {
	mine, err := b.cycle.run(ctx, d)
	if err != nil {
		return fmt.Errorf("cycles: %w", err)
	}
	b.add("cycle64_per_s", mine.perSecond())
	if b.peerCycle == nil {
		return nil
	}
	theirs, err := b.peerCycle.run(ctx, d)
	if err != nil {
		return fmt.Errorf("cycles of %s: %w", b.peer.name, err)
	}
	b.add("peer.cycle64_per_s", theirs.perSecond())
	b.add("cycle_vs_"+b.peer.name+"_64", mine.perSecond()/theirs.perSecond())
	return nil
}

// count compares what was acknowledged with what the node holds.
func (b *queueBench) count() error {
	line, in, done, err := ask(b.node.queue, "stats-tube "+queuePut+"\r\n")
	if err != nil {
		return err
	}
	defer done()
	if !strings.HasPrefix(line, "OK ") {
		return fmt.Errorf("stats-tube was answered %q", line)
	}
	for {
		text, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		if number, ok := strings.CutPrefix(text, "current-jobs-ready: "); ok {
			held, err := strconv.ParseUint(strings.TrimSpace(number), 10, 64)
			if err != nil {
				return err
			}
			b.r.Balance(b.acknowledged, held, b.acknowledged-min(held, b.acknowledged), held-min(held, b.acknowledged))
			return nil
		}
	}
}

func (b *queueBench) report() {
	for name, values := range b.series {
		peer, ours := strings.CutPrefix(name, "peer.")
		switch {
		case ours:
			b.r.PeerSeries(b.peer.name, b.peer.version, peer, values)
		case strings.Contains(name, "vs_") && !strings.Contains(name, "p99_vs"):
			b.r.RatioSeries(name, values)
		default:
			b.r.Series(name, values)
		}
	}
}
