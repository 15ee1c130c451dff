package websocket

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"gosper/broker"
	"gosper/edge"
	"gosper/edge/module"
	"gosper/protocol"
)

// Events is the door of listeners to events: browsers that want to know what has become stale. It sends messages of the
// bus as they are, answers __ping__, and takes nothing else. Each connection has its own, made after its handshake.
type Events struct {
	Door
	EventsOptions
}

// EventsOptions say what one connection hears.
type EventsOptions struct {
	First    []byte             // sent at once; nil for nothing. A JSON text
	Refusal  []byte             // sent instead of everything, before the end; nil for a connection that is welcome. A JSON text
	Code     protocol.CloseCode // with a Refusal
	Subjects []string
	Since    broker.Position // of a single subject: what came after it is sent first; the zero value begins now
	Placed   bool            // each message has a member "position" more
	Log      *slog.Logger
}

// NewEvents returns the door of one connection.
func NewEvents(o EventsOptions) *Events { return &Events{EventsOptions: o} }

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
func (d *Events) Open(s *edge.Session, _ *edge.AdoptInfo) {
	st := &state{text: d.heard}
	st.frames.Server = true
	st.frames.Max = s.Limits().MessageBytes
	s.State = st
	s.Trust() // the handshake has checked whom it may
	if d.Refusal != nil {
		textFrame(s, d.Refusal)
		s.End(d.Code, "refused")
		return
	}
	s.SetFormat(edge.FormatText)
	if d.Placed {
		s.SetFormat(edge.FormatTextPlaced)
	}
	if d.First != nil {
		textFrame(s, d.First)
	}
	go d.follow(s)
}

// follow subscribes to everything, off the loop. A listener that cannot hear is let go: it comes back and tries again.
func (d *Events) follow(s *edge.Session) {
	ctx, cancel := context.WithTimeout(context.Background(), followTime)
	defer cancel()
	for _, subject := range d.Subjects {
		_, recovered, err := s.Subscribe(ctx, subject, d.Since)
		if err != nil {
			d.Log.Warn("events: a listener could not subscribe", "subject", subject, "error", err)
			s.Close(protocol.CloseRestart)
			return
		}
		if !recovered {
			s.Post(func() { textFrame(s, missed(subject)) })
		}
	}
}

// missed is the message to a listener that came back too late: everything may be stale.
func missed(subject string) []byte {
	b, _ := json.Marshal(map[string]any{"name": "gap", "value": map[string]string{"subject": subject}}) // texts cannot fail
	return b
}

// heard handles a text message.
func (*Events) heard(s *edge.Session, text []byte) {
	if string(text) == eventsPing {
		s.Count(edge.FramePing, 1)
		textFrame(s, []byte(eventsPong))
		return
	}
	s.Count(edge.FrameIgnored, 1)
}

// Reply does nothing: there are no calls.
func (*Events) Reply(*edge.Session, *edge.Request, *module.Reply) {}

// Goodbye sends the close frame, and before it what older clients look for when the node goes.
func (d *Events) Goodbye(s *edge.Session, code protocol.CloseCode) (answered bool) {
	if code == protocol.CloseGoingAway {
		textFrame(s, []byte(shutdown))
	}
	return d.Door.Goodbye(s, code)
}

// textFrame sends a text message.
func textFrame(s *edge.Session, text []byte) {
	out := s.Buffer()
	*out = protocol.AppendFrame(*out, protocol.OpText, text)
}
