package control

import (
	"github.com/valyala/fasthttp"

	"gosper/edge/apidoc"
	"gosper/edge/module"
)

// Site returns what the documents of the API are made from, for a version of the program.
func Site(version string) apidoc.Site {
	return apidoc.Site{Version: version, Functions: module.Functions(), Pushes: module.Pushes(), Public: publicEndpoints(), Internal: internalEndpoints()}
}

// documents are those of the internal server.
type documents struct{ openAPI, asyncAPI *file }

// addDocuments puts the public documents and the page that shows them below /api, and returns the internal ones.
func (p *page) addDocuments(version string) (documents, error) {
	site := Site(version)
	async := newFile("asyncapi.json", apidoc.AsyncAPI(site))
	p.files["/api/openapi.json"], p.files["/api/asyncapi.json"] = newFile("openapi.json", apidoc.OpenAPI(site)), async
	reader, err := newPage(apidoc.Page)
	if err != nil {
		return documents{}, err
	}
	for name, f := range reader.files {
		if name == "/" {
			name = ""
		}
		p.files["/api"+name] = f
	}
	return documents{newFile("openapi.json", apidoc.InternalOpenAPI(site)), async}, nil
}

// openAPI answers GET /api/openapi.json of the internal server.
func (s *Server) openAPI(ctx *fasthttp.RequestCtx) { s.inner.openAPI.send(ctx) }

// asyncAPI answers GET /api/asyncapi.json of the internal server.
func (s *Server) asyncAPI(ctx *fasthttp.RequestCtx) { s.inner.asyncAPI.send(ctx) }
