package control

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"gosper/broker"
	"gosper/edge/module"
	"gosper/protocol"
)

// Endpoints with which operators and moderators mute and ban players and read what players report.

func (s *Server) mute(ctx *fasthttp.RequestCtx)   { s.impose(ctx, module.Mute) }
func (s *Server) ban(ctx *fasthttp.RequestCtx)    { s.impose(ctx, module.Ban) }
func (s *Server) unmute(ctx *fasthttp.RequestCtx) { s.lift(ctx, module.Mute) }
func (s *Server) unban(ctx *fasthttp.RequestCtx)  { s.lift(ctx, module.Ban) }

// targetOf reads whom a form names.
func targetOf(args *fasthttp.Args) module.Target {
	return module.Target{UID: string(args.Peek("uid")), World: string(args.Peek("world")), Name: string(args.Peek("name"))}
}

// impose answers POST /admin/moderation/mute and …/ban with form uid, or world and name; for, a duration such as 2h, is
// for good when it is missing; reason and by are optional: {"status":0,"data":{the sanction}}.
func (s *Server) impose(ctx *fasthttp.RequestCtx, kind module.SanctionKind) {
	args := ctx.PostArgs()
	order := module.Sanction{Kind: kind, Target: targetOf(args), Reason: string(args.Peek("reason")), By: string(args.Peek("by"))}
	if args.Has("for") {
		d, err := time.ParseDuration(string(args.Peek("for")))
		if err != nil || d <= 0 {
			fail(ctx, fasthttp.StatusBadRequest, protocol.StatusInvalid, "for must be a duration such as 2h; leave it out for good")
			return
		}
		order.Until = time.Now().Add(d).UTC()
	}
	s.ordered(ctx, "moderation", func(work context.Context) (module.Sanction, error) { return s.config.Table.Sanction(work, order) })
}

// lift answers POST /admin/moderation/unmute and …/unban with form uid, or world and name, and by.
func (s *Server) lift(ctx *fasthttp.RequestCtx, kind module.SanctionKind) {
	args := ctx.PostArgs()
	s.ordered(ctx, "moderation", func(work context.Context) (module.Sanction, error) {
		return s.config.Table.Lift(work, kind, targetOf(args), string(args.Peek("by")))
	})
}

// ordered runs an order and answers with the sanction.
func (s *Server) ordered(ctx *fasthttp.RequestCtx, what string, order func(context.Context) (module.Sanction, error)) {
	work, cancel := serviceContext()
	defer cancel()
	done, err := order(work)
	var fault *module.Fault
	switch {
	case err == nil:
		answer(ctx, statusOut{Data: done})
	case errors.As(err, &fault):
		fail(ctx, fasthttp.StatusBadRequest, fault.Status, fault.Message)
	case errors.Is(err, broker.ErrNotFound):
		fail(ctx, fasthttp.StatusNotFound, protocol.StatusInvalid, "no such sanction is in force for this player")
	default:
		s.failed500(ctx, what, err)
	}
}

// sanctions answers GET /admin/moderation?past=1: {"sanctions":[…]}, newest first; without past only those in force.
func (s *Server) sanctions(ctx *fasthttp.RequestCtx) {
	past := string(ctx.QueryArgs().Peek("past")) == "1"
	answer(ctx, map[string][]module.Sanction{"sanctions": s.config.Table.Sanctions(past)})
}

// reportsPage is the most reports of one answer.
const reportsPage = 1000

// reports answers GET /admin/moderation/reports?after=<id>&limit=<n>: {"reports":[…]}, oldest first.
func (s *Server) reports(ctx *fasthttp.RequestCtx) {
	args := ctx.QueryArgs()
	limit := reportsPage
	if args.Has("limit") {
		n, err := strconv.Atoi(string(args.Peek("limit")))
		if err != nil || n < 1 || n > reportsPage {
			fail(ctx, fasthttp.StatusBadRequest, protocol.StatusRange, "limit must be 1 to 1000")
			return
		}
		limit = n
	}
	work, cancel := serviceContext()
	defer cancel()
	list, err := s.config.Table.Reports(work, string(args.Peek("after")), limit)
	if err != nil {
		s.failed500(ctx, "reports", err)
		return
	}
	answer(ctx, map[string][]module.Report{"reports": list})
}

// resolve answers POST /admin/moderation/resolve with form id: the report was dealt with.
func (s *Server) resolve(ctx *fasthttp.RequestCtx) {
	work, cancel := serviceContext()
	defer cancel()
	err := s.config.Table.CloseReport(work, string(ctx.PostArgs().Peek("id")))
	switch {
	case errors.Is(err, broker.ErrNotFound), errors.Is(err, broker.ErrConflict), errors.Is(err, broker.ErrBadName):
		fail(ctx, fasthttp.StatusNotFound, protocol.StatusInvalid, "no report of this id waits")
	case err != nil:
		s.failed500(ctx, "report", err)
	default:
		answer(ctx, statusOut{})
	}
}
