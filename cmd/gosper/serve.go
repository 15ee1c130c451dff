package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"syscall"
	"time"

	"gosper/edge/node"
)

func serveCommand() command {
	return command{
		name:    "serve",
		summary: "run a node: by default every role, embedded engines, data in one folder",
		example: "gosper serve\ngosper serve --data /var/lib/gosper --http-addr :80 --config gosper.yaml\nGOSPER_LINE_ADDR=:9100 gosper serve",
		run:     runServe,
	}
}

const printConfigHelp = "print the options and stop"

// runServe runs a node until it is told to stop or fails.
func runServe(ctx context.Context, args []string, io stdio) int {
	begin := time.Now()
	o := node.DefaultOptions()
	var printOnly *bool
	rest, err := o.Parse(args, func(f *flag.FlagSet) {
		printOnly = f.Bool("print-config", false, printConfigHelp)
	})
	switch {
	case errors.Is(err, flag.ErrHelp):
		return serveHelp(io)
	case err != nil:
		return usageError(io, "gosper serve", err)
	case len(rest) > 0:
		return usageError(io, "gosper serve", fmt.Errorf("unexpected argument %q", rest[0]))
	}
	if err := o.Validate(); err != nil {
		return usageError(io, "gosper serve", err)
	}
	if *printOnly {
		printOptions(io.out, &o, "yaml")
		return exitOK
	}
	spareProcessor(&o)
	log := newLog(io.err, &o)
	n, err := node.Start(ctx, o, log)
	if errors.Is(err, syscall.EADDRINUSE) {
		err = fmt.Errorf("%w; stop the program that has this port, or choose another one", err)
	}
	if err != nil {
		return failure(io, "gosper serve", err)
	}
	banner(io.out, n, &o, time.Since(begin))
	return attend(ctx, n, log, io)
}

// newLog returns the log that the options ask for.
func newLog(w io.Writer, o *node.Options) *slog.Logger {
	h := &slog.HandlerOptions{Level: o.LogLevel}
	if o.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, h))
	}
	return slog.New(slog.NewTextHandler(w, h))
}

// attend waits for the end of a node: a signal or a request drains it, a failure ends it with an error.
func attend(ctx context.Context, n *node.Node, log *slog.Logger, io stdio) int {
	var err error
	select {
	case <-ctx.Done():
		err = drain(n, io, "signal received")
	case <-n.DrainAsked():
		err = drain(n, io, "drain asked for")
	case <-n.Done():
		err = errors.New("the event loops have ended")
		if n.Err() != nil {
			err = n.Err()
		}
	case err = <-n.Failed():
	}
	if err = errors.Join(err, n.Close()); err != nil {
		return failure(io, "gosper serve", err)
	}
	log.Info("stopped")
	return exitOK
}

// drain lets all clients go. What does not go in time is cut by Close; that is no failure.
func drain(n *node.Node, io stdio, why string) error {
	fmt.Fprintf(io.out, "%s: draining; a second signal ends at once\n", why)
	err := n.Drain(context.Background())
	if errors.Is(err, context.DeadlineExceeded) {
		fmt.Fprintln(io.err, "gosper serve: drain-timeout reached, the remaining connections are cut")
		return nil
	}
	return err
}

// banner says where the node can be reached.
func banner(w io.Writer, n *node.Node, o *node.Options, took time.Duration) {
	fmt.Fprintf(w, "gosper %s is ready after %d ms, data in %s\n", node.Version(), took.Milliseconds(), o.Data)
	for _, row := range []struct{ name, label, before, after string }{
		{"http", "page", "http://", "/"},
		{"http", "websocket", "ws://", "/ws"},
		{"https", "page, TLS", "https://", "/"},
		{"line", "lines", "", "  (try: gosper chat)"},
		{"tls-line", "lines, TLS", "", ""},
		{"gate", "gate", "", ""},
		{"tls-gate", "gate, TLS", "", ""},
		{"beanstalk", "beanstalkd", "", ""},
		{"internal", "internal", "http://", "/metrics"},
	} {
		if addr := n.Addr(row.name); addr != nil {
			fmt.Fprintf(w, "  %-11s %s%s%s\n", row.label, row.before, friendly(addr.String()), row.after)
		}
	}
}

// serveHelp prints every option.
func serveHelp(io stdio) int {
	printUsage(io.out, serveCommand(), "[flags]", nil)
	fmt.Fprintf(io.out, "\nEvery flag is also an environment variable (GOSPER_…) and a key of the file that --config names.\n")
	fmt.Fprintf(io.out, "\n  --%-26s %s\n  --%-26s %s\n", "config", "YAML or TOML file with options", "print-config", printConfigHelp)
	group := ""
	for _, s := range node.Settings() {
		if s.Group != group {
			group = s.Group
			fmt.Fprintf(io.out, "\n%s:\n", group)
		}
		fmt.Fprintf(io.out, "  --%-26s %s%s\n", s.Name, s.Help, defaultText(s))
	}
	return exitOK
}

// defaultText tells the default of a setting, or where a secret may stand.
func defaultText(s node.Setting) string {
	switch {
	case s.Secret:
		return " (only " + s.Env() + " or a file)"
	case s.Default == "":
		return ""
	}
	return " (default " + s.Default + ")"
}
