// Package module holds the functions of gosper: what a client can ask for, whatever door it came through.
//
// A function is written once, as a plain function that gets its tools and one call, and is entered in the table with
// its route (websocket, line CALL), its gate name, what it needs and its rate class. Doors only decode bytes into a
// Call and encode its Reply. Adding a function touches one file here and no door.
package module

import (
	"context"
	"time"

	"gosper/broker"
	"gosper/grid/game"
	"gosper/protocol"
)

// Identity is who a session speaks as. The zero value is nobody. It is a value: copies are handed about freely.
type Identity struct {
	Account    string // account id; "" before login. A nonce of a trusted service may name a player without account
	Login      string // id of the login behind it; "" without account. Never shown to clients
	Name       string // display name in World
	World      string
	Family     string // "" without family
	ClientCode string
	LoggedIn   bool
}

// Session is the connection a call came from, as far as functions may touch it. All methods may be called from any
// goroutine; after the connection has gone they do nothing. Calls made through a door without a lasting connection
// (gate, HTTP) have a nil Session.
type Session interface {
	ID() uint64 // unique in this process
	// Who returns who the session speaks as. The result is shared and not to be changed.
	Who() *Identity
	// SetIdentity replaces who the session speaks as, before the call's reply is written.
	SetIdentity(Identity)
	// Subscribe sends messages of subject to this client from now on. With a since of the present epoch it first sends
	// what was missed, in order, without a hole or a double, and reports recovered true; otherwise recovered is
	// false and the returned position is where the client now is. A zero since is always recovered. It waits for
	// the event loop and the bus: never call it on a loop.
	Subscribe(ctx context.Context, subject string, since broker.Position) (at broker.Position, recovered bool, err error)
	Unsubscribe(subject string)
	// Subscriptions lists the subjects of the session.
	Subscriptions() []string
	// Watch sends the client a stream of a game from now on: a snapshot, then every frame behind it, as text or binary
	// as the door wants it (s.Text is not looked at). A session watches a grid in one way at a time: another Watch of
	// the same grid takes the place of the one before, and the same stream begins again with a snapshot. The first
	// frame may come before Watch returns. Errors: those of game.Host.Watch; game.ErrLimit for too many streams. It
	// waits for the event loop: never call it on one.
	Watch(id game.ID, s game.Stream) error
	// Unwatch ends the stream of a grid; for one that is not watched it does nothing. All end when the session does, and
	// when it is nobody's any more.
	Unwatch(id game.ID, index int)
	// Close ends the connection with the code's bytes of its door, after what is queued was sent.
	Close(protocol.CloseCode)
}

// Call is one function call. Content belongs to the call and may be kept.
type Call struct {
	Context    context.Context // ends when the client is gone or the time limit is reached
	Route      string          // canonical route, e.g. "/user/register"
	Door       string          // "line", "ws", "gate", "http"
	Remote     string          // client address without port, after PROXY protocol
	ClientCode string
	World      string // the world that a request of the gate names, else ""
	Content    []byte // raw JSON object, valid JSON; "{}" when the client sent none
	Who        Identity
	Session    Session
	Received   time.Time

	far  *far // the call was forwarded by another node
	gate bool // called by its gate name
}

// Reply is the answer to a call. Content is a JSON object ("{}" if empty).
type Reply struct {
	Status  protocol.Status
	Message string
	Content []byte
}

// Dispatcher runs calls. It is what doors see of this package. All methods may be called on an event loop: they
// never block, and done is called exactly once, from any goroutine (possibly before the method returns).
type Dispatcher interface {
	// Call runs the function of c.Route (or the gate name in c.Route for the gate). Unknown routes, missing rights,
	// rate limits, panics and a full queue are replies too.
	Call(c *Call, done func(Reply))
	// Say publishes chat text as who, to the world or to the family: the hot path of the line door's PUBLIC and FAMILY
	// and of /chat/public and /chat/family. text is copied. A non-OK status says why it was refused.
	Say(who *Identity, family bool, text []byte, done func(protocol.Status))
	// EditLine draws on a grid what the payload of an EDIT line says, as who, without JSON; payload may be kept. Edits of
	// one caller keep their order. done gets the payload of the answering EDIT line, which for a refused edit says why,
	// beside its status; no reply means that the payload breaks the protocol.
	EditLine(who *Identity, payload []byte, done func(reply []byte, status protocol.Status))
	// Joined and Left follow identities on sessions: called on the loop when a session gets a World and Name, changes
	// them, or goes. Left is also called when a session goes that has an Account but is in no world.
	Joined(session uint64, who Identity)
	Left(session uint64, who Identity)
}
