package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"gosper/edge/control"
)

func scheduleCommand() command {
	return command{
		name:    "schedule",
		summary: "look at timers that are pending, and cancel one",
		example: "gosper schedule list\ngosper schedule --json list building.0123.0\ngosper schedule stats\ngosper schedule cancel building.01a2b3c4",
		run:     runSchedule,
	}
}

func runSchedule(ctx context.Context, args []string, io stdio) int {
	flags := newFlags(scheduleCommand(), "[flags] list [GROUP] | stats | cancel KEY", io.out)
	api := newInternalAPI(flags)
	asJSON := flags.Bool("json", false, "one JSON object a line")
	words, code, done := parseMixed(flags, args, io)
	if done {
		return code
	}
	var err error
	switch {
	case len(words) == 1 && words[0] == "list":
		err = listTimers(ctx, api, "", *asJSON, io)
	case len(words) == 2 && words[0] == "list":
		err = listTimers(ctx, api, words[1], *asJSON, io)
	case len(words) == 1 && words[0] == "stats":
		var page timersPage
		if page, err = timers(ctx, api, "", 0, 1); err == nil {
			fmt.Fprintf(io.out, "%d timers pending\n", page.Pending)
			for _, t := range page.Timers {
				fmt.Fprintf(io.out, "next: %s at %s\n", t.Key, t.Due.Format(time.RFC3339Nano))
			}
		}
	case len(words) == 2 && words[0] == "cancel":
		var out struct{}
		err = api.form(ctx, "/admin/schedule/cancel", url.Values{"key": {words[1]}}, &out)
	default:
		return usageError(io, "gosper schedule", errors.New("say list [GROUP], stats or cancel KEY"))
	}
	if err != nil {
		return failure(io, "gosper schedule", err)
	}
	return exitOK
}

type timersPage struct {
	Pending int             `json:"pending"`
	Timers  []control.Timer `json:"timers"`
}

// timersPerPage is how many timers one request asks for.
const timersPerPage = 1000

func timers(ctx context.Context, api *internalAPI, group string, after int64, limit int) (page timersPage, err error) {
	query := url.Values{"group": {group}, "after": {strconv.FormatInt(after, 10)}, "limit": {strconv.Itoa(limit)}}
	err = api.get(ctx, "/admin/schedule/timers?"+query.Encode(), &page)
	return page, err
}

// listTimers prints timers by due time.
func listTimers(ctx context.Context, api *internalAPI, group string, asJSON bool, io stdio) error {
	for after := int64(0); ; {
		page, err := timers(ctx, api, group, after, timersPerPage)
		if err != nil || len(page.Timers) == 0 {
			return err
		}
		if asJSON {
			if err := printLines(io, page.Timers); err != nil {
				return err
			}
		} else {
			for _, t := range page.Timers {
				fmt.Fprintf(io.out, "%s  %s  %s  %.100q\n", t.Due.Format(time.RFC3339), t.Key, t.Tube, t.Body)
			}
		}
		last := page.Timers[len(page.Timers)-1].Due.UnixMilli()
		if len(page.Timers) < timersPerPage || last == after {
			return nil
		}
		after = last
	}
}
