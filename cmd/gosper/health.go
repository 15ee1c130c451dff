package main

import (
	"context"
	"fmt"
)

func healthCommand() command {
	return command{
		name:    "health",
		summary: "ask a node whether it works and takes clients; exit code 0 when it does",
		example: "gosper health\ngosper health --alive\ngosper health --internal-addr 10.0.0.7:8000",
		run:     runHealth,
	}
}

// runHealth asks a node how it is. Images that hold this program and nothing else need it: they have no curl for a health check.
func runHealth(ctx context.Context, args []string, std stdio) int {
	flags := newFlags(healthCommand(), "[flags]", std.out)
	api := newInternalAPI(flags)
	alive := flags.Bool("alive", false, "ask only whether the process works, not whether it takes clients")
	words, code, done := parseMixed(flags, args, std)
	switch {
	case done:
		return code
	case len(words) > 0:
		return usageError(std, "gosper health", fmt.Errorf("unexpected argument %q", words[0]))
	}
	path := "/readyz"
	if *alive {
		path = "/healthz"
	}
	var out struct {
		Status string `json:"status"`
	}
	if err := api.get(ctx, path, &out); err != nil {
		return failure(std, "gosper health", err)
	}
	fmt.Fprintln(std.out, out.Status)
	return exitOK
}
