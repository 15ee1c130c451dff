package module

import (
	"context"
	"errors"
	"reflect"
	"sync/atomic"
	"time"

	"gosper/broker"
	"gosper/grid/game"
	"gosper/protocol"
)

// GameNodes are the nodes that run games together with this one. A call on a game of another node is checked here (rights, rates,
// bans), goes there whole, and runs there without a connection; its answer comes back byte for byte. What concerns the
// connection is done here: see tie. All methods may be called from any goroutine; done is called once, and must not block.
type GameNodes interface {
	// Node is the name of this node.
	Node() string
	// Ask brings a question to the node of a game, and waits for a game that moves until then at most; again says that it may
	// be asked twice. Errors: those of cluster.Cluster.Ask.
	Ask(id game.ID, question []byte, again bool, until time.Time, done func(answer []byte, err error))
	// AskNode brings a question to a node. game.ErrMoving: nothing was done.
	AskNode(node string, question []byte, done func(answer []byte, err error))
	// AskAll asks every other node and returns the answers that came in time.
	AskAll(ctx context.Context, question []byte) [][]byte
	// Place names the node that is best for a new game of so many bytes; "" when there is none. It may wait for one.
	Place(ctx context.Context, bytes int64) string
	// Known says whether some node has the game. It does not block.
	Known(id game.ID) bool
}

// far is what a call that another node forwarded leaves behind for that node, beside its reply.
type far struct {
	notHere atomic.Bool // the game is not at this node: nothing was done
	member  atomic.Bool // the caller is a user of the game now
	game    atomic.Uint64
}

// later is the result of a function whose answer comes by itself.
type later func(answer func(any, error))

// relayed is the result of a function that another node ran.
type relayed struct{ Reply }

// outcome is what a function on a game led to, wherever it ran.
type outcome struct {
	status protocol.Status
	member bool // the caller is a user of the game now
}

// tie is the part of a function on a game that concerns the caller's connection. It is done at the node that has the
// connection, and not at all for a call without one. Any of its members may be nil.
type tie[In any] struct {
	// before is done first; undo when the function refused. It may block.
	before func(t *Tools, c *Call, id game.ID, in *In) (undo func(), err error)
	// behind is done when the function succeeded, and may fail it. It may block.
	behind func(t *Tools, c *Call, id game.ID, in *In) error
	// after is done last, and does not block.
	after func(t *Tools, c *Call, id game.ID, in *In, o outcome)
}

// defineGame makes a table entry from a function on one game.
func defineGame[In interface{ named() string }, Out any](f Function, run func(*Tools, *Call, *game.Game, *In) (Out, error)) Function {
	return defineTied(f, tie[In]{}, run)
}

// defineTied is defineGame for a function with a part that concerns the connection.
func defineTied[In interface{ named() string }, Out any](f Function, tied tie[In], run func(*Tools, *Call, *game.Game, *In) (Out, error)) Function {
	f.In, f.Out = reflect.TypeFor[In](), reflect.TypeFor[Out]()
	f.world = readsWorld(f.In)
	again := f.Class == ClassRead || f.Route == routeGameJoin
	f.run = func(t *Tools, c *Call) (any, error) {
		in, err := decode[In](c.Content)
		if err != nil {
			return nil, err
		}
		id, err := t.gameID((*in).named())
		if err != nil {
			return nil, err
		}
		var b bound
		if c.Session != nil {
			b = tied.bind(t, c, id, in)
		}
		return t.onGame(c, id, again, b, func(g *game.Game) (any, error) { return run(t, c, g, in) })
	}
	return f
}

// bound is a tie of one call.
type bound struct {
	before func() (undo func(), err error)
	behind func() error
	after  func(outcome)
}

func (d tie[In]) bind(t *Tools, c *Call, id game.ID, in *In) (b bound) {
	if d.before != nil {
		b.before = func() (func(), error) { return d.before(t, c, id, in) }
	}
	if d.behind != nil {
		b.behind = func() error { return d.behind(t, c, id, in) }
	}
	if d.after != nil {
		b.after = func(o outcome) { d.after(t, c, id, in, o) }
	}
	return b
}

// onGame runs a function where its game is, and what belongs to the connection here.
func (t *Tools) onGame(c *Call, id game.ID, again bool, b bound, run func(*game.Game) (any, error)) (any, error) {
	g, err := t.games.Game(id)
	if err != nil && (t.nodes == nil || c.far != nil) {
		return nil, t.absent(c, err)
	}
	undo := func() {}
	if b.before != nil {
		var failed error
		if undo, failed = b.before(); failed != nil {
			return nil, failed
		}
	}
	if err == nil {
		out, err := run(g)
		if !t.moved(err) {
			return b.finish(c, g, undo, out, err)
		}
		if t.nodes == nil || c.far != nil {
			undo()
			return nil, t.absent(c, err)
		}
	}
	return t.elsewhere(c, id, again, b, undo), nil
}

// absent is the answer to a call whose game is not at this node.
func (t *Tools) absent(c *Call, err error) error {
	if c.far != nil {
		c.far.notHere.Store(true)
	}
	return err
}

// moved says whether an error means that nothing was done, since another node has the game.
func (t *Tools) moved(err error) bool {
	return errors.Is(err, game.ErrMoved) || errors.Is(err, broker.ErrFenced)
}

// finish does what is left behind a function that ran here.
func (b bound) finish(c *Call, g *game.Game, undo func(), out any, err error) (any, error) {
	info := g.Info()
	u, ok := info.User(gameUser(&c.Who))
	o := outcome{member: ok && u.Present}
	if c.far != nil {
		c.far.member.Store(o.member)
		c.far.game.Store(uint64(info.ID))
	}
	if err == nil && b.behind != nil {
		err = b.behind()
	}
	if err != nil {
		undo()
		fault, _ := faultOf(err)
		o.status = fault.Status
	}
	if b.after != nil {
		b.after(o)
	}
	return out, err
}

// elsewhere sends a call to the node of its game. The answer comes when it comes: no worker waits for it.
func (t *Tools) elsewhere(c *Call, id game.ID, again bool, b bound, undo func()) later {
	return func(answer func(any, error)) {
		t.forward(c, id, again, func(reply Reply, member bool, err error) {
			o := outcome{status: reply.Status, member: member}
			if err != nil {
				fault, _ := faultOf(err)
				o.status = fault.Status
			}
			end := func(behind error) {
				if behind != nil {
					fault, _ := faultOf(behind)
					o.status, err = fault.Status, behind
				}
				if o.status != protocol.StatusOK {
					undo()
				}
				if b.after != nil {
					b.after(o)
				}
				if err != nil {
					answer(nil, err)
					return
				}
				answer(relayed{reply}, nil)
			}
			if o.status != protocol.StatusOK || b.behind == nil {
				end(nil)
				return
			}
			ok := t.later(func(ctx context.Context) {
				c.Context = ctx // the one before has ended with the worker that the call began on
				end(b.behind())
			})
			if !ok {
				end(broker.ErrBusy)
			}
		})
	}
}

// forward asks the node of a game for the answer to a call.
func (t *Tools) forward(c *Call, id game.ID, again bool, done func(reply Reply, member bool, err error)) {
	var until time.Time
	if c.Context != nil {
		until, _ = c.Context.Deadline()
	}
	q := question{kind: askFunction, gate: c.gate, call: *c}
	t.nodes.Ask(id, q.append(nil), again, until, func(b []byte, err error) {
		var a answer
		if err == nil {
			a, err = parseAnswer(b)
		}
		done(a.reply(), a.member, err)
	})
}

// gameID reads the id of a game.
func (t *Tools) gameID(id string) (game.ID, error) {
	if t.games == nil {
		return 0, errNoGames
	}
	if id == "" {
		return 0, refuse(protocol.StatusMissing, "game is missing: name it by its id")
	}
	return game.ParseID(id)
}
