// Command gosper is the edge server of a shared world, and the tools around it. Run "gosper help".
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

// Exit codes of every command.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

// stdio is what a command reads and writes.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

// command is one word after "gosper". Each has its own file.
type command struct {
	name    string
	summary string // one line
	example string // one or more command lines
	// run gets the arguments after the name and returns the exit code. The context ends at the first SIGINT or SIGTERM;
	// the second ends the process.
	run func(ctx context.Context, args []string, io stdio) int
}

// commands lists all commands in the order of the help text.
var commands = []command{
	serveCommand(),
	healthCommand(),
	clusterCommand(),
	migrateCommand(),
	chatCommand(),
	callCommand(),
	tailCommand(),
	watchCommand(),
	tokenCommand(),
	nonceCommand(),
	mailCommand(),
	queueCommand(),
	chainCommand(),
	scheduleCommand(),
	moderateCommand(),
	chatlogCommand(),
	configCommand(),
	apiCommand(),
	patternCommand(),
	benchCommand(),
	versionCommand(),
}

func main() {
	os.Exit(run(untilSignal(), os.Args[1:], stdio{os.Stdin, os.Stdout, os.Stderr}))
}

// untilSignal returns a context that ends at the first signal. From then on a signal has its usual effect: it ends the
// process.
func untilSignal() context.Context {
	ctx, end := context.WithCancel(context.Background())
	first := make(chan os.Signal, 1)
	signal.Notify(first, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-first
		signal.Stop(first) // before anybody hears of the first one: whoever sees its effect may send the second
		end()
	}()
	return ctx
}

// run finds the command and runs it.
func run(ctx context.Context, args []string, io stdio) int {
	name, rest := "help", args
	if len(args) > 0 {
		name, rest = args[0], args[1:]
	}
	switch name {
	case "help", "-h", "-help", "--help":
		return help(rest, io)
	case "-version", "--version":
		name = "version"
	}
	c, ok := findCommand(name)
	if !ok {
		return usageError(io, "gosper", fmt.Errorf("unknown command %q; gosper help lists all", name))
	}
	return c.run(ctx, rest, io)
}

func findCommand(name string) (command, bool) {
	i := slices.IndexFunc(commands, func(c command) bool { return c.name == name })
	if i < 0 {
		return command{}, false
	}
	return commands[i], true
}

// help prints all commands, or the help of one.
func help(args []string, io stdio) int {
	if len(args) > 0 {
		c, ok := findCommand(args[0])
		if !ok {
			return usageError(io, "gosper help", fmt.Errorf("unknown command %q", args[0]))
		}
		return c.run(context.Background(), []string{"--help"}, io)
	}
	fmt.Fprint(io.out, "gosper is the edge server of a shared world: lines over TCP, websocket, accounts, chat, grids.\n\nCommands:\n")
	for _, c := range commands {
		fmt.Fprintf(io.out, "  %-9s %s\n", c.name, c.summary)
	}
	fmt.Fprint(io.out, "\nBegin with:\n  gosper serve\n\ngosper COMMAND --help tells more about one.\n")
	return exitOK
}

// newFlags returns the flag set of a command, with a help text made of the command's summary and example.
func newFlags(c command, arguments string, out io.Writer) *flag.FlagSet {
	flags := flag.NewFlagSet("gosper "+c.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() { printUsage(out, c, arguments, flags) }
	return flags
}

// printUsage prints the help text of a command; flags may be nil.
func printUsage(out io.Writer, c command, arguments string, flags *flag.FlagSet) {
	fmt.Fprintf(out, "%s\n\nUsage:\n  %s\n\nExample:\n", c.summary, strings.TrimSpace("gosper "+c.name+" "+arguments))
	for line := range strings.Lines(c.example) {
		fmt.Fprintf(out, "  %s\n", strings.TrimRight(line, "\n"))
	}
	some := false
	if flags != nil {
		flags.VisitAll(func(*flag.Flag) { some = true })
	}
	if !some {
		return
	}
	fmt.Fprint(out, "\nFlags:\n")
	flags.VisitAll(func(f *flag.Flag) {
		fmt.Fprintf(out, "  --%-14s %s%s\n", f.Name, f.Usage, defaultOf(f))
	})
}

func defaultOf(f *flag.Flag) string {
	if f.DefValue == "" || f.DefValue == "false" {
		return ""
	}
	return " (default " + f.DefValue + ")"
}

// parseFlags parses the arguments of a command. done says that the command is over, with the exit code.
func parseFlags(flags *flag.FlagSet, args []string, io stdio) (code int, done bool) {
	usage := flags.Usage
	flags.Usage = func() {} // Parse calls it for mistakes too, which are told in one line
	err := flags.Parse(args)
	flags.Usage = usage
	switch {
	case errors.Is(err, flag.ErrHelp):
		usage()
		return exitOK, true
	case err != nil:
		return usageError(io, flags.Name(), err), true
	}
	return exitOK, false
}

// usageError prints a mistake of the command line in one line.
func usageError(io stdio, name string, err error) int {
	fmt.Fprintf(io.err, "%s: %s\n", name, oneLine(err))
	return exitUsage
}

// failure prints an error in one line.
func failure(io stdio, name string, err error) int {
	fmt.Fprintf(io.err, "%s: %s\n", name, oneLine(err))
	return exitError
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
