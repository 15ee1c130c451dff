package control

import (
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"gosper/protocol"
)

// endpoint is one path of a server.
type endpoint struct {
	method string // "" when run checks it
	open   bool   // without a token: for the probes of an orchestrator
	run    func(*Server, *fasthttp.RequestCtx)
}

// routes finds endpoints. The keys of its table are paths, or a method, a blank and a path where a path has several methods.
// One part of a path may stand in braces: {name} is any text without "/", {name...} any text, of one byte at least.
type routes struct {
	exact    map[string][]endpoint
	patterns []pattern
}

// pattern is a path with a part in braces.
type pattern struct {
	before, after string
	deep          bool // the part may hold "/"
	endpoint      endpoint
}

func newRoutes(table map[string]endpoint) *routes {
	r := &routes{exact: make(map[string][]endpoint)}
	for key, e := range table {
		path := key[strings.IndexByte(key, ' ')+1:]
		before, rest, open := strings.Cut(path, "{")
		if !open {
			r.exact[path] = append(r.exact[path], e)
			continue
		}
		name, after, _ := strings.Cut(rest, "}")
		r.patterns = append(r.patterns, pattern{before, after, strings.HasSuffix(name, "..."), e})
	}
	slices.SortFunc(r.patterns, func(a, b pattern) int { return len(b.before+b.after) - len(a.before+a.after) }) // the closest first
	return r
}

// find returns the endpoints of a path and the part that stood in braces.
func (r *routes) find(path string) (found []endpoint, part string) {
	if found = r.exact[path]; found != nil {
		return found, ""
	}
	for _, p := range r.patterns {
		if len(path) <= len(p.before)+len(p.after) || !strings.HasPrefix(path, p.before) || !strings.HasSuffix(path, p.after) {
			continue
		}
		if middle := path[len(p.before) : len(path)-len(p.after)]; p.deep || !strings.Contains(middle, "/") {
			if found != nil && part != middle {
				break
			}
			found, part = append(found, p.endpoint), middle
		}
	}
	return found, part
}

// partKey names the part of a path in braces among the values of a request.
const partKey = "part"

// partOf returns the part of the path that stood in braces.
func partOf(ctx *fasthttp.RequestCtx) string {
	part, _ := ctx.UserValue(partKey).(string)
	return part
}

// run answers a request by one of the endpoints of its path. With head, HEAD counts as GET.
func (s *Server) run(ctx *fasthttp.RequestCtx, found []endpoint, part string, head bool) {
	method := string(ctx.Method())
	if head && method == fasthttp.MethodHead {
		method = fasthttp.MethodGet
	}
	var allow []string
	for _, e := range found {
		if e.method == method || e.method == "" {
			ctx.SetUserValue(partKey, part)
			e.run(s, ctx)
			return
		}
		allow = append(allow, e.method)
	}
	if slices.Sort(allow); head && slices.Contains(allow, fasthttp.MethodGet) {
		allow = append(allow, fasthttp.MethodHead)
	}
	ctx.Response.Header.Set("Allow", strings.Join(allow, ", "))
	fail(ctx, fasthttp.StatusMethodNotAllowed, protocol.StatusUnknown, "use "+strings.Join(allow, " or "))
}
