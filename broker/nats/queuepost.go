package nats

import (
	"context"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"gosper/broker"
)

// What nodes tell each other begins with one of these letters and the number of the node that speaks.
const (
	headBeat    = 'b' // who leads
	headWho     = 'w' // who leads? The one that does tells it
	headHello   = 'h' // to the leader: the node lives, and the number of its first call without an answer
	headBye     = 'x' // to the leader: the node leaves
	headRequest = 'q'
	headReply   = 'a'
)

const (
	replyBytes = 256 << 10       // about how much of a long list one answer holds
	jobMargin  = 4 << 10         // what a message has beside the body of its job, at most
	leaveWait  = 2 * time.Second // how long a node that leaves waits until the others know
)

// openQueue opens the queue and the schedule of the nodes that name the same servers and the same space; "" is the usual
// one. It returns before a node leads.
func openQueue(ctx context.Context, o Options, rules broker.QueueOptions, space string) (*Queue, error) {
	rules = rules.WithDefaults()
	if err := rules.Validate(); err != nil {
		return nil, err
	}
	link, err := reach(ctx, o)
	if err != nil {
		return nil, err
	}
	q := &Queue{opts: o, options: rules, prefix: "_GOSPER.jobs" + space + ".", post: "_GOSPER.jobsat" + space + ".", link: link,
		node: rand.Uint64N(1<<63) + 1, waits: o.waits, free: make(chan struct{}, 1), calls: make(map[uint64]*asked), came: make(map[uint64]time.Time),
		heard: time.Now(), unsure: true}
	q.schedule = &Schedule{queue: q}
	q.life, q.end = context.WithCancel(context.Background())
	q.vault = newVault(link, o, "GOSPER_JOBS"+space, 1, q.prefix+"*.*")
	link.run(events{message: q.receive, back: q.back, dropped: func(string) {}, sweep: q.tick})
	link.join(q.post + "all")
	link.join(q.post + nodeName(q.node))
	if err := q.begin(ctx); err != nil {
		_ = q.Close() // err is what the caller can do something about
		return nil, err
	}
	q.ended.Go(q.run)
	return q, nil
}

func (q *Queue) begin(ctx context.Context) error {
	most := int(q.link.conn.MaxPayload()) - jobMargin
	if q.options.MaxJob > most {
		q.opts.Log.Warn("the servers' max_payload bounds jobs", "bytes", most, "asked", q.options.MaxJob)
		q.options.MaxJob = most
	}
	ctx, cancel := context.WithTimeout(ctx, q.opts.StartWait)
	defer cancel()
	if err := q.vault.ensure(ctx); err != nil {
		return err
	}
	q.tell(0, headWho, nil)
	return nil
}

func nodeName(node uint64) string { return strconv.FormatUint(node, 36) }

// tell sends a message to a node, 0 for all. One that is lost is sent again by whoever waits for its answer.
func (q *Queue) tell(node uint64, head byte, fields func(*coder)) {
	to := "all"
	if node != 0 {
		to = nodeName(node)
	}
	data := encode(head, func(c *coder) {
		number(c, &q.node)
		if fields != nil {
			fields(c)
		}
	})
	_ = q.link.send(&letter{msg: &nats.Msg{Subject: q.post + to, Data: data}})
}

// receive takes what a node told. It runs on the link's dispatcher.
func (q *Queue) receive(m *nats.Msg) {
	if len(m.Data) == 0 {
		return
	}
	c := &coder{b: m.Data[1:], reading: true}
	var node uint64
	number(c, &node)
	l := q.leader()
	switch m.Data[0] {
	case headBeat:
		var b beat
		if b.fields(c); !c.bad {
			q.leads(b)
		}
	case headWho:
		q.mu.Lock()
		q.told = time.Time{}
		q.mu.Unlock()
	case headHello:
		var low uint64
		if number(c, &low); !c.bad && l != nil {
			l.hello(node, low)
		}
	case headBye:
		if !c.bad && l != nil {
			l.bye(node)
		}
	case headRequest:
		r := new(request)
		if r.fields(c); !c.bad && l != nil {
			farCalls.Inc()
			l.serve(node, r)
		}
	case headReply:
		var a reply
		if a.fields(c); !c.bad {
			q.answered(a)
		}
	}
}

// answerer returns what gives answers to a node.
func (q *Queue) answerer(node uint64) func(reply) {
	if node == q.node {
		return q.answered
	}
	return func(a reply) {
		for ; a.size() > replyBytes && len(a.jobs)+len(a.timers)+len(a.names) > 1; a.part++ {
			part := reply{n: a.n, term: a.term, part: a.part, more: true}
			part.jobs, a.jobs = cutList(a.jobs, jobSize)
			part.timers, a.timers = cutList(a.timers, timerSize)
			part.names, a.names = cutList(a.names, nameSize)
			q.tell(node, headReply, part.fields)
		}
		q.tell(node, headReply, a.fields)
	}
}

// What the elements of lists take in a message, at most.
func jobSize(j *broker.Job) int     { return len(j.Body) + jobMargin }
func timerSize(t *broker.Timer) int { return len(t.Body) + jobMargin }
func nameSize(name *string) int     { return len(*name) + 4 }

// size is what the lists of an answer take, at most.
func (a *reply) size() int {
	return listSize(a.jobs, jobSize) + listSize(a.timers, timerSize) + listSize(a.names, nameSize)
}

func listSize[T any](all []T, size func(*T) int) (bytes int) {
	for i := range all {
		bytes += size(&all[i])
	}
	return bytes
}

// cutList cuts the first elements off that fill one message; at least one.
func cutList[T any](all []T, size func(*T) int) (first, rest []T) {
	bytes := 0
	for i := range all {
		if bytes += size(&all[i]); bytes > replyBytes && i > 0 {
			return all[:i], all[i:]
		}
	}
	return all, nil
}

// crowded reports whether the link has hardly any room for changes.
func (q *Queue) crowded() bool {
	return len(q.link.out) > MaxOut/2 || q.link.outBytes.Load() > MaxOutBytes/2
}

// back runs when the link is up again: what was on its way may be lost, in both directions, and another node may lead.
func (q *Queue) back() {
	q.mu.Lock()
	q.heard, q.unsure = time.Now(), true
	q.again()
	q.mu.Unlock()
	q.tell(0, headWho, nil)
	q.send()
}

// Close implements broker.Queue. Calls without an answer get broker.ErrClosed; what they asked for may be done.
func (q *Queue) Close() error {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return nil
	}
	q.closed = true
	calls, lead := q.calls, q.lead
	q.calls, q.unsent = make(map[uint64]*asked), nil
	q.mu.Unlock()
	for _, c := range calls {
		c.answer(reply{err: broker.ErrClosed})
	}
	q.end()
	q.ended.Wait()
	l := q.leader()
	q.leave(l, lead)
	if l != nil {
		q.resigned(l)
	}
	q.link.close()
	return nil
}

// leave tells the others that this node goes.
func (q *Queue) leave(l *leader, lead beat) {
	if q.link.away.Load() {
		if l != nil {
			l.do(func(time.Time) { l.resign("it closes") })
		}
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveWait)
	defer cancel()
	switch {
	case l != nil:
		l.do(func(time.Time) {
			l.publish(markTopic, &record{kind: recordMark, term: l.term}, func(time.Time) { l.resign("it closes") })
		})
		select {
		case <-l.over:
		case <-ctx.Done():
			l.do(func(time.Time) { l.resign("it closes") })
		}
		gone := beat{term: l.term}
		q.tell(0, headBeat, gone.fields)
	case lead.node != 0:
		q.tell(lead.node, headBye, nil)
	}
	_, _ = q.vault.about(ctx, "STREAM.INFO", nil) // its answer says that everything before was sent
}
