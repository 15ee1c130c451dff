package control

import (
	"context"
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

// Listener says what a connection of the events door hears.
type Listener struct {
	First    []byte             // message sent at once; nil for none
	Refusal  []byte             // message sent instead of all others; nil for a welcome listener
	Code     protocol.CloseCode // that ends a refused one
	Subjects []string
	Since    broker.Position // of the only subject: what came after it comes first
	Placed   bool            // each message tells its position
}

// subprotocolToken offers a token as second subprotocol.
const subprotocolToken = "base64.bearer.token"

// listenEvents answers GET /api/ws/events. The token is the second subprotocol. Beside what older clients know: types
// (comma-separated) chooses some, positions=1 tells positions, since=<epoch>.<offset> goes on behind one.
func (s *Server) listenEvents(ctx *fasthttp.RequestCtx) {
	token, ok := offeredToken(ctx.Request.Header.PeekAll("Sec-WebSocket-Protocol"))
	if !ok {
		ctx.SetConnectionClose()
		upgradesRefused.Inc()
		fail(ctx, fasthttp.StatusForbidden, protocol.StatusInvalid, "Sec-WebSocket-Protocol must be "+subprotocolToken+", <token>")
		return
	}
	l := Listener{Subjects: []string{event.Subject}, Code: protocol.ClosePolicy}
	if err := l.choose(ctx.QueryArgs()); err != nil {
		ctx.SetConnectionClose()
		upgradesRefused.Inc()
		fail(ctx, fasthttp.StatusBadRequest, protocol.StatusInvalid, err.Error())
		return
	}
	subprotocol := ""
	if token != "" {
		subprotocol = subprotocolToken
	}
	s.listen(ctx, token, subprotocol, l)
}

// listenStatus answers GET /api/settings/ws-status/?token=, for older pages: the state of the engine's lock.
func (s *Server) listenStatus(ctx *fasthttp.RequestCtx) {
	var first []byte
	if s.config.Chains != nil {
		first, _ = json.Marshal(map[string]any{"engine-status": s.config.Chains.Settings()}) // cannot fail
	}
	s.listenOld(ctx, Listener{First: first, Subjects: []string{event.SettingsSubject}, Code: protocol.CloseNormal})
}

// listenProcesses answers GET /api/processes/all/?token=, for older pages.
func (s *Server) listenProcesses(ctx *fasthttp.RequestCtx) {
	s.listenOld(ctx, Listener{Subjects: []string{event.ProcessSubject}, Code: protocol.CloseNormal})
}

// listenOld takes the token from the query, where it must be, empty or not.
func (s *Server) listenOld(ctx *fasthttp.RequestCtx, l Listener) {
	if !ctx.QueryArgs().Has("token") {
		ctx.SetConnectionClose()
		upgradesRefused.Inc()
		fail(ctx, fasthttp.StatusForbidden, protocol.StatusNoToken, "token is missing")
		return
	}
	s.listen(ctx, string(ctx.QueryArgs().Peek("token")), "", l)
}

// offeredToken reads the token of a handshake: two subprotocols with a comma and a blank between them. No header is an
// empty token.
func offeredToken(values [][]byte) (token string, ok bool) {
	if len(values) == 0 {
		return "", true
	}
	parts := strings.Split(string(values[0]), ", ")
	if len(values) != 1 || len(parts) != 2 || parts[0] != subprotocolToken || parts[1] == "" {
		return "", false
	}
	return parts[1], true
}

// choose reads what the query asks for.
func (l *Listener) choose(args *fasthttp.Args) error {
	if types := string(args.Peek("types")); types != "" {
		l.Subjects = nil
		for kind := range strings.SplitSeq(types, ",") {
			if !protocol.ValidName(kind) {
				return fmt.Errorf("types: %q is none of %s", kind, strings.Join(event.Types(), ", "))
			}
			l.Subjects = append(l.Subjects, event.TypeSubject(kind))
		}
		if len(l.Subjects) > typesMost {
			return fmt.Errorf("types: at most %d", typesMost)
		}
	}
	l.Placed = string(args.Peek("positions")) == "1"
	since := string(args.Peek("since"))
	if since == "" {
		return nil
	}
	epoch, offset, ok := strings.Cut(since, ".")
	e, err1 := strconv.ParseUint(epoch, 10, 53)
	o, err2 := strconv.ParseUint(offset, 10, 53)
	if !ok || err1 != nil || err2 != nil || len(l.Subjects) != 1 {
		return errors.New("since must be <epoch>.<offset> of the only subject")
	}
	l.Since = broker.Position{Epoch: e, Offset: o}
	l.Placed = true
	return nil
}

// typesMost bounds the types one listener may choose.
const typesMost = 16

// listen checks who asks and hands the socket over. Whoever may not listen is told so by a message before the end.
func (s *Server) listen(ctx *fasthttp.RequestCtx, token, subprotocol string, l Listener) {
	status, detail := s.mayListen(token)
	if status != 0 {
		l.Refusal, _ = json.Marshal(map[string]any{"error": map[string]any{"status_code": status, "detail": detail, "headers": nil}}) // cannot fail
	}
	s.shake(ctx, subprotocol, func(c net.Conn, info edge.AdoptInfo) error { return s.config.Listen(c, info, l) })
}

// mayListen returns the status and text of a refusal, 0 for none.
func (s *Server) mayListen(token string) (status int, detail string) {
	switch {
	case s.config.EventsOpen:
		return 0, ""
	case token == "":
		return fasthttp.StatusUnauthorized, "a token is needed"
	case s.config.Token != "" && sameSecret(token, s.config.Token):
		return 0, ""
	}
	work, cancel := context.WithTimeout(context.Background(), serviceTime)
	defer cancel()
	_, err := s.config.Table.Authenticate(work, token)
	switch {
	case errors.Is(err, module.ErrToken):
		return fasthttp.StatusUnauthorized, "the token is not valid, or no longer"
	case err != nil:
		s.log.Error("events: a token could not be checked", "error", err)
		return fasthttp.StatusServiceUnavailable, "try again"
	}
	return 0, ""
}
