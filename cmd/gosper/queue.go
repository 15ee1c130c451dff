package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"text/tabwriter"
	"time"

	"gosper/edge/control"
)

func queueCommand() command {
	return command{
		name:    "queue",
		summary: "look at tubes and jobs, and move jobs by hand",
		example: "gosper queue list\ngosper queue list bg_email buried\ngosper queue peek 1042\ngosper queue kick 1042\ngosper queue kick bg_email 100\n" +
			"gosper queue bury 1042 broken\ngosper queue delete 1042\ngosper queue pause bg_email 30s\ngosper queue stats bg_email",
		run: runQueue,
	}
}

// queueTool is one run of gosper queue.
type queueTool struct {
	api    *internalAPI
	asJSON bool
	io     stdio
}

func runQueue(ctx context.Context, args []string, io stdio) int {
	const usage = "[flags] list [TUBE STATE] | peek ID | kick ID | kick TUBE COUNT | bury ID [REASON] | delete ID | pause TUBE TIME | stats [TUBE]"
	flags := newFlags(queueCommand(), usage, io.out)
	q := queueTool{api: newInternalAPI(flags), io: io}
	flags.BoolVar(&q.asJSON, "json", false, "one JSON object a line")
	words, code, done := parseMixed(flags, args, io)
	if done {
		return code
	}
	work := q.choose(words)
	if work == nil {
		return usageError(io, "gosper queue", errors.New("say "+usage[len("[flags] "):]))
	}
	if err := work(ctx); err != nil {
		return failure(io, "gosper queue", err)
	}
	return exitOK
}

// choose returns what the words ask for, nil when they make no sense.
func (q *queueTool) choose(words []string) func(context.Context) error {
	word := ""
	if len(words) > 0 {
		word = words[0]
	}
	rest := words[min(1, len(words)):]
	switch {
	case (word == "list" || word == "stats") && len(rest) == 0:
		return func(ctx context.Context) error { return q.tubes(ctx, "") }
	case word == "stats" && len(rest) == 1:
		return func(ctx context.Context) error { return q.tubes(ctx, rest[0]) }
	case word == "list" && len(rest) == 2:
		return func(ctx context.Context) error { return q.jobs(ctx, rest[0], rest[1]) }
	case word == "pause" && len(rest) == 2:
		return q.post("/admin/queue/pause", url.Values{"tube": {rest[0]}, "for": {rest[1]}})
	case word == "kick" && len(rest) == 2:
		return q.post("/admin/queue/kick", url.Values{"tube": {rest[0]}, "bound": {rest[1]}})
	}
	if len(rest) == 0 || !isNumber(rest[0]) {
		return nil
	}
	id := url.Values{"id": {rest[0]}}
	switch {
	case word == "peek" && len(rest) == 1:
		return func(ctx context.Context) error { return q.peek(ctx, id) }
	case word == "kick" && len(rest) == 1:
		return q.post("/admin/queue/kick", id)
	case word == "delete" && len(rest) == 1:
		return q.post("/admin/queue/delete", id)
	case word == "bury" && len(rest) <= 2:
		if len(rest) == 2 {
			id.Set("reason", rest[1])
		}
		return q.post("/admin/queue/bury", id)
	}
	return nil
}

func isNumber(text string) bool {
	_, err := strconv.ParseUint(text, 10, 64)
	return err == nil
}

// post sends a form and prints what the answer has to say.
func (q *queueTool) post(path string, form url.Values) func(context.Context) error {
	return func(ctx context.Context) error {
		var out struct {
			Kicked *int `json:"kicked"`
		}
		err := q.api.form(ctx, path, form, &out)
		if err == nil && out.Kicked != nil {
			fmt.Fprintf(q.io.out, "kicked %d\n", *out.Kicked)
		}
		return err
	}
}

// tubes prints the counters of all tubes, or of one.
func (q *queueTool) tubes(ctx context.Context, tube string) error {
	var out struct {
		Tubes []control.Tube `json:"tubes"`
	}
	if err := q.api.get(ctx, "/admin/queue/tubes?tube="+url.QueryEscape(tube), &out); err != nil {
		return err
	}
	if tube != "" && len(out.Tubes) == 0 {
		return fmt.Errorf("there is no tube %q", tube)
	}
	if q.asJSON {
		return printLines(q.io, out.Tubes)
	}
	t := tabwriter.NewWriter(q.io.out, 2, 8, 2, ' ', 0)
	fmt.Fprintln(t, "tube\tready\treserved\tdelayed\tburied\twaiting\toldest\tputs\tdeletes\ttimeouts\tpause")
	for _, u := range out.Tubes {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%s\t%d\t%d\t%d\t%s\n", u.Name, u.Ready, u.Reserved, u.Delayed, u.Buried, u.Waiting,
			seconds(u.Oldest), u.Puts, u.Deletes, u.Timeouts, seconds(u.PauseLeft))
	}
	return t.Flush()
}

func seconds(s float64) string {
	if s == 0 {
		return "-"
	}
	return (time.Duration(s*1000) * time.Millisecond).String()
}

// jobs prints the jobs of a tube in one state.
func (q *queueTool) jobs(ctx context.Context, tube, state string) error {
	for after := uint64(0); ; {
		var out struct {
			Jobs []control.Job `json:"jobs"`
		}
		query := url.Values{"tube": {tube}, "state": {state}, "after": {strconv.FormatUint(after, 10)}}
		if err := q.api.get(ctx, "/admin/queue/jobs?"+query.Encode(), &out); err != nil || len(out.Jobs) == 0 {
			return err
		}
		if q.asJSON {
			if err := printLines(q.io, out.Jobs); err != nil {
				return err
			}
		} else {
			for _, j := range out.Jobs {
				fmt.Fprintf(q.io.out, "%d  %s  priority %d  tries %d  %s  %.120q\n", j.ID, j.Created.Format(time.RFC3339), j.Priority, j.Reserves, printable(j.Reason), j.Body)
			}
		}
		after = out.Jobs[len(out.Jobs)-1].ID
	}
}

// peek prints one job.
func (q *queueTool) peek(ctx context.Context, id url.Values) error {
	var j control.Job
	if err := q.api.get(ctx, "/admin/queue/job?"+id.Encode(), &j); err != nil {
		return err
	}
	if q.asJSON {
		return printLines(q.io, []control.Job{j})
	}
	fmt.Fprintf(q.io.out, "job %d in %s: %s, priority %d, ttr %gs, created %s\nreserves %d, timeouts %d, releases %d, buries %d, kicks %d\n",
		j.ID, j.Tube, j.State, j.Priority, j.TTR, j.Created.Format(time.RFC3339), j.Reserves, j.Timeouts, j.Releases, j.Buries, j.Kicks)
	if j.Reason != "" {
		fmt.Fprintf(q.io.out, "reason: %s\n", printable(j.Reason))
	}
	fmt.Fprintf(q.io.out, "%d bytes: %q\n", j.Size, j.Body)
	return nil
}

// printLines prints values as JSON, one a line.
func printLines[T any](io stdio, values []T) error {
	for _, v := range values {
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		fmt.Fprintln(io.out, string(b))
	}
	return nil
}
