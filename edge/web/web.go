// Package web holds the page that gosper serves at "/": plain ES modules, a style sheet and an icon, embedded as they
// are written. There is no build step.
//
// gosper.js is the connection and may be imported by any other page; app.js and its neighbours are our own page.
package web

import "embed"

// FS holds the files of the page; its root holds index.html. It is read only and safe for any number of goroutines.
//
//go:embed index.html *.css *.js icon.svg
var FS embed.FS
