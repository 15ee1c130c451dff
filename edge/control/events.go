package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"

	"gosper/broker"
	"gosper/broker/event"
	"gosper/edge"
	"gosper/edge/module"
	"gosper/protocol"
)

// The events door: browsers that want to know what has become stale. Its handshakes and refusals are those of older
// workflow engines, so that their pages work unchanged.

// subprotocolToken offers a token as second subprotocol.
const subprotocolToken = "base64.bearer.token"

// listenEvents answers GET /api/ws/events. The token is the second subprotocol. Beside what older clients know: types
// (comma-separated) chooses some, mine=1 only what belongs to the token's account, positions=1 tells positions, and
// since=<epoch>.<offset>, one for each type, goes on behind them.
func (s *Server) listenEvents(ctx *fasthttp.RequestCtx) {
	token, ok := offeredToken(&ctx.Request.Header)
	if !ok {
		s.refuseUpgrade(ctx, fasthttp.StatusForbidden, protocol.StatusInvalid, "Sec-WebSocket-Protocol must be "+subprotocolToken+", <token>")
		return
	}
	l := &edge.Listening{Code: protocol.ClosePolicy}
	if err := choose(l, ctx.QueryArgs()); err != nil {
		s.refuseUpgrade(ctx, fasthttp.StatusBadRequest, protocol.StatusInvalid, err.Error())
		return
	}
	who := s.admit(l, token)
	if mine(ctx.QueryArgs()) && l.Refusal == nil {
		if who == "" {
			l.Refusal = refusalMessage(fasthttp.StatusForbidden, "mine needs the token of an account")
		}
		l.Subjects = []string{event.UserSubject(who)}
	}
	s.listen(ctx, offered(token), l)
}

// listenStatus answers GET /api/settings/ws-status/?token=, for older pages: the state of the engine's lock.
func (s *Server) listenStatus(ctx *fasthttp.RequestCtx) {
	var first func() []byte
	if s.config.Chains != nil {
		first = func() []byte {
			b, _ := json.Marshal(map[string]any{"engine-status": s.config.Chains.Settings()}) // cannot fail
			return b
		}
	}
	s.listenOld(ctx, &edge.Listening{First: first, Subjects: []string{event.SettingsSubject}, Code: protocol.CloseNormal})
}

// listenProcesses answers GET /api/processes/all/?token=, for older pages.
func (s *Server) listenProcesses(ctx *fasthttp.RequestCtx) {
	s.listenOld(ctx, &edge.Listening{Subjects: []string{event.ProcessSubject}, Code: protocol.CloseNormal})
}

// listenOld takes the token from the query, where it must be, empty or not.
func (s *Server) listenOld(ctx *fasthttp.RequestCtx, l *edge.Listening) {
	if !ctx.QueryArgs().Has("token") {
		s.refuseUpgrade(ctx, fasthttp.StatusForbidden, protocol.StatusNoToken, "token is missing")
		return
	}
	s.admit(l, string(ctx.QueryArgs().Peek("token")))
	s.listen(ctx, "", l)
}

// listenInside answers GET /api/ws/events of the internal server, whose guard has looked at the token already.
func (s *Server) listenInside(ctx *fasthttp.RequestCtx) {
	token, _ := offeredToken(&ctx.Request.Header)
	l := &edge.Listening{Code: protocol.ClosePolicy}
	if err := choose(l, ctx.QueryArgs()); err != nil || mine(ctx.QueryArgs()) {
		s.refuseUpgrade(ctx, fasthttp.StatusBadRequest, protocol.StatusInvalid, "there is no mine here, and types and since must be as at the public port")
		return
	}
	s.shake(ctx, offered(token), nil, func(c net.Conn, info edge.AdoptInfo) error {
		info.Listening = l
		return s.config.Listen(c, info)
	})
}

// offeredToken reads the token of a handshake: two subprotocols with a comma and a blank between them. No header is an
// empty token.
func offeredToken(h *fasthttp.RequestHeader) (token string, ok bool) {
	values := h.PeekAll("Sec-WebSocket-Protocol")
	if len(values) == 0 {
		return "", true
	}
	parts := strings.Split(string(values[0]), ", ")
	if len(values) != 1 || len(parts) != 2 || parts[0] != subprotocolToken || parts[1] == "" {
		return "", false
	}
	return parts[1], true
}

// offered is the subprotocol of the answer: that of the token, if one was offered.
func offered(token string) string {
	if token == "" {
		return ""
	}
	return subprotocolToken
}

// choose reads what the query asks for.
func choose(l *edge.Listening, args *fasthttp.Args) error {
	l.Subjects = []string{event.Subject}
	if types := string(args.Peek("types")); types != "" {
		l.Subjects = nil
		for kind := range strings.SplitSeq(types, ",") {
			if !protocol.ValidName(kind) {
				return fmt.Errorf("types: %q is no type, want some of %s or of your own", kind, strings.Join(event.Types(), ", "))
			}
			l.Subjects = append(l.Subjects, event.TypeSubject(kind))
		}
		if len(l.Subjects) > typesMost {
			return fmt.Errorf("types: at most %d", typesMost)
		}
		if mine(args) {
			return errors.New("mine and types do not go together")
		}
	}
	l.Placed = string(args.Peek("positions")) == "1"
	since := string(args.Peek("since"))
	if since == "" {
		return nil
	}
	l.Placed = true
	for place := range strings.SplitSeq(since, ",") {
		epoch, offset, ok := strings.Cut(place, ".")
		e, err1 := strconv.ParseUint(epoch, 10, 53)
		o, err2 := strconv.ParseUint(offset, 10, 53)
		if !ok || err1 != nil || err2 != nil {
			return errors.New("since must be <epoch>.<offset>, one for each type")
		}
		l.Since = append(l.Since, broker.Position{Epoch: e, Offset: o})
	}
	if len(l.Since) != len(l.Subjects) {
		return fmt.Errorf("since must name %d positions, one for each type", len(l.Subjects))
	}
	return nil
}

// mine says whether a listener wants only what belongs to its account.
func mine(args *fasthttp.Args) bool { return string(args.Peek("mine")) == "1" }

// typesMost bounds the types one listener may choose.
const typesMost = 16

// refuseUpgrade answers a handshake that comes to nothing.
func (s *Server) refuseUpgrade(ctx *fasthttp.RequestCtx, code int, status protocol.Status, message string) {
	ctx.SetConnectionClose()
	upgradesRefused.Inc()
	fail(ctx, code, status, message)
}

// listen hands the socket over after its handshake.
func (s *Server) listen(ctx *fasthttp.RequestCtx, subprotocol string, l *edge.Listening) {
	s.shake(ctx, subprotocol, s.config.Origins, func(c net.Conn, info edge.AdoptInfo) error {
		info.Listening = l
		return s.config.Listen(c, info)
	})
}

// admit finds out who asks. Whoever may not listen is told so by a message before the end, at once or when the token ends.
func (s *Server) admit(l *edge.Listening, token string) (account string) {
	who, status, detail := s.mayListen(token)
	if status != 0 {
		l.Refusal = refusalMessage(status, detail)
	}
	if who.Account != "" {
		l.Still = func() []byte {
			if _, status, detail := s.mayListen(token); status == fasthttp.StatusUnauthorized {
				return refusalMessage(status, detail)
			}
			return nil
		}
	}
	return who.Account
}

// refusalMessage is the message before the end.
func refusalMessage(status int, detail string) []byte {
	b, _ := json.Marshal(map[string]any{"error": refused{status, detail, nil}}) // cannot fail
	return b
}

type refused struct {
	Status  int       `json:"status_code"`
	Detail  string    `json:"detail"`
	Headers *struct{} `json:"headers"` // null, as older servers send it
}

// mayListen returns who has a token, and the status and text of a refusal, 0 for none.
func (s *Server) mayListen(token string) (who module.Identity, status int, detail string) {
	if s.config.EventsOpen && token == "" || s.config.Token != "" && sameSecret(token, s.config.Token) {
		return who, 0, ""
	}
	if token == "" {
		return who, fasthttp.StatusUnauthorized, "a token is needed"
	}
	work, cancel := serviceContext()
	defer cancel()
	who, err := s.config.Table.Authenticate(work, token)
	switch {
	case s.config.EventsOpen, err == nil:
		return who, 0, ""
	case errors.Is(err, module.ErrToken):
		return who, fasthttp.StatusUnauthorized, "the token is not valid, or no longer"
	}
	s.log.Error("events: a token could not be checked", "error", err)
	return who, fasthttp.StatusServiceUnavailable, "try again"
}
