package control

import (
	"embed"
	"io/fs"

	"github.com/valyala/fasthttp"
)

// adminFiles are the operator's page: plain modules, nothing is built.
//
//go:embed adminpage
var adminFiles embed.FS

// adminPage serves a file of the operator's page at /admin. It holds no secrets, so it needs no token: what it shows does.
// Like the page of the game it is never shown in a frame, so that no foreign page can lay itself over its buttons.
func adminPage(name string) func(*Server, *fasthttp.RequestCtx) {
	return func(s *Server, ctx *fasthttp.RequestCtx) {
		for _, h := range siteHeaders {
			ctx.Response.Header.Set(h[0], h[1])
		}
		// A page that tells nobody where it is tells no origin with its orders either, and those would be refused.
		ctx.Response.Header.Set("Referrer-Policy", "same-origin")
		s.admin.files["/"+name].send(ctx)
	}
}

// newAdminPage reads the files.
func newAdminPage() (*page, error) {
	root, err := fs.Sub(adminFiles, "adminpage")
	if err != nil {
		return nil, err
	}
	return newPage(root)
}
