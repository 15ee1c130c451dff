package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"gosper/edge/module"
)

func chatlogCommand() command {
	return command{
		name:    "chatlog",
		summary: "search what was said, on a node that runs with --chat-log",
		example: "gosper chatlog --world 0 --since 2h --text glider\ngosper chatlog --family foxes --from 2026-11-21T20:00:00Z --to 2026-11-21T21:00:00Z --json",
		run:     runChatlog,
	}
}

// runChatlog prints the lines that the flags ask for, oldest first.
func runChatlog(ctx context.Context, args []string, io stdio) int {
	flags := newFlags(chatlogCommand(), "[flags]", io.out)
	api := newInternalAPI(flags)
	query := url.Values{}
	text := func(name, help string) {
		flags.Func(name, help, func(value string) error { query.Set(name, value); return nil })
	}
	text("world", "only this world")
	text("family", "only the talk of this family")
	text("name", "only what this player said")
	text("text", "only lines with this text, in any case")
	text("from", "from this time on, as 2026-11-21T20:00:00Z")
	text("to", "until this time")
	public := flags.Bool("public", false, "only what was said in public")
	since := flags.Duration("since", 0, "only the last, as 2h")
	most := flags.Int("limit", 0, "print at most so many lines; 0 is all")
	asJSON := flags.Bool("json", false, "one JSON object a line")
	words, code, done := parseMixed(flags, args, io)
	if done {
		return code
	}
	switch {
	case len(words) > 0:
		return usageError(io, "gosper chatlog", wantWords("flags only", "chatlog"))
	case *since < 0 || *most < 0:
		return usageError(io, "gosper chatlog", errors.New("since and limit must not be negative"))
	case *since > 0 && query.Has("from"):
		return usageError(io, "gosper chatlog", errors.New("say since or from, not both"))
	case *since > 0:
		query.Set("from", time.Now().Add(-*since).UTC().Format(time.RFC3339))
	}
	if *public {
		query.Set("public", "1")
	}
	if err := searchChat(ctx, api, query, *most, *asJSON, io); err != nil {
		return failure(io, "gosper chatlog", err)
	}
	return exitOK
}

// searchChat prints page after page until there is no more, or enough.
func searchChat(ctx context.Context, api *internalAPI, query url.Values, most int, asJSON bool, io stdio) error {
	for printed := 0; ; {
		if most > 0 {
			query.Set("limit", strconv.Itoa(min(most-printed, module.ChatSearchLines)))
		}
		var page module.ChatPage
		if err := api.get(ctx, "/admin/chatlog?"+query.Encode(), &page); err != nil {
			return err
		}
		for i := range page.Lines {
			printChatLine(io, &page.Lines[i], asJSON)
		}
		printed += len(page.Lines)
		if page.Next == "" || most > 0 && printed >= most {
			return nil
		}
		query.Set("next", page.Next)
	}
}

func printChatLine(io stdio, l *module.ChatLine, asJSON bool) {
	if asJSON {
		printJSON(io, l)
		return
	}
	if l.Lost > 0 {
		fmt.Fprintf(io.out, "… %d messages were left out: the disk was too slow or full\n", l.Lost)
	}
	where := "world " + l.World
	if l.Family != "" {
		where += ", family " + l.Family
	}
	fmt.Fprintf(io.out, "%s  %s  %s: %s\n", l.Time.Local().Format(time.DateTime), where, printable(l.Name), printable(l.Text))
}
