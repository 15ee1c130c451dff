package nats

import (
	"time"

	"gosper/broker"
)

// topic is what a node knows of one subject with history. Its lane's lock guards it.
type topic struct {
	subject string
	queue   []*publish // waiting; the first flying of them are on their way to the stream
	flying  int
	try     *try            // the write on its way, or one of which it is not sure whether it is stored; nil: none
	asking  bool            // a question for a message is on its way
	retry   time.Time       // when not zero: wait until then before the next try
	heard   broker.Position // last given to local subscribers; zero: none since they listen
	read    broker.Position // newest when a reader asked first since they listen; zero: none has asked
	listens uint64          // how often they began to

	known  bool // the fields below say what the stream has, as far as this node knows
	seq    uint64
	top    broker.Position // Offset is that of the newest message
	first  uint64          // lowest offset that readers may see
	anchor uint64
}

// publishOverhead is what a waiting message costs beside its bytes.
const publishOverhead = 256

// publish is one message on its way.
type publish struct {
	subject  string
	data     []byte
	keep     broker.Keep
	done     func(broker.Position, error)
	at       time.Time
	deadline time.Time // of the first try that cannot be made
	stamp    stamp     // of the last try
	unsure   bool      // it was given up, and may be stored
}

// size is what the message costs while it waits.
func (p *publish) size() int64 { return int64(len(p.data) + len(p.subject) + publishOverhead) }

// end answers the publisher.
func (p *publish) end(err error) {
	if p.done != nil {
		p.done(broker.Position{}, err)
	}
}

// topic returns the topic of subject, which is made when it is missing. Caller holds the lock.
func (l *lane) topic(subject string) *topic {
	t := l.topics[subject]
	if t == nil {
		if len(l.topics) >= maxTopics {
			l.evict()
		}
		t = &topic{subject: subject}
		l.topics[subject] = t
	}
	return t
}

// evict forgets one topic that has nothing to do. It will be read again when it is needed; a hole right after it is not
// noticed. Which one does not matter much: there are thousands.
func (l *lane) evict() {
	for subject, t := range l.topics {
		if len(t.queue) == 0 && t.flying == 0 && !t.asking {
			delete(l.topics, subject)
			return
		}
	}
}

// learn takes note of the message with stamp s at seq, if it is newer than what is known.
func (t *topic) learn(s stamp, seq uint64) {
	if t.known && seq <= t.seq {
		return
	}
	t.known, t.seq, t.top, t.first, t.anchor = true, seq, s.Position, s.first, s.anchor
	if s.Offset%anchorEvery == 0 {
		t.anchor = seq
	}
}

// follow takes note that the message at p goes to the local subscribers. isNew is false when they have it already; hole
// tells that it does not follow the one before.
func (t *topic) follow(p broker.Position) (isNew, hole bool) {
	heard, read := t.heard, t.read
	if p.Epoch == heard.Epoch && p.Offset <= heard.Offset {
		return false, false
	}
	t.heard = p
	if heard.Offset > 0 {
		return true, p.Epoch != heard.Epoch || p.Offset != heard.Offset+1
	}
	return true, read.Offset > 0 && (p.Epoch != read.Epoch || p.Offset > read.Offset+1) // those up to read may come late
}

// listen takes note that local subscribers begin to listen, or that they may have missed anything.
func (t *topic) listen() {
	t.heard, t.read, t.listens = broker.Position{}, broker.Position{}, t.listens+1
}

// stamps gives the next messages of the queue their positions in epoch: at most most of them, as far as all of them
// have history. It returns them. REQUIRES: known.
func (t *topic) stamps(node string, epoch uint64, most int) []*publish {
	offset, first := t.top.Offset, t.first
	var run []*publish
	bytes := 0
	for _, p := range t.queue {
		bytes += len(p.data)
		if p.keep.Messages <= 0 || len(run) == most || len(run) > 0 && bytes > maxRunBytes {
			break
		}
		if len(run) > 0 && offset%anchorEvery == 0 {
			break // its sequence is not known before it is stored
		}
		offset++
		first = max(first, offset+1-min(offset, uint64(p.keep.Messages)))
		p.stamp = stamp{node: node, at: p.at, Position: broker.Position{Epoch: epoch, Offset: offset}, first: first, age: p.keep.Age, anchor: t.anchor}
		run = append(run, p)
	}
	return run
}
