package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"gosper/broker"
	"gosper/broker/jobs"
	"gosper/broker/migrate"
	"gosper/broker/nats"
	"gosper/broker/pebble"
	"gosper/broker/redis"
	"gosper/edge/node"
)

func migrateCommand() command {
	return command{
		name:    "migrate",
		summary: "move what a stopped node has kept to servers that several nodes share",
		example: "gosper migrate --from gosper-data --dry-run\n" +
			"gosper migrate --from gosper-data --store nats://n1:4222,n2:4222,n3:4222?replicas=3 --registry redis://r1:6379 --mail-to /srv/mail",
		run: runMigrate,
	}
}

// migration is what the command line asks for.
type migration struct {
	from, mailFrom  string
	store, registry string
	mailTo          string
	dryRun, json    bool
}

// runMigrate moves a node's data, or counts it.
func runMigrate(ctx context.Context, args []string, std stdio) int {
	var m migration
	flags := newFlags(migrateCommand(), "--from FOLDER --store URL [flags]", std.out)
	m.flags(flags)
	usage := flags.Usage
	flags.Usage = func() {
		usage()
		fmt.Fprint(std.out, "\nPasswords stand in the URLs, or in GOSPER_STORE_PASSWORD and GOSPER_REGISTRY_PASSWORD.\n"+
			"No node may run meanwhile, on either side. A run that was interrupted is simply made again.\n")
	}
	words, code, done := parseMixed(flags, args, std)
	if done {
		return code
	}
	if err := m.check(words); err != nil {
		return usageError(std, "gosper migrate", err)
	}
	report, err := m.run(ctx, std)
	if report != nil {
		m.tell(std.out, report)
	}
	if err != nil {
		return failure(std, "gosper migrate", err)
	}
	if !m.json && !m.dryRun {
		m.next(std.out)
	}
	return exitOK
}

func (m *migration) flags(flags *flag.FlagSet) {
	flags.StringVar(&m.from, "from", node.DefaultOptions().Data, "data folder of the node, which must be stopped")
	flags.StringVar(&m.mailFrom, "mail-from", "", "folder of its mailboxes; empty: mail in its data folder")
	flags.StringVar(&m.store, "store", "", "nats://… where everything goes, as in gosper serve --store")
	flags.StringVar(&m.registry, "registry", "", "redis://… where nonces, codes and counters go; empty: they are left behind")
	flags.StringVar(&m.mailTo, "mail-to", "", "folder of all nodes for mailboxes; empty: the files stay where they are")
	flags.BoolVar(&m.dryRun, "dry-run", false, "only count what would move")
	flags.BoolVar(&m.json, "json", false, "print one JSON object")
}

func (m *migration) check(words []string) error {
	switch {
	case len(words) > 0:
		return fmt.Errorf("unexpected argument %q", words[0])
	case m.store == "" && !m.dryRun:
		return errors.New("store: says where everything goes; --dry-run counts without it")
	}
	if m.mailFrom == "" {
		m.mailFrom = node.MailDir(m.from)
	}
	if m.store != "" {
		if err := nats.CheckURL(m.store); err != nil {
			return fmt.Errorf("store: %w", err)
		}
	}
	if m.registry != "" {
		if err := redis.Check(m.registry); err != nil {
			return fmt.Errorf("registry: %w", err)
		}
	}
	return nil
}

// run opens both sides and moves. Neither side's clock runs meanwhile.
func (m *migration) run(ctx context.Context, std stdio) (report *migrate.Report, err error) {
	folder := node.StoreFolder(m.from)
	if _, err := os.Stat(folder); err != nil {
		return nil, fmt.Errorf("from: there is no node's data in %s", m.from)
	}
	quiet := slog.New(slog.DiscardHandler)
	db, err := pebble.Open(folder, pebble.Options{Jobs: broker.QueueOptions{Now: jobs.Frozen}, Log: quiet})
	if err != nil {
		return nil, fmt.Errorf("from: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	options := migrate.Options{DryRun: m.dryRun, Progress: progressLine(std.err)}
	from, to := migrate.Source{DB: db, Mail: m.mailFrom}, migrate.Target{Mail: m.mailTo}
	if m.registry != "" {
		r, err := redis.Open(redis.Options{URL: m.registry, Password: os.Getenv("GOSPER_REGISTRY_PASSWORD"), Log: quiet})
		if err != nil {
			return nil, fmt.Errorf("registry: %w", err)
		}
		defer func() { err = errors.Join(err, r.Close()) }()
		to.Keys = r.Registry()
	}
	if m.dryRun {
		return migrate.Run(ctx, from, to, options)
	}
	s, err := nats.OpenState(ctx, nats.StateOptions{URL: m.store, Password: os.Getenv("GOSPER_STORE_PASSWORD"), Log: quiet,
		Jobs: broker.QueueOptions{Now: jobs.Frozen, MaxJob: broker.MaxValue}})
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	to.Store, to.Schedule = s.Store(), s.Schedule()
	to.Logs, to.Jobs = s.Moves()
	return migrate.Run(ctx, from, to, options)
}

// progressLine returns what shows progress on one line of a terminal, ten times a second; nothing elsewhere.
func progressLine(w io.Writer) func(kind string, done uint64, what string) {
	if !isTerminal(w) {
		return nil
	}
	var drawn time.Time
	return func(kind string, done uint64, what string) {
		if time.Since(drawn) > 100*time.Millisecond {
			drawn = time.Now()
			fmt.Fprintf(w, "\r\x1b[K%s %d %.40s", kind, done, what)
		}
	}
}

// tell prints what was found and done.
func (m *migration) tell(w io.Writer, r *migrate.Report) {
	if m.json {
		_ = benchJSON(w, r) // a pipe that was closed has no reader to be told
		return
	}
	if r.Complete {
		fmt.Fprintln(w, "everything was moved there before; nothing was done")
		return
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "kind\tcount\tbytes\tSHA-256\twritten now\tthere")
	for _, k := range r.Kinds {
		there := "the same"
		switch {
		case k.Left:
			there = "not moved: " + k.WhatIsLeft
		case m.dryRun:
			there = "-"
		case !k.Same():
			there = fmt.Sprintf("%d, %.16s: not the same", k.Target.Count, k.Target.Hash)
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%.16s\t%d\t%s\n", k.Name, k.Source.Count, k.Source.Bytes, k.Source.Hash, k.Written, there)
	}
	t.Flush()
}

// next says how to go on.
func (m *migration) next(w io.Writer) {
	mail := m.mailTo
	if mail == "" {
		mail = m.mailFrom
	}
	fmt.Fprintf(w, "\nStart every node with the same --store, --bus and --registry, and with\n  --secret-file %s --mail-dir %s\n", filepath.Join(m.from, "secret"), mail)
	fmt.Fprintln(w, "What was said lately, for players who come back, stays behind; the chat log has moved.")
	fmt.Fprintf(w, "Also give them what is in files: %s (settings), and %s (e-mails that wait for an SMTP server), if they are there.\n",
		filepath.Join(m.from, "config"), node.Mailbox(m.from))
}
