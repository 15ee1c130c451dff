package control

import (
	"errors"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"gosper/edge/module"
	"gosper/protocol"
)

// chatLog answers GET /admin/chatlog?world=&family=&public=1&name=&text=&from=&to=&limit=&next=: {"lines":[…],"next":…},
// oldest first. All are optional; from and to are times such as 2026-11-21T22:00:00Z, and next is that of the page before.
func (s *Server) chatLog(ctx *fasthttp.RequestCtx) {
	if s.config.ChatLog == nil {
		fail(ctx, fasthttp.StatusNotFound, protocol.StatusUnknown, "this node keeps no chat log: start it with --chat-log")
		return
	}
	q, err := chatQuery(ctx.QueryArgs())
	if err != nil {
		fail(ctx, fasthttp.StatusBadRequest, protocol.StatusInvalid, err.Error())
		return
	}
	work, cancel := serviceContext()
	defer cancel()
	page, err := s.config.ChatLog.Search(work, q)
	var fault *module.Fault
	switch {
	case errors.As(err, &fault):
		fail(ctx, fasthttp.StatusBadRequest, fault.Status, fault.Message)
	case err != nil:
		s.failed500(ctx, "chat log", err)
	default:
		answer(ctx, page)
	}
}

// chatQuery reads what is asked for.
func chatQuery(args *fasthttp.Args) (q module.ChatQuery, err error) {
	text := func(name string) string { return string(args.Peek(name)) }
	q = module.ChatQuery{World: text("world"), Family: text("family"), Public: text("public") == "1", Name: text("name"), Text: text("text"), Next: text("next")}
	if q.From, err = timeOf(text("from")); err != nil {
		return q, errors.New("from must be a time such as 2026-11-21T22:00:00Z")
	}
	if q.To, err = timeOf(text("to")); err != nil {
		return q, errors.New("to must be a time such as 2026-11-21T22:00:00Z")
	}
	if args.Has("limit") {
		if q.Limit, err = strconv.Atoi(text("limit")); err != nil || q.Limit < 1 {
			return q, errors.New("limit must be 1 to 1000")
		}
	}
	return q, nil
}

// timeOf reads a time; "" is none.
func timeOf(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	return time.Parse(time.RFC3339, text)
}
