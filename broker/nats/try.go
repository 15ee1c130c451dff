package nats

import (
	"encoding/json"

	"github.com/nats-io/nats.go"
)

// try is a write of a topic. A server that led the stream, stood still and does not know that it was replaced refuses what
// the leader of now stores, and its answer may come first. So a refusal of a stream with replicas is believed only when
// another node's message is known to have the place of the first message; until then the same is sent again, behind
// the same message, so that it is stored once. The lane's lock guards it.
type try struct {
	run   []*publish
	after uint64 // sequence of the message that the run must follow

	refused bool
	lost    bool   // another node's message has the place of the first
	seq     uint64 // of the last message, when it was heard
}

// hear takes note of a message that the stream handed out.
func (y *try) hear(s stamp, seq uint64) {
	first, last := &y.run[0].stamp, &y.run[len(y.run)-1].stamp
	switch {
	case s.same(last):
		y.seq = seq
	case s.Position == first.Position && !s.same(first):
		y.lost = true
	}
}

// same reports whether both are stamps of one message.
func (s *stamp) same(o *stamp) bool {
	return s.node == o.node && s.Position == o.Position && s.at.UnixMicro() == o.at.UnixMicro()
}

// doubtful reports whether the run may be stored although it was refused, and needs a question before anything else is
// written. REQUIRES: known.
func (t *topic) doubtful(epoch uint64) bool {
	y := t.try
	if y != nil && (!y.refused || y.lost || t.seq < y.after || y.run[0].stamp.Epoch != epoch) {
		t.try = nil // settled; or what it followed is lost, and so is the run
	}
	return t.try != nil && t.seq > y.after
}

// resolve asks the stream for the message behind the one that a refused run had to follow: it is the first of the run if
// that was stored. Caller holds l's lock.
func (b *Bus) resolve(l *lane, t *topic) {
	t.asking = true
	err := b.stream(t.subject).behind(t.subject, t.try.after, func(found newest, err error) {
		l.Lock()
		t.asking = false
		y, seq := t.try, uint64(0)
		switch {
		case y == nil: // what was heard meanwhile has told
		case err != nil: // of a server that leads no more, or there is none
			t.known = false
			b.later(l, t)
		case found.stamp.same(&y.run[0].stamp):
			seq = found.seq + uint64(len(y.run)) - 1 // a run is stored whole
		default:
			y.lost = true
		}
		if seq == 0 {
			b.advance(l, t)
		}
		l.Unlock()
		l.Drain(&b.table)
		if seq > 0 {
			b.accepted(l, t, y, seq)
		}
	})
	if err != nil {
		b.later(l, t)
	}
}

// behind asks the leader for the first message of subject behind a sequence. answer is called as by link.ask.
func (s *stream) behind(subject string, after uint64, answer func(newest, error)) error {
	body, err := json.Marshal(map[string]any{"seq": after + 1, "next_by_subj": s.prefix + subject})
	if err != nil {
		return err
	}
	return s.link.ask(&nats.Msg{Subject: "$JS.API.STREAM.MSG.GET." + s.name, Data: body}, callTimeout, func(m *nats.Msg, err error) bool {
		answer(readStored(m, err))
		return false
	})
}

// disbelieved takes a refusal for a moment's: the run is stored already, or is tried again.
func (b *Bus) disbelieved(l *lane, t *topic, y *try) {
	conflictsTotal.Inc()
	l.Lock()
	y.refused = b.opts.Replicas > 1
	seq := y.seq
	l.Unlock()
	if seq > 0 {
		b.accepted(l, t, y, seq)
		return
	}
	b.again(l, t, func() { t.known = t.known && t.seq != y.after })
}
