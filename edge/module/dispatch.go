package module

import (
	"context"
	"encoding/json"
	"errors"
	"runtime/debug"
	"sync"
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
	if err := tools.followRooms(); err != nil {
		t.Close()
		return nil, err
	}
	if c.Together {
		if err := errors.Join(tools.presence.meet(tools.origin), tools.followLogins()); err != nil {
			t.Close()
			return nil, err
		}
	}
	if err := tools.startModeration(t.end); err != nil {
		t.Close()
		return nil, err
	}
	tools.later(func(ctx context.Context) { tools.sweepRedeemed(ctx) })
	return t, nil
}

// Functions lists the table. The slice is the caller's own.
func (t *Table) Functions() []Function { return append([]Function(nil), t.functions...) }

// Close answers what is queued, ends the workers and stops pushes. Later calls are answered "busy".
func (t *Table) Close() {
	t.tools.presence.close()
	t.tools.endLogins()
	t.tools.families.rooms.close()
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
	if c.Door == DoorGate {
		gate = true
		c.Content = f.withWorld(c.Content, c.World)
	}
	c.gate = gate
	j := &job{table: t, call: c, function: f, gate: gate, done: done}
	switch {
	case f == nil:
		j.answer(nil, refuseGate(protocol.StatusUnknown, protocol.StatusUnknownFunction, messageUnknown+": no such route"))
	case t.tools.refusesBanned(j):
	case !j.byToken() && !j.withinRate():
		j.answer(nil, faultTooMany)
	case f.inline != nil && !gate:
		j.runInline()
	case !t.pool.try(j.run):
		j.answer(nil, faultBusy)
	}
}

// DoorGate is the Call.Door of the gate: its callers are answered as by gate name, whatever they wrote.
const DoorGate = "gate"

// byToken says whether the caller is known only after its token was read. Then the rate is looked at behind that, so that
// players who share an address do not share a rate.
func (j *job) byToken() bool { return j.gate && j.function.Needs&(NeedLogin|NeedWorld) != 0 }

// withinRate counts the call and says whether it fits the rate of its class.
func (j *job) withinRate() bool {
	t := j.table.tools
	return t.limits.allow(callerOf(j.function.Class, &j.call.Who, j.call.Remote), t.now())
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
	if j.function.inline != nil {
		j.waitInline(ctx)
		return
	}
	out, err := j.function.run(j.table.tools, j.call)
	if comes, ok := out.(later); ok {
		comes(j.answer)
		return
	}
	j.answer(out, err)
}

// waitInline runs an inline function of a caller that had to leave the loop to be known.
func (j *job) waitInline(ctx context.Context) {
	done := make(chan struct{})
	var once sync.Once
	j.function.inline(j.table.tools, j.call, func(out any, err error) {
		j.answer(out, err)
		once.Do(func() { close(done) })
	})
	select {
	case <-done:
	case <-ctx.Done():
	}
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

var (
	faultNoConnection = refuse(protocol.StatusUnknown, "this function needs a lasting connection")
	faultBadToken     = refuseGate(protocol.StatusExpired, protocol.StatusInvalidToken, "token is not valid")
)

// admit checks what the function needs. A caller by gate name brings a token in its content instead of a connection
// that is logged in.
func (j *job) admit() error {
	if j.call.far != nil {
		return nil
	}
	needs, c, t := j.function.Needs, j.call, j.table.tools
	if needs&NeedClientCode != 0 && !j.gate {
		if c.ClientCode == "" {
			return refuse(protocol.StatusMissing, "clientCode is required.")
		}
		if !t.codes.validClient(c.ClientCode) {
			return refuse(protocol.StatusInvalid, "Client Code is invalid!")
		}
	}
	if j.byToken() {
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
		return faultBadToken
	}
	if err != nil {
		return err
	}
	j.call.Who = who
	if !j.withinRate() {
		return faultTooMany
	}
	if needs := j.function.Needs; needs&NeedWorld != 0 && who.World == "" && j.call.World != "" {
		return j.enter()
	}
	return nil
}

// enter lets a caller whose token names no world speak as its player in the world that the request names.
func (j *job) enter() error {
	p, err := j.table.tools.loadPlayer(j.call.Context, j.call.World, j.call.Who.Account)
	if err == nil && p.Name != "" {
		who := &j.call.Who
		who.World, who.Name = j.call.World, p.Name
		err = j.table.tools.settleFamily(j.call.Context, who)
	}
	return err
}

// answer encodes a result or an error, the first time it is called for this job.
func (j *job) answer(out any, err error) {
	if j.answered.Swap(true) {
		return
	}
	reply := Reply{Status: protocol.StatusOK, Message: "OK"}
	if done, ok := out.(relayed); ok && err == nil {
		metrics.count(j, done.Status)
		j.done(done.Reply)
		return
	}
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
		reply = fault.reply(j.gate, j.call.Door == DoorGate)
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
