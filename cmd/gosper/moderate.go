package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"gosper/edge/module"
)

func moderateCommand() command {
	return command{
		name:    "moderate",
		summary: "mute and ban players, and read what players report",
		example: "gosper moderate --name Ann --for 2h --reason spam mute\ngosper moderate --uid 0199a1b2c3d4 ban\n" +
			"gosper moderate --name Ann unmute\ngosper moderate list\ngosper moderate reports\ngosper moderate resolve 0199a1b2-…",
		run: runModerate,
	}
}

// orderFlags are the flags of an order of a moderator.
type orderFlags struct {
	uid, world, name, reason, by *string
	length                       *time.Duration
}

// runModerate gives an order, or lists sanctions or reports.
func runModerate(ctx context.Context, args []string, io stdio) int {
	flags := newFlags(moderateCommand(), "[flags] mute | unmute | ban | unban | list | reports | resolve ID", io.out)
	api := newInternalAPI(flags)
	o := orderFlags{
		uid:    flags.String("uid", "", "account of the player"),
		world:  flags.String("world", "0", "world of the player"),
		name:   flags.String("name", "", "name of the player in the world"),
		reason: flags.String("reason", "", "one line that the player reads"),
		by:     flags.String("by", os.Getenv("USER"), "who orders it"),
		length: flags.Duration("for", 0, "how long, as 2h; 0 is for good"),
	}
	past := flags.Bool("past", false, "list also what is over")
	asJSON := flags.Bool("json", false, "one JSON object a line")
	words, code, done := parseMixed(flags, args, io)
	if done {
		return code
	}
	if len(words) == 0 {
		return usageError(io, "gosper moderate", wantWords("mute, unmute, ban, unban, list, reports or resolve", "moderate"))
	}
	var err error
	switch what := words[0]; {
	case len(words) == 1 && (what == "mute" || what == "ban" || what == "unmute" || what == "unban"):
		if *o.uid == "" && *o.name == "" {
			return usageError(io, "gosper moderate", errors.New("name the player with --uid, or --world and --name"))
		}
		err = o.order(ctx, api, what, *asJSON, io)
	case len(words) == 1 && what == "list":
		err = listSanctions(ctx, api, *past, *asJSON, io)
	case len(words) == 1 && what == "reports":
		err = listReports(ctx, api, *asJSON, io)
	case len(words) == 2 && what == "resolve":
		var out struct{}
		err = api.form(ctx, "/admin/moderation/resolve", url.Values{"id": {words[1]}}, &out)
	default:
		return usageError(io, "gosper moderate", errors.New("say mute, unmute, ban, unban, list, reports or resolve ID"))
	}
	if err != nil {
		return failure(io, "gosper moderate", err)
	}
	return exitOK
}

// order sends one order and prints the sanction.
func (o *orderFlags) order(ctx context.Context, api *internalAPI, what string, asJSON bool, io stdio) error {
	form := url.Values{"by": {*o.by}}
	if *o.uid != "" {
		form.Set("uid", *o.uid)
	} else {
		form.Set("world", *o.world)
		form.Set("name", *o.name)
	}
	if what == "mute" || what == "ban" {
		form.Set("reason", *o.reason)
		if *o.length != 0 {
			form.Set("for", o.length.String())
		}
	}
	var out struct {
		Data module.Sanction `json:"data"`
	}
	if err := api.form(ctx, "/admin/moderation/"+what, form, &out); err != nil {
		return err
	}
	printSanction(io, &out.Data, asJSON)
	return nil
}

func listSanctions(ctx context.Context, api *internalAPI, past, asJSON bool, io stdio) error {
	path := "/admin/moderation"
	if past {
		path += "?past=1"
	}
	var out struct {
		Sanctions []module.Sanction `json:"sanctions"`
	}
	if err := api.get(ctx, path, &out); err != nil {
		return err
	}
	for i := range out.Sanctions {
		printSanction(io, &out.Sanctions[i], asJSON)
	}
	return nil
}

// printSanction prints a sanction, whose player may have no account: then it says so.
func printSanction(io stdio, s *module.Sanction, asJSON bool) {
	if asJSON {
		printJSON(io, s)
		return
	}
	who := "account " + s.UID
	if s.UID == "" {
		who = "no account, whoever a service lets in under this name"
	}
	if s.Name != "" {
		who = fmt.Sprintf("%s in world %s (%s)", printable(s.Name), s.World, who)
	}
	end := "for good"
	switch {
	case !s.Lifted.IsZero():
		end = "lifted " + s.Lifted.Format(time.RFC3339)
	case !s.Until.IsZero():
		end = "until " + s.Until.Format(time.RFC3339)
	}
	fmt.Fprintf(io.out, "%-4s  since %s  %s  %s  by %s  %s\n", s.Kind, s.Since.Format(time.RFC3339), end, who, printable(s.By), printable(s.Reason))
}

func printJSON(io stdio, v any) {
	if b, err := json.Marshal(v); err == nil {
		fmt.Fprintln(io.out, string(b))
	}
}

// listReports prints all reports that wait, oldest first.
func listReports(ctx context.Context, api *internalAPI, asJSON bool, io stdio) error {
	for after := ""; ; {
		var out struct {
			Reports []module.Report `json:"reports"`
		}
		if err := api.get(ctx, "/admin/moderation/reports?after="+url.QueryEscape(after), &out); err != nil {
			return err
		}
		if len(out.Reports) == 0 {
			return nil
		}
		for i := range out.Reports {
			r := &out.Reports[i]
			if asJSON {
				printJSON(io, r)
				continue
			}
			fmt.Fprintf(io.out, "%s  %s  world %s  %s reports %s  %s\n", r.ID, r.Time.Format(time.RFC3339), r.World,
				printable(r.By.Name), printable(r.About.Name), printable(r.Reason))
			if r.Said != "" {
				fmt.Fprintf(io.out, "    said %s: %s\n", r.SaidAt.Format(time.RFC3339), printable(r.Said))
			}
		}
		after = out.Reports[len(out.Reports)-1].ID
	}
}
