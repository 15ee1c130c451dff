package nats

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/nats-io/nats.go"

	"gosper/broker"
)

const (
	beatEvery = 500 * time.Millisecond // how often the leader tells that it leads, and other nodes that they live
	leadWait  = 2 * time.Second        // a leader that nobody has heard of for so long is replaced
	nodeWait  = 10 * time.Second       // a node that the leader has not heard of for so long has lost its reservations
	takeWait  = time.Minute            // how long the taking of the lead may last, the reading of the stream included
	remark    = 100_000                // changes after which the mark is written anew, so that the stream has no old head
	markTopic = "0.m"

	// sureWait is how long a leader goes on that cannot read the stream's mark: longer than for one question, as servers
	// stand still now and then. Whoever leads next knows of no reservation, and a leader that was replaced cannot write.
	sureWait = 2*callTimeout + beatEvery
)

// beat says who leads. term counts the leaders; node 0: nobody, the one of that term has left.
type beat struct {
	term, node uint64
	ready      bool // it has read the stream and takes requests
}

func (b *beat) fields(c *coder) {
	number(c, &b.term)
	number(c, &b.node)
	c.flag(&b.ready)
}

// run lets this node lead when nobody else does.
func (q *Queue) run() {
	t := time.NewTicker(beatEvery)
	defer t.Stop()
	for {
		l := q.elect()
		var over chan struct{}
		if l != nil {
			over = l.over
		}
		select {
		case <-q.life.Done():
			return
		case <-over:
			q.resigned(l)
		case <-q.free:
		case <-t.C:
			if l != nil {
				q.verify(l)
			}
		}
	}
}

// elect returns the leader of this node, after it has tried to become one when nobody leads.
func (q *Queue) elect() *leader {
	if q.link.away.Load() {
		return q.leader()
	}
	if err := q.look(); err != nil {
		return q.leader()
	}
	if q.vacant() {
		if err := q.take(); err != nil && q.life.Err() == nil {
			q.opts.Log.Warn("the lead of the jobs could not be taken", "error", err)
		}
	}
	return q.leader()
}

func (q *Queue) leader() *leader {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.local
}

// look asks the stream who leads, if this node is unsure.
func (q *Queue) look() error {
	q.mu.Lock()
	unsure := q.unsure && q.local == nil
	q.mu.Unlock()
	if !unsure {
		return nil
	}
	newest, err := q.mark(q.life)
	if err != nil && !errors.Is(err, broker.ErrNotFound) {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.unsure = false
	if newest.term >= q.lead.term {
		q.lead = beat{newest.term, newest.node, newest.node != 0 && newest.node != q.node}
	}
	return nil
}

// vacant reports whether this node should try to lead.
func (q *Queue) vacant() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.local == nil && !q.closed && (q.lead.node == 0 || q.lead.node == q.node || time.Since(q.heard) > q.waits.lead)
}

// resigned ends a leader of this node. Whether another one leads says the stream.
func (q *Queue) resigned(l *leader) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.local, q.beating, q.unsure = nil, beat{}, true
	q.lead.ready = q.lead.ready && q.lead.node != q.node
	q.heard = time.Now()
	metrics.UnregisterSet(l.metrics, true)
	leading.Dec()
}

// take makes this node the leader: it takes more sequences of the stream than any other leader can have on its way,
// then reads everything before them.
func (q *Queue) take() error {
	ctx, cancel := context.WithTimeout(q.life, takeWait)
	defer cancel()
	i, err := q.vault.about(ctx, "STREAM.INFO", nil)
	if err != nil {
		return err
	}
	newest, err := q.mark(ctx)
	if err != nil && !errors.Is(err, broker.ErrNotFound) {
		return err
	}
	if !q.vacant() {
		return nil // this node had stood still: what the leader told meanwhile came before the answers
	}
	q.mu.Lock()
	raced := newest.term > q.lead.term && newest.node != 0
	q.mu.Unlock()
	if raced {
		q.leads(beat{newest.term, newest.node, false})
		return nil
	}
	term := newest.term + 1
	last, err := q.vault.write(ctx, q.marks(&record{kind: recordMark, term: term, node: q.node}, i.State.Last)...)
	if errors.Is(err, errRaced) {
		q.mu.Lock()
		q.unsure, q.heard = true, time.Now()
		q.mu.Unlock()
		return nil
	}
	if err != nil {
		return err
	}
	return q.begins(ctx, term, last)
}

// begins reads the stream up to the mark of this node and serves from then on.
func (q *Queue) begins(ctx context.Context, term, mark uint64) error {
	q.mu.Lock()
	q.lead = beat{term, q.node, false}
	q.beating, q.told = q.lead, time.Time{}
	q.mu.Unlock()
	l := newLeader(q, term)
	begin := time.Now()
	if err := l.load(ctx, mark); err != nil {
		q.mu.Lock()
		q.beating = beat{}
		q.mu.Unlock()
		return err
	}
	l.sure = time.Now()
	q.mu.Lock()
	q.local = l
	q.lead.ready = true
	q.beating, q.told = q.lead, time.Time{}
	q.again()
	q.mu.Unlock()
	metrics.RegisterSet(l.metrics)
	leadsTotal.Inc()
	leading.Inc()
	l.mu.Lock()
	rows, timers := len(l.rows), l.timers.len()
	l.mu.Unlock()
	q.opts.Log.Info("this node leads the jobs", "term", term, "jobs", rows, "timers", timers, "read_in", time.Since(begin))
	l.wake()
	q.send()
	return nil
}

// marks returns the messages by which a node takes the lead behind the sequence.
func (q *Queue) marks(r *record, behind uint64) []*nats.Msg {
	all := make([]*nats.Msg, leap)
	for i := range all {
		all[i] = &nats.Msg{Subject: q.prefix + markTopic, Data: r.encode()}
	}
	all[0].Header = q.message(markTopic, r, behind).Header
	return all
}

// mark reads who leads from the stream's leader.
func (q *Queue) mark(ctx context.Context) (record, error) {
	body, err := json.Marshal(map[string]string{"last_by_subj": q.prefix + markTopic})
	if err != nil {
		return record{}, err
	}
	m, err := q.link.question(ctx, "$JS.API.STREAM.MSG.GET."+q.vault.config.Name, body)
	r, _, err := readKept(m, err)
	if err != nil {
		return record{}, err
	}
	return *r, nil
}

// verify looks whether this node still leads, and whether all whom it serves still live.
func (q *Queue) verify(l *leader) {
	ctx, cancel := context.WithTimeout(q.life, callTimeout)
	defer cancel()
	newest, err := q.mark(ctx)
	switch {
	case err != nil && time.Since(l.sure) < q.waits.sure:
	case err != nil || newest.term != l.term || newest.node != q.node:
		l.do(func(time.Time) { l.resign("the stream's mark is of node %x: %v", newest.node, err) })
	default:
		l.sure = time.Now()
		l.hello(q.node, q.low())
		l.lost(nodeWait)
		l.refresh()
	}
}

// refresh writes the mark anew when it is old, so that the stream's first message is not too far from its last.
func (l *leader) refresh() {
	l.do(func(time.Time) {
		if l.next-l.marked > remark && !l.full() {
			l.marked = l.next
			l.publish(markTopic, &record{kind: recordMark, term: l.term, node: l.queue.node}, nil)
		}
	})
}

// leads takes note of who leads, and sends all calls to a new one.
func (q *Queue) leads(b beat) {
	q.mu.Lock()
	old, l := q.lead, q.local
	if b.term < old.term || b.term == old.term && old.node == 0 || q.closed {
		q.mu.Unlock()
		return
	}
	q.heard = time.Now()
	q.lead = b
	if b.ready && (b != old) {
		q.again()
	}
	q.mu.Unlock()
	if l != nil && b.term > l.term {
		l.do(func(time.Time) { l.resign("node %x leads", b.node) })
	}
	if b.node == 0 {
		select {
		case q.free <- struct{}{}:
		default:
		}
	}
	q.send()
}

// tick runs every moment: it tells the others what they want to know, and ends what has waited for too long.
func (q *Queue) tick(now time.Time) {
	q.mu.Lock()
	mine, lead := q.beating, q.lead.node
	due := now.Sub(q.told) >= beatEvery
	if due {
		q.told = now
	}
	q.mu.Unlock()
	switch {
	case !due:
	case mine.term != 0:
		q.tell(0, headBeat, mine.fields)
	case lead != 0 && lead != q.node:
		low := q.low()
		q.tell(lead, headHello, func(c *coder) { number(c, &low) })
	}
	q.sweep(now)
}
