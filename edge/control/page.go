package control

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"path"
	"strings"

	"github.com/valyala/fasthttp"
)

// page serves the files of the site from memory: they are few, small and never change while the process runs.
type page struct {
	files map[string]*file // by URL path
}

// file is one file of the page.
type file struct {
	body, gzipped []byte // gzipped is nil when it would not be smaller
	etag          string
	kind          string
}

// newPage reads all files of a file system whose root holds index.html.
func newPage(root fs.FS) (*page, error) {
	p := &page{files: make(map[string]*file)}
	if root == nil {
		return p, nil
	}
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		p.files["/"+name] = newFile(name, body)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	if index := p.files["/index.html"]; index != nil {
		p.files["/"] = index
	}
	return p, nil
}

// newFile prepares one file.
func newFile(name string, body []byte) *file {
	sum := sha256.Sum256(body)
	f := &file{body: body, etag: `"` + hex.EncodeToString(sum[:12]) + `"`, kind: mime.TypeByExtension(path.Ext(name))}
	switch path.Ext(name) { // what the table of the machine says about these must not matter
	case ".js", ".mjs":
		f.kind = "text/javascript; charset=utf-8"
	case ".html":
		f.kind = "text/html; charset=utf-8"
	case ".css":
		f.kind = "text/css; charset=utf-8"
	case ".json":
		f.kind = "application/json"
	case ".svg":
		f.kind = "image/svg+xml"
	}
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err == nil {
		_, err = w.Write(body)
	}
	if err == nil && w.Close() == nil && b.Len() < len(body)*9/10 {
		f.gzipped = b.Bytes()
	}
	return f
}

// serve answers a GET or HEAD of a file; false when there is none of that path.
func (p *page) serve(ctx *fasthttp.RequestCtx) bool {
	f := p.files[string(ctx.Path())]
	if f != nil {
		f.send(ctx)
	}
	return f != nil
}

// send answers with the file, or by 304 that the client has it already.
func (f *file) send(ctx *fasthttp.RequestCtx) {
	h := &ctx.Response.Header
	h.Set("ETag", f.etag)
	h.Set("Cache-Control", "no-cache") // ask again each time: answered by 304 until the next version of the node
	h.Set("Vary", "Accept-Encoding")
	if matches(string(ctx.Request.Header.Peek("If-None-Match")), f.etag) {
		ctx.SetStatusCode(fasthttp.StatusNotModified)
		return
	}
	ctx.SetContentType(f.kind)
	if f.gzipped != nil && ctx.Request.Header.HasAcceptEncoding("gzip") {
		h.Set("Content-Encoding", "gzip")
		ctx.SetBody(f.gzipped)
		return
	}
	ctx.SetBody(f.body)
}

// matches says whether an If-None-Match header names the tag.
func matches(header, etag string) bool {
	for tag := range strings.SplitSeq(header, ",") {
		if tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/"); tag == etag || tag == "*" {
			return true
		}
	}
	return false
}

// siteHeaders are sent with everything the public site answers. The page has no inline scripts or styles, talks to
// its own host only, and is never shown in a frame.
var siteHeaders = [][2]string{
	{"Content-Security-Policy", "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
	{"X-Content-Type-Options", "nosniff"},
	{"Referrer-Policy", "no-referrer"},
	{"Cross-Origin-Opener-Policy", "same-origin"},
	{"Cross-Origin-Resource-Policy", "same-origin"},
	{"Permissions-Policy", "camera=(), microphone=(), geolocation=()"},
}
