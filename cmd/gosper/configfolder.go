package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"text/tabwriter"

	"gosper/broker"
	"gosper/broker/memory"
	"gosper/edge/config"
	"gosper/edge/module"
)

// checkFolder says of every file of a config folder what a node would make of it. It fails when a file is broken.
func checkFolder(dir string, io stdio) int {
	const name = "gosper config check"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return failure(io, name, err)
	}
	folder, err := config.Open(config.Options{Dir: dir})
	if err != nil {
		return failure(io, name, err)
	}
	defer folder.Close()
	bound, err := boundNames(folder)
	if err != nil {
		return failure(io, name, err)
	}
	bad := 0
	w := tabwriter.NewWriter(io.out, 0, 0, 2, ' ', 0)
	for _, f := range folder.Files() {
		state := "a file of an earlier day, replaced"
		switch {
		case f.Broken != nil:
			state = "broken: " + oneLine(f.Broken)
			bad++
		case f.InForce:
			state = "in force"
		case f.Day > "":
			state = "good, from " + f.Day + " on, or replaced by a later day"
		}
		if bound[f.Name] {
			state += " (figures of functions)"
		}
		fmt.Fprintf(w, "%s\t%s\n", f.File, state)
	}
	for _, e := range entries {
		if _, _, ok := config.SplitName(e.Name()); !ok && strings.HasSuffix(e.Name(), ".json") {
			fmt.Fprintf(w, "%s\tis not read: call it name.json or name@2026-11-01.json, of letters, digits, _ and -\n", e.Name())
			bad++
		}
	}
	if err := w.Flush(); err != nil {
		return failure(io, name, err)
	}
	if trouble := folder.Trouble(); trouble != "" {
		return failure(io, name, errors.New(trouble))
	}
	if bad > 0 {
		return failure(io, name, fmt.Errorf("%d files of %s are no good", bad, dir))
	}
	fmt.Fprintln(io.out, "the folder is good")
	return exitOK
}

// boundNames starts a function table in memory over a folder, which checks its files as a node would, and returns the
// names of the files that the functions use.
func boundNames(folder *config.Folder) (map[string]bool, error) {
	_, stop, err := memoryTable(folder)
	if err != nil {
		return nil, err
	}
	if err := stop(); err != nil {
		return nil, err
	}
	names := make(map[string]bool)
	for _, b := range folder.Bindings() {
		names[b.Name] = true
	}
	return names, nil
}

// memoryTable returns a function table whose engines are memory, and what ends them all.
func memoryTable(folder *config.Folder) (table *module.Table, stop func() error, err error) {
	store, registry, bus := memory.NewStore(), memory.NewRegistry(), memory.NewBus(memory.BusOptions{})
	queue := memory.NewQueue(broker.QueueOptions{})
	schedule := memory.NewSchedule(queue)
	end := func() error {
		return errors.Join(schedule.Close(), queue.Close(), bus.Close(), registry.Close(), store.Close())
	}
	table, err = module.New(module.Config{Options: module.DefaultOptions(), Store: store, Registry: registry, Bus: bus, Jobs: queue, Schedule: schedule,
		Settings: folder, Secret: make([]byte, module.MinSecret), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, nil, errors.Join(err, end())
	}
	return table, func() error { table.Close(); return end() }, nil
}
