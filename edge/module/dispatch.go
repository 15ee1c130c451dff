package module

import (
	"context"
	"encoding/json"
	"errors"
	"runtime/debug"
	"sync/atomic"
	"time"

	"gosper/broker"
	"gosper/protocol"
)

// Table is the function table with its workers: the Dispatcher of a node. Make it with New and end it with Close.
type Table struct {
	tools     *Tools
	functions []Function
	index     index
	pool      *pool
	end       context.Context // ends when the table closes
	cancel    context.CancelFunc
}

var _ Dispatcher = (*Table)(nil)

// New returns a table that works with the engines of c. The error names the field of c that cannot be.
func New(c Config) (*Table, error) {
	tools, err := newTools(c)
	if err != nil {
		return nil, err
	}
	t := &Table{tools: tools, functions: allFunctions(), pool: newPool(c.Workers, c.Queue)}
	t.index = newIndex(t.functions)
	t.end, t.cancel = context.WithCancel(context.Background())
	tools.later = func(work func(context.Context)) bool {
		return t.pool.try(func() {
			defer t.recovered("later", func() {})
			ctx, cancel := context.WithTimeout(t.end, c.CallTimeout)
			defer cancel()
			work(ctx)
		})
	}
	metrics.watch(t)
	return t, nil
}

// Functions lists the table. The slice is the caller's own.
func (t *Table) Functions() []Function { return append([]Function(nil), t.functions...) }

// Close answers what is queued, ends the workers and stops pushes. Later calls are answered "busy".
func (t *Table) Close() {
	t.tools.presence.close()
	t.cancel()
	t.pool.close()
	metrics.unwatch(t)
}

// Joined notes that a session speaks as who in a world. See Dispatcher.
func (t *Table) Joined(session uint64, who Identity) { t.tools.presence.joined(session, who) }

// Left notes that a session has gone. See Dispatcher.
func (t *Table) Left(session uint64, _ Identity) {
	t.tools.presence.left(session)
	t.tools.online.left(session)
}

// Say publishes chat text. See Dispatcher.
func (t *Table) Say(who *Identity, family bool, text []byte, done func(protocol.Status)) {
	say(t.tools, who, family, text, func(_ broker.Position, err error) {
		if err == nil {
			done(protocol.StatusOK)
			return
		}
		fault, internal := faultOf(err)
		if internal {
			t.tools.log.Error("chat was not published", "error", err)
		}
		done(fault.Status)
	})
}

// Call runs one function. See Dispatcher.
func (t *Table) Call(c *Call, done func(Reply)) {
	f, gate := t.index.find(c.Route)
	j := &job{table: t, call: c, function: f, gate: gate, done: done}
	switch {
	case f == nil:
		j.answer(nil, refuseGate(protocol.StatusUnknown, protocol.StatusUnknownFunction, messageUnknown+": no such route"))
	case !t.tools.limits.allow(callerOf(f.Class, &c.Who, c.Remote), t.tools.now()):
		j.answer(nil, faultTooMany)
	case f.inline != nil && !gate:
		j.runInline()
	case !t.pool.try(j.run):
		j.answer(nil, faultBusy)
	}
}

// job is one call on its way through a table. It is answered exactly once.
type job struct {
	table    *Table
	call     *Call
	function *Function
	gate     bool // called by its gate name
	done     func(Reply)
	answered atomic.Bool
}

// run works on a pool goroutine.
func (j *job) run() {
	defer j.table.recovered(j.call.Route, func() { j.answer(nil, errPanicked) })
	parent := j.call.Context
	if parent == nil {
		parent = context.Background()
	}
	ctx, cancel := context.WithTimeout(parent, j.table.tools.options.CallTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { j.answer(nil, ctx.Err()) })
	defer stop()
	j.call.Context = ctx
	if err := j.admit(); err != nil {
		j.answer(nil, err)
		return
	}
	j.answer(j.function.run(j.table.tools, j.call))
}

// runInline works on the caller's goroutine, which may be an event loop.
func (j *job) runInline() {
	defer j.table.recovered(j.call.Route, func() { j.answer(nil, errPanicked) })
	if err := j.admit(); err != nil {
		j.answer(nil, err)
		return
	}
	j.function.inline(j.table.tools, j.call, j.answer)
}

// errPanicked is logged where the panic is caught, and answered like every inner error.
var errPanicked = errors.New("function panicked")

// recovered is deferred around every function: a panic ends one call, not the node.
func (t *Table) recovered(route string, answer func()) {
	if p := recover(); p != nil {
		metrics.panics.Inc()
		t.tools.log.Error("function panicked", "route", route, "panic", p, "stack", string(debug.Stack()))
		answer()
	}
}

var faultNoConnection = refuse(protocol.StatusUnknown, "this function needs a lasting connection")

// admit checks what the function needs. A caller by gate name brings a token in its content instead of a connection
// that is logged in.
func (j *job) admit() error {
	needs, c, t := j.function.Needs, j.call, j.table.tools
	if needs&NeedClientCode != 0 && !j.gate {
		if c.ClientCode == "" {
			return refuse(protocol.StatusMissing, "clientCode is required.")
		}
		if !t.codes.validClient(c.ClientCode) {
			return refuse(protocol.StatusInvalid, "Client Code is invalid!")
		}
	}
	if j.gate && needs&(NeedLogin|NeedWorld) != 0 {
		if err := j.admitToken(); err != nil {
			return err
		}
	}
	switch {
	case needs&NeedLogin != 0 && !c.Who.LoggedIn:
		return refuseGate(protocol.StatusMissing, protocol.StatusNoToken, messageNotLoggedIn)
	case needs&NeedWorld != 0 && (c.Who.World == "" || c.Who.Name == ""):
		return faultNoWorld
	case needs&NeedConnection != 0 && c.Session == nil:
		return faultNoConnection
	}
	return nil
}

// admitToken reads who calls from the token in the content.
func (j *job) admitToken() error {
	in, err := decode[tokenOut](j.call.Content)
	if err != nil {
		return err
	}
	if in.Token == "" {
		return refuseGate(protocol.StatusMissing, protocol.StatusNoToken, "token is missing")
	}
	who, err := j.table.Authenticate(j.call.Context, in.Token)
	if errors.Is(err, ErrToken) {
		return refuseGate(protocol.StatusExpired, protocol.StatusInvalidToken, "token is not valid")
	}
	j.call.Who = who
	return err
}

// answer encodes a result or an error, the first time it is called for this job.
func (j *job) answer(out any, err error) {
	if j.answered.Swap(true) {
		return
	}
	reply := Reply{Status: protocol.StatusOK, Message: "OK"}
	if err == nil {
		if s, ok := out.(gateStatus); ok && j.gate {
			reply.Status = s.gateStatus()
		}
		reply.Content, err = json.Marshal(out)
	}
	if err != nil {
		fault, internal := faultOf(err)
		if internal {
			j.table.tools.log.Error("function failed", "route", j.call.Route, "error", err)
		}
		reply = fault.reply(j.gate)
	}
	metrics.count(j, reply.Status)
	j.done(reply)
}

// elapsed returns the time since the call was received, 0 when the door did not say.
func (j *job) elapsed() time.Duration {
	if j.call.Received.IsZero() {
		return 0
	}
	return time.Since(j.call.Received)
}
