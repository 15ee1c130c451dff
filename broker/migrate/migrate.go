// Package migrate copies what a stopped node has kept to engines that several nodes share: records, logs with their
// snapshots, jobs, timers, short-lived keys and the files of mail. Everything that can be the same afterwards is: keys and
// values, numbers of log entries, states and counters of jobs, due times. Revisions of records and, where the engine hands
// them out, ids of jobs are the target's own; no record of a node names either.
//
// # A run can be repeated
//
// A run leaves its mark in the target first: the number of the source's database. Each step compares before it writes and
// writes what is missing, so a run that was ended anywhere is begun again from the start and soon is where it was. A
// target that holds anything without the mark of this source is refused. A mark that says that the move is complete ends the run,
// since nodes may have changed what they found.
//
// Neither side's clock moves meanwhile (jobs.Frozen): no timer fires and no delay ends in the middle of a move.
//
// # Verification
//
// At the end both sides are read again. Count, bytes and a SHA-256 of each kind are compared; only then the mark says that
// the move is complete.
package migrate

import (
	"context"
	"errors"
	"fmt"

	"gosper/broker"
	"gosper/broker/jobs"
	"gosper/broker/pebble"
)

// Source is what is read. It must not change meanwhile.
type Source struct {
	DB   *pebble.DB // opened with jobs.Frozen
	Mail string     // folder of mailboxes; "" for none
}

// Logs is a broker.Log that can begin a log in the middle.
type Logs interface {
	broker.Log
	// Begin makes an empty log whose next entry gets Seq first. A log that has entries already is left as it is.
	Begin(ctx context.Context, log string, first uint64) error
}

// Jobs is a queue that takes jobs as another engine had them.
type Jobs interface {
	// Import writes jobs with their states and counters, in this order; the caller names none twice. They may get other
	// ids; the engine remembers those they had.
	Import(ctx context.Context, moved []jobs.Moved) error
	// Export returns the jobs by the ids they had before they moved: those above after, in their order, at most limit.
	// after 0 begins a walk, of which later calls are the rest.
	Export(ctx context.Context, after uint64, limit int) ([]jobs.Moved, error)
}

// Target is what is written.
type Target struct {
	Store    broker.Store
	Logs     Logs
	Jobs     Jobs
	Schedule broker.Schedule
	Keys     broker.Registry // nil: short-lived keys are left behind
	Mail     string          // folder of mailboxes; "" leaves the files where they are
}

// Kind is one kind of thing that moves, with what both sides have of it.
type Kind struct {
	Name       string `json:"name"` // records, logs, …
	Source     Sum    `json:"source"`
	Target     Sum    `json:"target"`
	Written    uint64 `json:"written"`                // things written by this run; the others were there
	Left       bool   `json:"left,omitempty"`         // this kind was not to be moved
	WhatIsLeft string `json:"what_is_left,omitempty"` // why, in words
}

// Same reports whether both sides have the same.
func (k *Kind) Same() bool { return k.Left || k.Source == k.Target }

// Report is what a run found and did.
type Report struct {
	Kinds    []*Kind `json:"kinds"`
	Complete bool    `json:"complete,omitempty"` // the mark said so before: nothing was done
}

// Options of a run.
type Options struct {
	DryRun   bool                                        // only count and look
	Progress func(kind string, done uint64, what string) // may be nil; called often
}

// Errors of a run.
var (
	ErrNotEmpty = errors.New("the target is not empty")
	ErrDiffers  = errors.New("source and target differ")
)

// mover is one run.
type mover struct {
	Options
	from Source
	to   Target
	id   string // of the source
}

// Run copies and verifies. The report is returned with an error too, as far as it is known. A dry run fills in the side of
// the source only.
func Run(ctx context.Context, from Source, to Target, o Options) (*Report, error) {
	m := &mover{Options: o, from: from, to: to}
	if m.Progress == nil {
		m.Progress = func(string, uint64, string) {}
	}
	report := &Report{}
	if err := m.identify(ctx); err != nil {
		return report, err
	}
	if !o.DryRun {
		complete, err := m.claim(ctx)
		if report.Complete = complete; err != nil || complete {
			return report, err
		}
	}
	for _, one := range m.movers() {
		kind := &Kind{Name: one.name}
		report.Kinds = append(report.Kinds, kind)
		if kind.WhatIsLeft = one.left; one.left != "" {
			kind.Left = true
		}
		if err := m.move(ctx, one, kind); err != nil {
			return report, fmt.Errorf("%s: %w", one.name, err)
		}
	}
	if o.DryRun {
		return report, nil
	}
	for _, k := range report.Kinds {
		if !k.Same() {
			return report, fmt.Errorf("%w: %s: %d there, %d here", ErrDiffers, k.Name, k.Source.Count, k.Target.Count)
		}
	}
	return report, m.finish(ctx)
}

// kindMover moves one kind.
type kindMover struct {
	name string
	left string                                                // why this kind stays, "" when it moves
	copy func(ctx context.Context) (written uint64, err error) // writes what is missing
	sum  func(ctx context.Context, target bool) (Sum, error)
}

func (m *mover) movers() []kindMover {
	keys, mail := "", ""
	if m.to.Keys == nil {
		keys = "without --registry they stay: nonces, codes, and invitations to families must be made again"
	}
	if m.to.Mail == "" {
		mail = "the files stay where they are: give all nodes that folder as --mail-dir"
	}
	return []kindMover{
		{"records", "", m.copyRecords, m.sumRecords},
		{"logs", "", m.copyLogs, m.sumLogs},
		{"jobs", "", m.copyJobs, m.sumJobs},
		{"timers", "", m.copyTimers, m.sumTimers},
		{"keys", keys, m.copyKeys, m.sumKeys},
		{"mail files", mail, m.copyMail, m.sumMail},
	}
}

func (m *mover) move(ctx context.Context, one kindMover, kind *Kind) (err error) {
	moves := !m.DryRun && !kind.Left
	if moves {
		if kind.Written, err = one.copy(ctx); err != nil {
			return err
		}
	}
	if kind.Source, err = one.sum(ctx, false); err != nil || !moves {
		return err
	}
	kind.Target, err = one.sum(ctx, true)
	return err
}
