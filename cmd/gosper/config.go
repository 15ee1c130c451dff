package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"

	"gosper/edge/node"
)

func configCommand() command {
	return command{
		name:    "config",
		summary: "print, check or document the options of a node, or check a folder of config files",
		example: "gosper config print --config gosper.yaml\ngosper config check --config gosper.toml\ngosper config check ./gosper-data/config\ngosper config docs > options.md",
		run:     runConfig,
	}
}

// runConfig runs print, check or docs.
func runConfig(_ context.Context, args []string, io stdio) int {
	const usage = "print|check|docs [flags of serve] [FOLDER]"
	if len(args) == 0 {
		return usageError(io, "gosper config", errors.New("say print, check or docs"))
	}
	switch word := args[0]; word {
	case "-h", "-help", "--help":
		printUsage(io.out, configCommand(), usage, nil)
		return exitOK
	case "docs":
		if len(args) > 1 {
			return usageError(io, "gosper config docs", errors.New("takes no arguments"))
		}
		printDocs(io.out)
		return exitOK
	case "print", "check":
		return checkConfig(word, args[1:], io)
	}
	return usageError(io, "gosper config", fmt.Errorf("unknown word %q: say print, check or docs", args[0]))
}

// checkConfig reads options as serve would, and prints them or says that they are good.
func checkConfig(word string, args []string, io stdio) int {
	name := "gosper config " + word
	o := node.DefaultOptions()
	var format *string
	rest, err := o.Parse(args, func(f *flag.FlagSet) {
		format = f.String("format", "yaml", "yaml or toml")
	})
	switch {
	case errors.Is(err, flag.ErrHelp):
		printUsage(io.out, configCommand(), word+" [--format yaml|toml] [flags of serve] [FOLDER]", nil)
		return exitOK
	case err != nil:
		return usageError(io, name, err)
	case err == nil && word == "check" && len(rest) == 1:
		return checkFolder(rest[0], io)
	case len(rest) > 0:
		return usageError(io, name, fmt.Errorf("unexpected argument %q", rest[0]))
	case *format != "yaml" && *format != "toml":
		return usageError(io, name, errors.New("format must be yaml or toml"))
	}
	if err := o.Validate(); err != nil {
		return failure(io, name, err)
	}
	if word == "print" {
		printOptions(io.out, &o, *format)
		return exitOK
	}
	fmt.Fprintln(io.out, "the options are good")
	return exitOK
}

// printOptions prints all options as a file that can be read again. Secrets are left out.
func printOptions(w io.Writer, o *node.Options, format string) {
	values, between, group := o.Values(), ": ", ""
	if format == "toml" {
		between = " = "
	}
	for _, s := range node.Settings() {
		if s.Group != group {
			if group != "" {
				fmt.Fprintln(w)
			}
			group = s.Group
			fmt.Fprintf(w, "# %s\n", group)
		}
		if s.Secret {
			fmt.Fprintf(w, "# %s: not shown; set it by %s\n", s.Name, s.Env())
			continue
		}
		fmt.Fprintf(w, "%s%s%s # %s\n", s.Name, between, strconv.Quote(values[s.Name]), s.Help)
	}
}

// printDocs prints a Markdown table of all options for each group.
func printDocs(w io.Writer) {
	fmt.Fprint(w, "# Options of gosper\n\nA flag wins over the environment, the environment over the file that `--config` names, the file over the default.\n"+
		"The key in a YAML or TOML file is the name of the flag; nested keys are joined by `-`.\n")
	group := ""
	for _, s := range node.Settings() {
		if s.Group != group {
			group = s.Group
			fmt.Fprintf(w, "\n## %s\n\n| flag | environment | default | meaning |\n|---|---|---|---|\n", group)
		}
		name := "`--" + s.Name + "`"
		if s.Secret {
			name = "(file or environment only) `" + s.Name + "`"
		}
		value := s.Default
		if value != "" {
			value = "`" + value + "`"
		}
		fmt.Fprintf(w, "| %s | `%s` | %s | %s |\n", name, s.Env(), value, strings.ReplaceAll(s.Help, "|", "\\|"))
	}
}
