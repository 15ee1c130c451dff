package websocket

import (
	"bytes"
	"context"
	"log/slog"
	"time"

	"gosper/broker"
	"gosper/edge"
	"gosper/edge/module"
	"gosper/protocol"
)

// Events is the door of listeners to events: browsers that want to know what has become stale. It sends messages of the
// bus as they are, answers __ping__, and takes nothing else. It has no state of connections: one serves all. What each one
// hears comes with it, in AdoptInfo.Listening.
type Events struct {
	Door
	log *slog.Logger
}

// NewEvents returns an events door.
func NewEvents(log *slog.Logger) *Events { return &Events{log: log} }

// Name returns "events".
func (*Events) Name() string { return "events" }

// Texts of the keep-alive, of the reference's clients.
const (
	eventsPing = "__ping__"
	eventsPong = "__pong__"
)

// shutdown is the last message of a node that goes.
const shutdown = `"Shutting down"`

// followTime bounds how long a connection waits for its subscriptions.
const followTime = 10 * time.Second

// Open subscribes the connection, or tells it why not.
func (d *Events) Open(s *edge.Session, info *edge.AdoptInfo) {
	l := info.Listening
	st := &state{text: heard, listening: l}
	st.frames.Server = true
	st.frames.Max = s.Limits().MessageBytes
	s.State = st
	s.Trust() // the handshake has checked whom it may
	if l.Refusal != nil {
		textFrame(s, l.Refusal)
		s.End(l.Code, "refused")
		return
	}
	s.SetFormat(edge.FormatText)
	if l.Placed {
		s.SetFormat(edge.FormatTextPlaced)
	}
	go d.follow(s, st)
}

// follow subscribes to everything, off the loop. A listener that cannot hear is let go: it comes back and tries again. Only one
// that hears is told how things are, and gets its pings answered: what it knows by then, or asks for, misses no change.
func (d *Events) follow(s *edge.Session, st *state) {
	l := st.listening
	ctx, cancel := context.WithTimeout(context.Background(), followTime)
	defer cancel()
	for i, subject := range l.Subjects {
		var since broker.Position
		if i < len(l.Since) {
			since = l.Since[i]
		}
		_, _, err := s.Follow(ctx, subject, since, func(at broker.Position, recovered bool) {
			if l.Placed && (since == (broker.Position{}) || !recovered) {
				textFrame(s, begin(subject, at, recovered))
			}
		})
		if err != nil {
			d.log.Warn("events: a listener could not subscribe", "subject", subject, "error", err)
			s.Close(protocol.CloseRestart)
			return
		}
	}
	tellFirst(s, l)
	s.Post(func() {
		if st.hears = true; s.Closing() {
			return
		}
		for ; st.pings > 0; st.pings-- {
			textFrame(s, []byte(eventsPong))
		}
	})
}

// tellFirst sends how things are, and again while that changes: the news of it may have come before what was sent.
func tellFirst(s *edge.Session, l *edge.Listening) {
	if l.First == nil {
		return
	}
	var told []byte
	for now := l.First(); !bytes.Equal(now, told); now = l.First() {
		told = now
		s.Post(func() {
			if !s.Closing() {
				textFrame(s, now)
			}
		})
	}
}

// begin is the first message about a subject to a listener that wants positions: where it begins. Without recovered it has
// missed something, so everything may be stale.
func begin(subject string, at broker.Position, recovered bool) []byte {
	message := `{"name":"begin","value":{"recovered":false}}`
	if recovered {
		message = `{"name":"begin","value":{"recovered":true}}`
	}
	return protocol.AppendPlaced(nil, []byte(message), subject, at.Epoch, at.Offset)
}

// heard handles a text message.
func heard(s *edge.Session, text []byte) {
	if string(text) == eventsPing {
		s.Count(edge.FramePing, 1)
		if !s.TakeControl() {
			s.End(protocol.CloseRate, "control_rate")
			return
		}
		if st := s.State.(*state); !st.hears {
			st.pings++
			return
		}
		textFrame(s, []byte(eventsPong))
		return
	}
	s.Count(edge.FrameIgnored, 1)
}

// Beat sends a ping, and has it asked whether the listener still may listen: tokens end.
func (d *Events) Beat(s *edge.Session) {
	d.Door.Beat(s)
	if l := s.State.(*state).listening; l.Still != nil {
		go ask(s, l)
	}
}

// ask ends a listener that may hear no more.
func ask(s *edge.Session, l *edge.Listening) {
	if refusal := l.Still(); refusal != nil {
		s.Post(func() {
			if !s.Closing() {
				textFrame(s, refusal)
				s.End(l.Code, "expired")
			}
		})
	}
}

// Reply does nothing: there are no calls.
func (*Events) Reply(*edge.Session, *edge.Request, *module.Reply) {}

// Goodbye sends the close frame, and before it what older clients look for when the node goes.
func (d *Events) Goodbye(s *edge.Session, code protocol.CloseCode) (answered bool) {
	if st := s.State.(*state); code == protocol.CloseGoingAway && !st.farewell { // not when the client said it first
		textFrame(s, []byte(shutdown))
	}
	return d.Door.Goodbye(s, code)
}

// textFrame sends a text message.
func textFrame(s *edge.Session, text []byte) {
	out := s.Buffer()
	*out = protocol.AppendFrame(*out, protocol.OpText, text)
}
