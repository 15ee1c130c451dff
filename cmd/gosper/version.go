package main

import (
	"context"
	"errors"
	"flag"
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
	flags := flag.NewFlagSet("version", flag.ContinueOnError)
	words, code := parseFlags(flags, args, io, usageText(versionCommand(), ""))
	if code >= 0 {
		return code
	}
	if len(words) > 0 {
		return usageError(io, "gosper version", errors.New("takes no arguments"))
	}
	fmt.Fprintf(io.out, "gosper %s %s %s/%s\n", node.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return exitOK
}
