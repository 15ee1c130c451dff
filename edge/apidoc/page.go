package apidoc

import (
	"embed"
	"io/fs"
)

//go:embed page
var pageFiles embed.FS

// Page holds the files of the page that shows the documents, index.html at its root. It reads openapi.json and
// asyncapi.json from the folder /api of its own host and needs nothing else.
var Page = sub(pageFiles, "page")

func sub(files fs.FS, dir string) fs.FS {
	inner, err := fs.Sub(files, dir)
	if err != nil {
		panic(err) // the name above is one
	}
	return inner
}
