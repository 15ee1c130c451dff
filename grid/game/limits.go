package game

import (
	"fmt"
	"strconv"
	"time"
)

// Limits holds every bound of the games of a node. DefaultLimits gives the defaults, LimitsTable describes each field.
// The memory of all grids is bounded by Config.Budget.
type Limits struct {
	Games              int
	GamesUser          int
	GridsGame          int
	UsersGame          int
	GridSide           int
	IntervalMin        time.Duration
	IntervalMax        time.Duration
	EditsUser          int
	EditsGame          int
	EditsRequest       int
	CellsRequest       int
	StepGenerations    int
	Backlog            int
	Views              int
	TextCells          int
	SnapshotCells      int
	CommitWait         time.Duration
	RelaxedBytes       int
	MarkEvery          time.Duration
	HashEvery          time.Duration
	SnapshotGeneration int
	SnapshotBytes      int
	HistorySnapshots   int
	HistoryBytes       int
	IdleEnd            time.Duration
}

// Limit describes one field of Limits for configuration, documentation and metrics. Name is the configuration key and
// the value of the label limit of gosper_game_limit_hits_total, which counts how often the limit was met.
type Limit struct {
	Name    string
	Unit    string // "count", "cells", "bytes", "per second", "time"
	Default string
	Doc     string // one sentence
	Code    string // what happens to who exceeds it
	Min     int64  // smallest allowed value, in units or nanoseconds
	Max     int64

	field func(*Limits) any // *int or *time.Duration
	def   int64
}

func count(name, unit string, def, min, max int, field func(*Limits) *int, doc, code string) Limit {
	return Limit{Name: name, Unit: unit, Default: strconv.Itoa(def), Doc: doc, Code: code, Min: int64(min), Max: int64(max),
		field: func(l *Limits) any { return field(l) }, def: int64(def)}
}

func span(name string, def, min, max time.Duration, field func(*Limits) *time.Duration, doc, code string) Limit {
	return Limit{Name: name, Unit: "time", Default: def.String(), Doc: doc, Code: code, Min: int64(min), Max: int64(max),
		field: func(l *Limits) any { return field(l) }, def: int64(def)}
}

const (
	refused  = "refused: 1010"
	outRange = "refused: 1009"
	much     = "refused: 1003"
	busy     = "refused: 1300, try again"
	nobody   = "nobody is refused"

	manyCount = 1 << 20
	manyBytes = 1 << 30
	day       = 24 * time.Hour
)

var limitTable = []Limit{
	count("games", "count", 10_000, 0, manyCount, func(l *Limits) *int { return &l.Games }, "games of a node", refused),
	count("games_user", "count", 16, 1, manyCount, func(l *Limits) *int { return &l.GamesUser }, "games that one user owns", refused),
	count("grids_game", "count", 8, 1, 1024, func(l *Limits) *int { return &l.GridsGame }, "grids of one game", outRange),
	count("users_game", "count", MaxUsers, 1, MaxUsers, func(l *Limits) *int { return &l.UsersGame },
		"users of one game who have not left; a grid with owners may allow fewer", refused),
	count("grid_side", "cells", 16_384, 1, 1<<24, func(l *Limits) *int { return &l.GridSide }, "largest width and height of a grid", outRange),
	span("interval_min", 10*time.Millisecond, time.Millisecond, time.Hour, func(l *Limits) *time.Duration { return &l.IntervalMin },
		"shortest time between two generations", outRange),
	span("interval_max", 9_999_999*time.Millisecond, time.Millisecond, day, func(l *Limits) *time.Duration { return &l.IntervalMax },
		"longest time between two generations", outRange),
	count("edits_user", "per second", 2_000, 1, manyBytes, func(l *Limits) *int { return &l.EditsUser },
		"edits a second of one user in one game, twice as many at once; 64 cells of a pattern count as one edit more", refused),
	count("edits_game", "per second", 50_000, 1, manyBytes, func(l *Limits) *int { return &l.EditsGame },
		"edits a second of one game, twice as many at once", refused),
	count("edits_request", "count", 1_000, 1, manyCount, func(l *Limits) *int { return &l.EditsRequest }, "edits of one request", much),
	count("cells_request", "cells", 100_000, 1, manyCount, func(l *Limits) *int { return &l.CellsRequest },
		"cells of the patterns of one request, an import included", much),
	count("step_generations", "count", 100, 1, 100_000, func(l *Limits) *int { return &l.StepGenerations },
		"generations that one step of a paused game may ask for", outRange),
	count("edit_backlog", "count", 50_000, 1, manyCount, func(l *Limits) *int { return &l.Backlog },
		"edits of one game that wait for the log", busy),
	count("views_game", "count", 64, 0, 4096, func(l *Limits) *int { return &l.Views }, "different rectangles that are watched in one game", refused),
	count("text_cells", "cells", 1<<20, 1, 1<<28, func(l *Limits) *int { return &l.TextCells },
		"largest grid, or view of one, that can be watched as text", refused),
	count("live_cells", "cells", 1<<22, 1, 1<<28, func(l *Limits) *int { return &l.SnapshotCells },
		"live cells of a grid that an export writes", much),
	span("commit_wait", 2*time.Second, 10*time.Millisecond, time.Minute, func(l *Limits) *time.Duration { return &l.CommitWait },
		"how long edits may hold up ticks while they become durable", "the edits are refused with an unknown outcome; the game goes on"),
	count("relaxed_bytes", "bytes", 1<<20, 1<<10, manyBytes, func(l *Limits) *int { return &l.RelaxedBytes },
		"edits of one game of relaxed durability that are on the grid and not in the log yet", busy),
	span("mark_every", time.Second, 10*time.Millisecond, time.Hour, func(l *Limits) *time.Duration { return &l.MarkEvery },
		"a running game notes its generation in its log this often: what a crash can set it back", nobody),
	span("hash_every", 2*time.Second, 100*time.Millisecond, time.Hour, func(l *Limits) *time.Duration { return &l.HashEvery },
		"watchers who compute generations themselves get a hash this often", nobody),
	count("snapshot_generations", "count", 256, 1, manyBytes, func(l *Limits) *int { return &l.SnapshotGeneration },
		"generations after which a game saves a snapshot: what a restart has to compute again", nobody),
	count("snapshot_bytes", "bytes", 1<<20, 1<<10, manyBytes, func(l *Limits) *int { return &l.SnapshotBytes },
		"log after which a game saves a snapshot: what a restart has to read again", nobody),
	count("history_snapshots", "count", 256, 1, 4096, func(l *Limits) *int { return &l.HistorySnapshots },
		"snapshots kept to look back from", "the oldest history is dropped"),
	count("history_bytes", "bytes", 32<<20, 1<<16, manyBytes, func(l *Limits) *int { return &l.HistoryBytes },
		"log and snapshots kept of one game", "the oldest history is dropped"),
	span("idle_end", 7*day, time.Minute, 365*day, func(l *Limits) *time.Duration { return &l.IdleEnd },
		"a game that is not persistent ends when nobody asked or watched for so long", "the game ends"),
}

// DefaultLimits returns the default of every limit.
func DefaultLimits() Limits {
	var l Limits
	for i := range limitTable {
		limitTable[i].set(&l, limitTable[i].def)
	}
	return l
}

// LimitsTable describes all limits in the order of Limits. The caller owns the slice.
func LimitsTable() []Limit { return append([]Limit(nil), limitTable...) }

func (d *Limit) set(l *Limits, v int64) {
	switch p := d.field(l).(type) {
	case *int:
		*p = int(v)
	case *time.Duration:
		*p = time.Duration(v)
	}
}

func (d *Limit) value(l *Limits) int64 {
	switch p := d.field(l).(type) {
	case *int:
		return int64(*p)
	case *time.Duration:
		return int64(*p)
	}
	return 0
}

// Field returns a pointer to the limit's field of l, an *int or a *time.Duration, for flags.
func (d *Limit) Field(l *Limits) any { return d.field(l) }

// Validate names the first limit that is out of its range.
func (l Limits) Validate() error {
	for i := range limitTable {
		d := &limitTable[i]
		if v := d.value(&l); v < d.Min || v > d.Max {
			return fmt.Errorf("limit %s is out of its range", d.Name)
		}
	}
	if l.IntervalMin > l.IntervalMax {
		return fmt.Errorf("limit interval_min is above interval_max")
	}
	return nil
}

// LimitError is what wraps ErrLimit: which limit, its value and what was asked for.
type LimitError struct {
	Limit string // Name of LimitsTable
	Most  int64
	Asked int64
}

// Error names the limit and both figures.
func (e *LimitError) Error() string {
	return fmt.Sprintf("%v: %s is %d, this would make %d", ErrLimit, e.Limit, e.Most, e.Asked)
}

// Unwrap returns ErrLimit.
func (e *LimitError) Unwrap() error { return ErrLimit }

// within returns a *LimitError and counts it when asked is above most.
func within(name string, asked, most int) error {
	if asked <= most {
		return nil
	}
	limitHit(name)
	return &LimitError{Limit: name, Most: int64(most), Asked: int64(asked)}
}
