package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"gosper/edge/node"
)

func versionCommand() command {
	return command{
		name:    "version",
		summary: "print the version",
		example: "gosper version",
		run:     runVersion,
	}
}

func runVersion(_ context.Context, args []string, io stdio) int {
	flags := newFlags(versionCommand(), "", io.out)
	words, code, done := parseMixed(flags, args, io)
	if done {
		return code
	}
	if len(words) > 0 {
		return usageError(io, "gosper version", errors.New("takes no arguments"))
	}
	fmt.Fprintf(io.out, "gosper %s %s %s/%s\n", node.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return exitOK
}
