package control

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/pprofhandler"

	"gosper/protocol"
)

// endpoints of the internal server.
var endpoints = map[string]endpoint{
	"/issue_token":      {"POST", false, (*Server).issueToken},
	"/validate_token":   {"POST", false, (*Server).validateToken},
	"/register_nonce":   {"POST", false, (*Server).registerNonce},
	"/redeem_nonce":     {"POST", false, (*Server).redeemNonce},
	"/metrics":          {"GET", false, (*Server).metrics},
	"/healthz":          {"GET", true, (*Server).health},
	"/readyz":           {"GET", true, (*Server).ready},
	"/admin":            {"GET", true, adminPage("index.html")},
	"/admin/icon.svg":   {"GET", true, adminPage("icon.svg")},
	"/admin/page.css":   {"GET", true, adminPage("page.css")},
	"/admin/page.js":    {"GET", true, adminPage("page.js")},
	"/admin/api.js":     {"GET", true, adminPage("api.js")},
	"/admin/chart.js":   {"GET", true, adminPage("chart.js")},
	"/admin/events.js":  {"GET", true, adminPage("events.js")},
	"/admin/metrics.js": {"GET", true, adminPage("metrics.js")},
	"/admin/table.js":   {"GET", true, adminPage("table.js")},
	"/admin/tables.js":  {"GET", true, adminPage("tables.js")},

	"/admin/state":              {"GET", false, (*Server).adminState},
	"/admin/publish":            {"POST", false, (*Server).publish},
	"/admin/tail":               {"GET", false, (*Server).tail},
	"/admin/drain":              {"POST", false, (*Server).drain},
	"/admin/mail/outbox":        {"GET", false, (*Server).outbox},
	"/admin/mail/box":           {"GET", false, (*Server).peekMail},
	"/admin/mail/reindex":       {"POST", false, (*Server).reindexMail},
	"/admin/mail/sent":          {"POST", false, (*Server).outboxSent},
	"/admin/queue/tubes":        {"GET", false, (*Server).tubes},
	"/admin/queue/jobs":         {"GET", false, (*Server).jobs},
	"/admin/queue/job":          {"GET", false, (*Server).job},
	"/admin/queue/kick":         {"POST", false, (*Server).kick},
	"/admin/queue/bury":         {"POST", false, (*Server).bury},
	"/admin/queue/delete":       {"POST", false, (*Server).deleteJob},
	"/admin/queue/pause":        {"POST", false, (*Server).pause},
	"/admin/schedule/timers":    {"GET", false, (*Server).timers},
	"/admin/schedule/cancel":    {"POST", false, (*Server).cancelTimer},
	"/admin/moderation":         {"GET", false, (*Server).sanctions},
	"/admin/moderation/mute":    {"POST", false, (*Server).mute},
	"/admin/moderation/unmute":  {"POST", false, (*Server).unmute},
	"/admin/moderation/ban":     {"POST", false, (*Server).ban},
	"/admin/moderation/unban":   {"POST", false, (*Server).unban},
	"/admin/moderation/reports": {"GET", false, (*Server).reports},
	"/admin/chatlog":            {"GET", false, (*Server).chatLog},
	"/admin/moderation/resolve": {"POST", false, (*Server).resolve},

	"/send":        {"POST", false, (*Server).sendMail},
	"/new":         {"POST", false, (*Server).newMail},
	"/all":         {"POST", false, (*Server).allMail},
	"/mark_read":   {"POST", false, (*Server).readMailMark},
	"/delete":      {"POST", false, (*Server).deleteMail},
	"/delete_read": {"POST", false, (*Server).deleteReadMail},

	"/config":                     {"GET", false, (*Server).listSettings},
	"/config/{name}":              {"GET", false, (*Server).getSetting},
	"/get_{name}_config":          {"GET", false, (*Server).getOldSetting},
	"/get_game_manager_config":    {"GET", false, (*Server).getManagerConfig},
	"/get_server_version":         {"GET", false, (*Server).getServerVersion},
	"/get_client_version":         {"GET", false, (*Server).getClientVersion},
	"/get_server_config_location": {"GET", false, (*Server).getConfigLocation},
	"/get_world_map":              {"GET", false, (*Server).getWorldMap},

	"/api/openapi.json":  {"GET", false, (*Server).openAPI},
	"/api/asyncapi.json": {"GET", false, (*Server).asyncAPI},

	"/work":               {"POST", false, (*Server).submitWork},
	"/work/{hash}":        {"GET", false, (*Server).getWork},
	"/work/{hash}/cancel": {"POST", false, (*Server).cancelWork},
	"/completions":        {"GET", false, (*Server).completions},
	"/completions/ack":    {"POST", false, (*Server).ackCompletion},
	"/notifications":      {"POST", false, (*Server).notify},

	"GET /api/settings/status":     {"GET", false, (*Server).engineStatus},
	"PUT /api/settings/status":     {"PUT", false, (*Server).lockEngine},
	"/api/settings/worker-status":  {"GET", false, (*Server).workerStatus},
	"/api/processes":               {"GET", false, (*Server).listProcesses},
	"/api/processes/status-counts": {"GET", false, (*Server).processCounts},
	"/api/processes/resume-all":    {"PUT", false, (*Server).resumeAll},
	"GET /api/processes/{id}":      {"GET", false, (*Server).getProcess},
	"POST /api/processes/{id}":     {"POST", false, (*Server).startProcess},
	"DELETE /api/processes/{id}":   {"DELETE", false, (*Server).deleteProcess},
	"/api/processes/{id}/resume":   {"PUT", false, (*Server).resumeProcess},
	"/api/processes/{id}/abort":    {"PUT", false, (*Server).abortProcess},
	"/api/events":                  {"POST", false, (*Server).publishEvent},
	"/api/ws/events":               {"GET", false, (*Server).listenInside},

	"/debug/pprof/":             {"GET", false, profile},
	"/debug/pprof/{profile...}": {"GET", false, profile},
}

var internalRoutes = newRoutes(endpoints)

// serveInternal answers services and operators.
func (s *Server) serveInternal(ctx *fasthttp.RequestCtx) {
	found, part := internalRoutes.find(string(ctx.Path()))
	switch {
	case !s.trusted(ctx, len(found) == 1 && found[0].open):
	case found != nil && slices.Contains(s.config.Closed, partOfNode(string(ctx.Path()))):
		fail(ctx, fasthttp.StatusNotFound, protocol.StatusUnknown, "this node has not the role "+partOfNode(string(ctx.Path()))+": ask one that has it")
	case found == nil:
		fail(ctx, fasthttp.StatusNotFound, protocol.StatusUnknown, "there is nothing here")
	default:
		s.run(ctx, found, part, false)
	}
}

// partOfNode returns which part of a site an internal path belongs to, of those that may be nodes of their own: auth, config,
// mail; "" for what every node answers.
func partOfNode(path string) string {
	switch path {
	case "/issue_token", "/validate_token", "/register_nonce", "/redeem_nonce":
		return "auth"
	case "/send", "/new", "/all", "/mark_read", "/delete", "/delete_read":
		return "mail"
	case "/config":
		return "config"
	}
	if strings.HasPrefix(path, "/config/") || strings.HasPrefix(path, "/get_") {
		return "config"
	}
	return ""
}

func profile(_ *Server, ctx *fasthttp.RequestCtx) { pprofhandler.PprofHandler(ctx) }

// trusted answers whoever may not use the internal server, and returns false then. With a token, the token decides. Without
// one the server listens on loopback only, and every program of this machine may use it. A browser of this machine must not
// be made to use it by a foreign page: of requests that come from pages only those of the server's own page are taken.
func (s *Server) trusted(ctx *fasthttp.RequestCtx, open bool) bool {
	h := &ctx.Request.Header
	switch {
	case open:
		return true
	case s.config.Token == "" && (fromProgram(h) || fromOwnPage(h)):
		return true
	case s.config.Token == "":
		fail(ctx, fasthttp.StatusForbidden, protocol.StatusRefused, "not for web pages")
		return false
	case sameSecret(operatorToken(h), s.config.Token):
		return true
	}
	ctx.Response.Header.Set("WWW-Authenticate", "Bearer")
	fail(ctx, fasthttp.StatusUnauthorized, protocol.StatusInvalidToken, "bearer token is needed")
	return false
}

// fromProgram says whether a request is none of a page: pages cannot leave these headers out. A browser sends the second
// one as "none" when its user types an address. A foreign page that gave its own name the address of this machine still
// asks for that name.
func fromProgram(h *fasthttp.RequestHeader) bool {
	_, origins := header(h, "Origin")
	site, sites := header(h, "Sec-Fetch-Site")
	return loopbackHost(string(h.Host())) && origins == 0 && (sites == 0 || sites == 1 && site == "none")
}

// fromOwnPage says whether a request comes from a page of this very server, at a loopback address. Browsers name the origin
// with every request that changes something and with every websocket, and say themselves that it is the same with others;
// pages can change neither.
func fromOwnPage(h *fasthttp.RequestHeader) bool {
	host := string(h.Host())
	origin, origins := header(h, "Origin")
	site, sites := header(h, "Sec-Fetch-Site")
	if !loopbackHost(host) || origins > 1 || sites > 1 || origins+sites == 0 {
		return false
	}
	return (origins == 0 || origin == "http://"+host) && (sites == 0 || site == "same-origin")
}

// header returns the first value of a header, and how often it is there. The value is a copy: what PeekAll returns is
// overwritten by the next PeekAll.
func header(h *fasthttp.RequestHeader, name string) (value string, n int) {
	values := h.PeekAll(name)
	if len(values) == 0 {
		return "", 0
	}
	return string(values[0]), len(values)
}

// operatorToken returns the token of a request, of a websocket's page the one that it offers as subprotocol; "" for none.
func operatorToken(h *fasthttp.RequestHeader) string {
	if token, ok := bearer(h); ok {
		return token
	}
	token, _ := offeredToken(h)
	return token
}

// sameSecret compares in a time that tells nothing about where two texts differ or how long they are.
func sameSecret(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// loopbackHost says whether a Host header names this machine's loopback.
func loopbackHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
