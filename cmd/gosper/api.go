package main

import (
	"context"
	"errors"
	"fmt"

	"gosper/edge/apidoc"
	"gosper/edge/control"
	"gosper/edge/node"
)

func apiCommand() command {
	return command{
		name:    "api",
		summary: "print the documents of the API",
		example: "gosper api openapi > openapi.json\ngosper api asyncapi > asyncapi.json\ngosper api internal",
		run:     runAPI,
	}
}

// runAPI prints one document.
func runAPI(_ context.Context, args []string, io stdio) int {
	const usage = "openapi|asyncapi|internal"
	flags := newFlags(apiCommand(), usage, io.out)
	if code, done := parseFlags(flags, args, io); done {
		return code
	}
	documents := map[string]func(apidoc.Site) []byte{"openapi": apidoc.OpenAPI, "asyncapi": apidoc.AsyncAPI, "internal": apidoc.InternalOpenAPI}
	document := documents[flags.Arg(0)]
	if document == nil || flags.NArg() != 1 {
		return usageError(io, "gosper api", errors.New("say openapi (public HTTP), asyncapi (websocket, lines and gate) or internal (internal HTTP)"))
	}
	if _, err := fmt.Fprintf(io.out, "%s", document(control.Site(node.Version()))); err != nil {
		return failure(io, "gosper api", err)
	}
	return exitOK
}
