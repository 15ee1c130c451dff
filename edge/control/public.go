package control

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"gosper/edge/module"
	"gosper/protocol"
)

// site is what the public site serves beside the files of the page.
var site = map[string]endpoint{
	"/ws":                      {"", true, (*Server).upgrade}, // says itself what is wrong with a handshake
	"/api/ws/events":           {"", true, (*Server).listenEvents},
	"/api/settings/ws-status/": {"", true, (*Server).listenStatus},
	"/api/processes/all/":      {"", true, (*Server).listenProcesses},
	"/healthz":                 {"GET", true, (*Server).health},
	"/api/functions":           {"GET", true, (*Server).listFunctions},
	"/api/call/{route...}":     {"POST", true, (*Server).apiCall},
	"/api/config":              {"GET", true, (*Server).listPublicSettings},
	"/api/config/{name}":       {"GET", true, (*Server).getPublicSetting},
}

var siteRoutes = newRoutes(site)

// servePublic answers the public site.
func (s *Server) servePublic(ctx *fasthttp.RequestCtx) {
	for _, h := range siteHeaders {
		ctx.Response.Header.Set(h[0], h[1])
	}
	found, part := siteRoutes.find(string(ctx.Path()))
	switch {
	case found != nil:
		s.run(ctx, found, part, true)
	case !ctx.IsGet() && !ctx.IsHead():
		ctx.Response.Header.Set("Allow", "GET, HEAD")
		fail(ctx, fasthttp.StatusMethodNotAllowed, protocol.StatusUnknown, "method is not allowed here")
	case !s.page.serve(ctx):
		fail(ctx, fasthttp.StatusNotFound, protocol.StatusUnknown, "there is nothing here")
	}
}

// apiReply is the body of every answer of the API.
type apiReply struct {
	Status  protocol.Status `json:"status"`
	Message string          `json:"message"`
	Content json.RawMessage `json:"content,omitempty"`
}

// fail answers an error as JSON.
func fail(ctx *fasthttp.RequestCtx, code int, status protocol.Status, message string) {
	ctx.SetStatusCode(code)
	answer(ctx, apiReply{Status: status, Message: message})
}

// answer writes a JSON body.
func answer(ctx *fasthttp.RequestCtx, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		panic(err) // caught by guarded: a body that cannot be encoded is an error of this package
	}
	ctx.SetContentType("application/json")
	ctx.Response.Header.Set("Cache-Control", "no-store")
	ctx.SetBody(b)
}

// functionOut describes one function for /api/functions.
type functionOut struct {
	Route   string          `json:"route"`
	Gate    string          `json:"gate,omitempty"`
	Needs   string          `json:"needs"`
	Rate    string          `json:"rate"`
	Doc     string          `json:"doc"`
	Example json.RawMessage `json:"example"`
}

// listFunctions answers GET /api/functions.
func (s *Server) listFunctions(ctx *fasthttp.RequestCtx) {
	var list []functionOut
	for _, f := range s.config.Table.Functions() {
		list = append(list, functionOut{f.Route, f.Gate, f.Needs.String(), f.Class.String(), f.Doc, json.RawMessage(f.Example)})
	}
	answer(ctx, list)
}

// apiCall answers POST /api/call/<route>: the body is the content, an Authorization bearer token says who calls, the
// header Gosper-Client-Code holds a client code. A JSON body is asked for, and a foreign Origin refused, so that no
// other site can use a visitor's browser for calls.
func (s *Server) apiCall(ctx *fasthttp.RequestCtx) {
	h := &ctx.Request.Header
	kind, _, _ := strings.Cut(string(h.ContentType()), ";")
	switch {
	case !strings.EqualFold(strings.TrimSpace(kind), "application/json"):
		fail(ctx, fasthttp.StatusUnsupportedMediaType, protocol.StatusUnknown, "content type must be application/json")
		return
	case !allowedOrigin(h, s.config.Origins):
		fail(ctx, fasthttp.StatusForbidden, protocol.StatusRefused, "this origin may not call")
		return
	case len(ctx.PostBody()) > 0 && !json.Valid(ctx.PostBody()):
		fail(ctx, fasthttp.StatusBadRequest, protocol.StatusUnknown, "body is not JSON")
		return
	}
	c := &module.Call{Context: context.Background(), Route: "/" + partOf(ctx), Door: "http", Remote: remoteOf(ctx).String(),
		ClientCode: string(h.Peek("Gosper-Client-Code")), Content: append([]byte(nil), ctx.PostBody()...), Received: time.Now()}
	if token, ok := bearer(h); ok {
		who, err := s.config.Table.Authenticate(c.Context, token)
		if err != nil {
			s.refuseToken(ctx, err)
			return
		}
		c.Who = who
	}
	replies := make(chan module.Reply, 1)
	s.config.Table.Call(c, func(r module.Reply) { replies <- r })
	r := <-replies
	ctx.SetStatusCode(httpStatus(r.Status))
	answer(ctx, apiReply{r.Status, r.Message, r.Content})
}

// refuseToken answers a call whose token does not count or could not be checked.
func (s *Server) refuseToken(ctx *fasthttp.RequestCtx, err error) {
	if errors.Is(err, module.ErrToken) {
		ctx.Response.Header.Set("WWW-Authenticate", "Bearer")
		fail(ctx, fasthttp.StatusUnauthorized, protocol.StatusExpired, "token is not valid")
		return
	}
	s.log.Error("token was not checked", "error", err)
	fail(ctx, fasthttp.StatusServiceUnavailable, protocol.StatusBusy, "server is busy, try again")
}

// bearer returns the token of the Authorization header.
func bearer(h *fasthttp.RequestHeader) (string, bool) {
	kind, token, ok := strings.Cut(string(h.Peek("Authorization")), " ")
	return strings.TrimSpace(token), ok && strings.EqualFold(kind, "Bearer")
}

// httpStatus is the HTTP status that goes with a function's status.
func httpStatus(s protocol.Status) int {
	switch s {
	case protocol.StatusOK:
		return fasthttp.StatusOK
	case protocol.StatusRefused:
		return fasthttp.StatusForbidden
	case protocol.StatusBusy:
		return fasthttp.StatusServiceUnavailable
	case protocol.StatusExpired:
		return fasthttp.StatusUnauthorized
	}
	return fasthttp.StatusBadRequest
}

// health answers /healthz: the process works.
func (s *Server) health(ctx *fasthttp.RequestCtx) {
	answer(ctx, map[string]string{"status": "ok", "version": s.config.Version})
}

// ready answers /readyz: the node takes clients.
func (s *Server) ready(ctx *fasthttp.RequestCtx) {
	if err := s.notReady(); err != nil {
		ctx.SetStatusCode(fasthttp.StatusServiceUnavailable)
		answer(ctx, map[string]string{"status": "not ready", "reason": err.Error()})
		return
	}
	answer(ctx, map[string]string{"status": "ready"})
}

// notReady says why the node takes no clients; nil when it does.
func (s *Server) notReady() error {
	switch {
	case s.draining.Load():
		return errors.New("draining")
	case s.config.Ready == nil:
		return nil
	}
	return s.config.Ready()
}
