package edge

import (
	"gosper/edge/module"
	"gosper/protocol"
)

// Door speaks one client protocol on the connections of a listener. It cuts frames, turns them into calls of Session and
// encodes answers; it keeps no connection of its own. All methods run on the loop of the session, must not block, and
// are called for many sessions, on all loops at once.
//
// A door writes by appending to the buffer of Session.Buffer. What was appended is sent when the method returns.
type Door interface {
	// Name is the label of metrics and the value of Call.Door: "line", "ws".
	Name() string
	// Open is called once, before any other method, when the connection has come to its loop.
	Open(s *Session, info *AdoptInfo)
	// Frames takes as many whole frames from the start of b as there are and returns their length. It may change
	// these bytes. It stops early when s.Paused or s.Closed becomes true. A session that is Closing goes on reading
	// until its peer has closed too.
	Frames(s *Session, b []byte) (n int)
	// Reply encodes the answer to a call.
	Reply(s *Session, req *Request, rep *module.Reply)
	// Goodbye encodes the end of the connection and says whether the peer is expected to answer it.
	Goodbye(s *Session, code protocol.CloseCode) (answered bool)
	// Beats says whether the sessions of this door are pinged; Beat encodes a ping.
	Beats() bool
	Beat(s *Session)
	// TooSlow says what ends a connection whose frame did not become complete in time; 0 means without a word.
	TooSlow() protocol.CloseCode
}

// Format is the form in which a session gets messages of the bus.
type Format uint8

// Formats.
const (
	FormatLine       Format = iota // a command line with CR LF
	FormatEnvelope                 // a websocket text message with an envelope
	FormatFrame                    // a websocket text message with a command line without CR LF
	FormatText                     // a websocket text message with the message's data, any JSON text
	FormatTextPlaced               // the same with a member "position", where it is an object with a position
	formats
)

// Request is one call of a client on its way through its session. Content is the request's own.
type Request struct {
	Route      string
	MsgID      protocol.MsgID
	ClientCode string
	Content    []byte
	Register   bool // the line door's REGISTER: reading pauses until it is answered
	Quiet      bool // a command that has no REPLY: the client is told of a refusal only

	// Alone is a call of a connection that ends with the answer: functions see no session, only the World it names.
	Alone bool
	World string
	// Run, if set, answers the call in place of the dispatcher, under the same rules: it does not block and calls done once,
	// from any goroutine. When the session has gone it may leave that out.
	Run func(c *module.Call, done func(module.Reply))
}
