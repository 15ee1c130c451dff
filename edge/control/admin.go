package control

import (
	"bufio"
	"encoding/json"
	"errors"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"gosper/broker"
	"gosper/edge/module"
	"gosper/protocol"
)

// publishKeep is the history of a subject to which the operator publishes with "history": true.
var publishKeep = broker.Keep{Messages: 200, Age: 24 * time.Hour}

// publish answers POST /admin/publish with JSON {"subject", "route", "content":{…}, "history":bool}: it sends a push to
// every client that follows the subject, and answers {"status":0,"data":{"epoch","offset"}} when the bus has taken it.
func (s *Server) publish(ctx *fasthttp.RequestCtx) {
	var in struct {
		Subject string          `json:"subject"`
		Route   string          `json:"route"`
		Content json.RawMessage `json:"content"`
		History bool            `json:"history"`
	}
	if !decodeBody(ctx, &in) {
		return
	}
	push := protocol.AppendPush(nil, in.Route, in.Content)
	if _, err := protocol.ParsePush(push); err != nil {
		fail(ctx, fasthttp.StatusBadRequest, protocol.StatusInvalid, "route must be a text and content an object")
		return
	}
	keep := broker.Keep{}
	if in.History {
		keep = publishKeep
	}
	type taken struct {
		at  broker.Position
		err error
	}
	done := make(chan taken, 1)
	s.config.Bus.Publish(in.Subject, push, keep, func(at broker.Position, err error) { done <- taken{at, err} })
	switch t := <-done; {
	case errors.Is(t.err, broker.ErrBadName):
		fail(ctx, fasthttp.StatusBadRequest, protocol.StatusInvalid, "subject is not valid")
	case t.err != nil:
		s.failed500(ctx, "publish", t.err)
	default:
		answer(ctx, statusOut{Data: t.at})
	}
}

// drain answers POST /admin/drain: the node begins to drain as on SIGTERM.
func (s *Server) drain(ctx *fasthttp.RequestCtx) {
	ctx.SetStatusCode(fasthttp.StatusAccepted)
	answer(ctx, statusOut{Message: "draining"})
	if s.config.Drain != nil {
		s.config.Drain()
	}
}

// outboxPage is the most e-mails of one answer.
const outboxPage = 1000

// outbox answers GET /admin/mail/outbox?after=<id>&limit=<n>: {"emails":[…]}, oldest first.
func (s *Server) outbox(ctx *fasthttp.RequestCtx) {
	args := ctx.QueryArgs()
	limit := outboxPage
	if args.Has("limit") {
		n, err := strconv.Atoi(string(args.Peek("limit")))
		if err != nil || n < 1 || n > outboxPage {
			fail(ctx, fasthttp.StatusBadRequest, protocol.StatusRange, "limit must be 1 to 1000")
			return
		}
		limit = n
	}
	work, cancel := serviceContext()
	defer cancel()
	emails, err := s.config.Table.Outbox().List(work, string(args.Peek("after")), limit)
	if err != nil {
		s.failed500(ctx, "mail outbox", err)
		return
	}
	answer(ctx, map[string][]module.Email{"emails": emails})
}

// outboxSent answers POST /admin/mail/sent with form id: the e-mail was sent and leaves the outbox.
func (s *Server) outboxSent(ctx *fasthttp.RequestCtx) {
	work, cancel := serviceContext()
	defer cancel()
	err := s.config.Table.Outbox().Delete(work, string(ctx.PostArgs().Peek("id")))
	switch {
	case errors.Is(err, broker.ErrNotFound), errors.Is(err, broker.ErrBadName):
		fail(ctx, fasthttp.StatusNotFound, protocol.StatusInvalid, "no e-mail of this id waits")
	case err != nil:
		s.failed500(ctx, "mail sent", err)
	default:
		answer(ctx, statusOut{})
	}
}

// tailLine is one line of /admin/tail.
type tailLine struct {
	Subject         string          `json:"subject"`
	Time            time.Time       `json:"time"`
	broker.Position                 // zero when the subject keeps no history
	Data            json.RawMessage `json:"data"`           // the push, or a JSON text of other bytes
	Lost            int64           `json:"lost,omitempty"` // messages left out before this one: the reader was too slow
}

const (
	tailQueue = 1024             // messages that wait for a slow reader
	tailBeat  = 15 * time.Second // an empty line after so much silence, so that a gone reader is noticed
)

// tail answers GET /admin/tail?subject=<pattern> with one JSON object a line for every message from now on.
func (s *Server) tail(ctx *fasthttp.RequestCtx) {
	select {
	case s.tails <- struct{}{}:
	default:
		fail(ctx, fasthttp.StatusServiceUnavailable, protocol.StatusBusy, "too many tails")
		return
	}
	t := &tailer{server: s, conn: ctx.Conn(), queue: make(chan *broker.Message, tailQueue)}
	sub, err := s.config.Bus.Subscribe(string(ctx.QueryArgs().Peek("subject")), broker.Handler{Message: t.take})
	if err != nil {
		<-s.tails
		fail(ctx, fasthttp.StatusBadRequest, protocol.StatusInvalid, "subject is not a pattern")
		return
	}
	ctx.SetContentType("application/x-ndjson")
	ctx.Response.Header.Set("Cache-Control", "no-store")
	ctx.Response.ImmediateHeaderFlush = true
	ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
		defer func() { <-s.tails }()
		defer sub.Unsubscribe()
		t.run(w)
	})
}

// tailer is one stream of messages.
type tailer struct {
	server *Server
	conn   net.Conn
	queue  chan *broker.Message
	lost   atomic.Int64 // messages left out since the last line
}

// take queues a message; it runs on the bus and does not block.
func (t *tailer) take(m *broker.Message) {
	select {
	case t.queue <- m:
	default:
		t.lost.Add(1)
	}
}

// run writes until the reader or the server has gone.
func (t *tailer) run(w *bufio.Writer) {
	beat := time.NewTicker(tailBeat)
	defer beat.Stop()
	for t.flush(w) {
		select {
		case m := <-t.queue:
			if !t.write(w, m) {
				return
			}
		case <-beat.C:
			_ = w.WriteByte('\n') // flush tells whether it worked
		case <-t.server.closed:
			return
		}
	}
}

// write writes m and what else waits, without sending it yet.
func (t *tailer) write(w *bufio.Writer, m *broker.Message) bool {
	for {
		line := tailLine{Subject: m.Subject, Time: m.Time, Position: m.Position, Data: m.Data, Lost: t.lost.Swap(0)}
		if !json.Valid(m.Data) {
			line.Data, _ = json.Marshal(string(m.Data)) // a string always encodes
		}
		b, err := json.Marshal(line)
		if err != nil {
			return false
		}
		_, _ = w.Write(append(b, '\n')) // flush tells whether it worked
		select {
		case m = <-t.queue:
		default:
			return true
		}
	}
}

// flush sends what was written, with a fresh time limit for this part.
func (t *tailer) flush(w *bufio.Writer) bool {
	return t.conn.SetWriteDeadline(time.Now().Add(t.server.config.Limits.WriteTimeout)) == nil && w.Flush() == nil
}
