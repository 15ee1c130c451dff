package module

import (
	"context"
	"encoding/json"
	"errors"

	"gosper/grid/game"
	"gosper/protocol"
)

// ServeNode answers a question of another node, or of this one, about games here: what module functions ask through
// GameNodes. It does not block; done is called once, from any goroutine. here is false when the game is not at this node.
// Who calls was checked where the call came in: the links of nodes let nobody else ask.
func (t *Table) ServeNode(data []byte, done func(answer []byte, here bool)) {
	q, err := parseQuestion(data)
	if err != nil {
		t.tools.log.Error("a question of another node was not understood", "error", err)
		fault, _ := faultOf(err)
		done(answerOf(fault.reply(false, false), &far{}), true)
		return
	}
	switch q.kind {
	case askFunction:
		t.serveFunction(&q, done)
	case askLine:
		t.serveLine(&q, done)
	case askList:
		t.serveInPool(done, func(ctx context.Context) (any, error) { return t.tools.listFor(q.call.Content) })
	case askStamp:
		t.serveInPool(done, func(ctx context.Context) (any, error) { return t.tools.stampFor(ctx, q.call.Content) })
	}
}

// answerOf encodes a reply for the node that asked.
func answerOf(r Reply, f *far) []byte {
	a := answer{status: r.Status, message: r.Message, content: r.Content, member: f.member.Load(), game: f.game.Load()}
	return a.append(make([]byte, 0, 32+len(r.Message)+len(r.Content)))
}

// serveFunction runs a function of the table for a caller at another node.
func (t *Table) serveFunction(q *question, done func([]byte, bool)) {
	c := &q.call
	c.far = &far{}
	f, _ := t.index.find(c.Route)
	j := &job{table: t, call: c, function: f, gate: q.gate, done: func(r Reply) { done(answerOf(r, c.far), !c.far.notHere.Load()) }}
	switch {
	case f == nil: // the other node is newer
		j.answer(nil, errWire)
	case f.inline != nil:
		func() {
			defer t.recovered(c.Route, func() { j.answer(nil, errPanicked) })
			f.inline(t.tools, c, j.answer)
		}()
	case !t.pool.try(j.run):
		j.answer(nil, faultBusy)
	}
}

// serveLine draws what an EDIT line says for a caller at another node.
func (t *Table) serveLine(q *question, done func([]byte, bool)) {
	f := &far{}
	t.editLine(&q.call.Who, q.call.Content, f, func(b []byte, status protocol.Status) {
		done(answerOf(Reply{Status: status, Content: b}, f), !f.notHere.Load())
	})
}

// serveInPool answers with what work returns.
func (t *Table) serveInPool(done func([]byte, bool), work func(context.Context) (any, error)) {
	finish := func(out any, err error) {
		if errors.Is(err, game.ErrNoGame) || t.tools.moved(err) {
			done(nil, false)
			return
		}
		r := Reply{}
		if err == nil {
			r.Content, err = json.Marshal(out)
		}
		if err != nil {
			fault, internal := faultOf(err)
			if internal {
				t.tools.log.Error("a question of another node failed", "error", err)
			}
			r = fault.reply(false, false)
		}
		done(answerOf(r, &far{}), true)
	}
	ok := t.pool.try(func() {
		defer t.recovered("node", func() { finish(nil, errPanicked) })
		ctx, cancel := context.WithTimeout(t.end, t.tools.options.CallTimeout)
		defer cancel()
		finish(work(ctx))
	})
	if !ok {
		finish(nil, faultBusy)
	}
}
