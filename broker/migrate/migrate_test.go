package migrate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gosper/broker"
	"gosper/broker/jobs"
	"gosper/broker/memory"
	"gosper/broker/pebble"
)

const patience = 30 * time.Second

// lastYear is the clock of the node whose data moves: what it put off for a day is overdue by now.
func lastYear() time.Time { return time.Now().AddDate(-1, 0, 0) }

// source makes a database with something of every kind, lets fill add to it, and opens it again as a move does.
func source(t *testing.T, fill func(db *pebble.DB)) Source {
	t.Helper()
	dir, mail := t.TempDir(), t.TempDir()
	db, err := pebble.Open(dir, pebble.Options{CommitTimeout: time.Minute, Jobs: broker.QueueOptions{Now: lastYear}})
	if err != nil {
		t.Fatal(err)
	}
	fillRecords(t, db.Store())
	fillLogs(t, db.Log())
	fillJobs(t, db.Queue())
	fillTimers(t, db.Schedule())
	for i := range 20 {
		if err := db.Registry().Set(t.Context(), fmt.Sprint("nonce/", i), fmt.Append(nil, "n", i), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if fill != nil {
		fill(db)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a/new/1", "a/cur/2:2,S", "b/tmp/x"} {
		file := filepath.Join(mail, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte("mail "+name), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	db, err = pebble.Open(dir, pebble.Options{CommitTimeout: time.Minute, Jobs: broker.QueueOptions{Now: jobs.Frozen}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return Source{DB: db, Mail: mail}
}

// together calls fn for 0 … n-1 from many goroutines, so that they share fsyncs.
func together(t *testing.T, n int, fn func(i int) error) {
	t.Helper()
	const workers = 64
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			for i := w; i < n; i += workers {
				if err := fn(i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

func fillRecords(t *testing.T, s broker.Store) {
	t.Helper()
	together(t, 1300, func(i int) error {
		value := []byte(strings.Repeat("v", i%7*100) + fmt.Sprint(i))
		if i == 700 {
			value = make([]byte, 700_000)
		}
		_, err := s.Put(t.Context(), fmt.Sprintf("account/%04d", i), value)
		return err
	})
}

// fillLogs makes logs that begin at 1 and in the middle, an empty one that was trimmed, and snapshots.
func fillLogs(t *testing.T, l broker.Log) {
	t.Helper()
	for i, entries := range []int{3, 700, 40} {
		name := fmt.Sprint("game.g", i)
		var data [][]byte
		for k := range entries {
			data = append(data, fmt.Appendf(nil, "entry %d of %d", k+1, i))
		}
		appended(t, l, name, data...)
		for _, at := range []uint64{1, uint64(entries/2 + 1), uint64(entries + 1)} {
			if err := l.SaveSnapshot(t.Context(), name, 0, at, make([]byte, 1000*int(at))); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(l.Trim(t.Context(), "game.g1", 0, 300), l.Trim(t.Context(), "game.g2", 0, 41)); err != nil {
		t.Fatal(err)
	}
}

func appended(t *testing.T, l broker.Log, name string, data ...[]byte) {
	t.Helper()
	done := make(chan error, 1)
	l.Append(name, 0, data, func(_ uint64, err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// fillJobs makes jobs in every state that rests, one of them overdue for long, and one that is reserved.
func fillJobs(t *testing.T, q broker.Queue) {
	t.Helper()
	together(t, 300, func(i int) error {
		o := broker.PutOptions{Priority: uint32(i % 5), TTR: time.Minute + time.Duration(i)*time.Second}
		switch i % 3 {
		case 1:
			o.Delay = time.Duration(i) * time.Hour
		case 2:
			o.Unique = fmt.Sprint("only ", i)
		}
		done := make(chan error, 1)
		q.Put(fmt.Sprint("tube", i%4), fmt.Append(nil, "body ", i), o, func(_ uint64, err error) { done <- err })
		return <-done
	})
	for i := range 40 {
		got := make(chan broker.Job, 1)
		q.Reserve(broker.Reservation{Owner: 1, Tubes: []string{"tube0", "tube2"}, Wait: -1, Got: func(j broker.Job, err error) { got <- j }})
		job := <-got
		done := make(chan error, 1)
		switch i % 3 {
		case 0:
			q.Bury(job.ID, job.Lease, 9, "broken", func(err error) { done <- err })
		case 1:
			q.Release(job.ID, job.Lease, 7, 0, func(err error) { done <- err })
		default:
			continue // reserved until the end
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

// fillTimers sets more timers of one millisecond than a page has.
func fillTimers(t *testing.T, s broker.Schedule) {
	t.Helper()
	far := time.Now().Add(1000 * time.Hour).Truncate(time.Millisecond)
	together(t, 900, func(i int) error {
		due := far.Add(time.Duration(i/600) * time.Hour)
		timer := broker.Timer{Key: fmt.Sprintf("timer/%03d", (i*7)%900), Group: fmt.Sprint("group", i%2), Due: due, Tube: "late",
			Body: fmt.Append(nil, i), Put: broker.PutOptions{Priority: 3, TTR: time.Minute, Unique: fmt.Sprint(i)}}
		return s.Set(t.Context(), timer)
	})
}

// logs begins a log in the middle of a memory engine.
type logs struct{ broker.Log }

func (l logs) Begin(ctx context.Context, name string, first uint64) error {
	next, err := l.Next(ctx, name)
	if err != nil || next >= first {
		return err
	}
	done := make(chan error, 1)
	l.Append(name, 0, make([][]byte, first-1), func(_ uint64, err error) { done <- err })
	return errors.Join(<-done, l.Trim(ctx, name, 0, first))
}

// shelf is Jobs in a slice.
type shelf []jobs.Moved

func (s *shelf) Import(_ context.Context, moved []jobs.Moved) error {
	for _, j := range moved {
		*s = append(*s, j)
	}
	return nil
}

func (s *shelf) Export(_ context.Context, after uint64, limit int) ([]jobs.Moved, error) {
	slices.SortFunc(*s, func(a, b jobs.Moved) int { return int(int64(a.ID) - int64(b.ID)) })
	i, _ := slices.BinarySearchFunc(*s, after+1, func(j jobs.Moved, id uint64) int { return int(int64(j.ID) - int64(id)) })
	return (*s)[i:min(len(*s), i+limit)], nil
}

func target(t *testing.T) Target {
	t.Helper()
	q := memory.NewQueue(broker.QueueOptions{Now: jobs.Frozen})
	t.Cleanup(func() { q.Close() })
	return Target{Store: memory.NewStore(), Logs: logs{memory.NewLog()}, Jobs: &shelf{}, Schedule: memory.NewSchedule(q), Keys: memory.NewRegistry(),
		Mail: filepath.Join(t.TempDir(), "mail")}
}

// Goal: everything is there afterwards, by count and hash, and a second run says so and does nothing. Method: a database
// with every kind of thing, engines in memory as the target.
func TestMove(t *testing.T) {
	from, to := source(t, nil), target(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	report, err := Run(ctx, from, to, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		name  string
		count uint64
	}{{"records", 1300}, {"logs", 3}, {"jobs", 300}, {"timers", 900}, {"keys", 20}, {"mail files", 3}} {
		k := report.Kinds[i]
		if k.Name != want.name || k.Source.Count != want.count || k.Source != k.Target || k.Written != want.count {
			t.Errorf("%+v, want %v", k, want)
		}
	}
	timers, err := to.Schedule.List(ctx, "group1", time.Time{}, 10)
	if err != nil || len(timers) != 10 || timers[0].Put.Unique == "" {
		t.Errorf("%v, %v", timers, err)
	}
	if report, err := Run(ctx, from, to, Options{}); err != nil || !report.Complete || len(report.Kinds) > 0 {
		t.Errorf("again: %+v, %v", report, err)
	}
}

// breaking is a Store that fails once after some commits.
type breaking struct {
	broker.Store
	left int
}

var errBroken = errors.New("the network is away")

func (b *breaking) Commit(ctx context.Context, ops ...broker.Op) ([]uint64, error) {
	if b.left--; b.left < 0 {
		return nil, errBroken
	}
	return b.Store.Commit(ctx, ops...)
}

// Goal: a run that ended in the middle is taken up by the next, which writes the rest only. Method: the store breaks after
// some commits; then parts of each kind are there.
func TestResume(t *testing.T) {
	from, to := source(t, nil), target(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	whole := to.Store
	to.Store = &breaking{whole, 4}
	if _, err := Run(ctx, from, to, Options{}); !errors.Is(err, errBroken) {
		t.Fatal(err)
	}
	to.Store = whole
	half := &mover{Options: Options{Progress: func(string, uint64, string) {}}, from: from, to: to}
	if err := to.Logs.Begin(ctx, "game.g1", 300); err != nil {
		t.Fatal(err)
	}
	if _, err := half.copyEntries(ctx, "game.g1", 300); err != nil {
		t.Fatal(err)
	}
	some, err := from.DB.Queue().Export(ctx, 100, 50)
	if err != nil || len(some) != 50 {
		t.Fatal(len(some), err)
	}
	if err := to.Jobs.Import(ctx, some); err != nil {
		t.Fatal(err)
	}
	report, err := Run(ctx, from, to, Options{})
	if err != nil {
		t.Fatal(err)
	}
	written := map[string]uint64{}
	for _, k := range report.Kinds {
		written[k.Name] = k.Written
	}
	if written["records"] == 1300 || written["records"] == 0 || written["jobs"] != 250 || written["timers"] != 900 {
		t.Errorf("%v", written)
	}
}

// Goal: a target that is in use is refused, whatever is in it. Method: one thing of each kind, the mark of another source,
// and a record that appears after the mark.
func TestNotEmpty(t *testing.T) {
	from := source(t, nil)
	for name, use := range map[string]func(to Target) error{
		"record": func(to Target) error { _, err := to.Store.Put(t.Context(), "x", nil); return err },
		"job":    func(to Target) error { return to.Jobs.Import(t.Context(), []jobs.Moved{{Job: broker.Job{ID: 1}}}) },
		"timer": func(to Target) error {
			return to.Schedule.Set(t.Context(), broker.Timer{Key: "k", Tube: "x", Due: time.Now()})
		},
		"mark": func(to Target) error {
			_, err := to.Store.Put(t.Context(), markKey, []byte(`{"source":"other"}`))
			return err
		},
		"later": func(to Target) error {
			m := &mover{from: from, to: to}
			err := m.identify(t.Context())
			if err == nil {
				_, err = m.claim(t.Context())
			}
			_, fault := to.Store.Put(t.Context(), "account/0500x", nil)
			return errors.Join(err, fault)
		},
		"log": func(to Target) error {
			appended(t, to.Logs, "game.g0", make([][]byte, 5)...)
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			to := target(t)
			if err := use(to); err != nil {
				t.Fatal(err)
			}
			if _, err := Run(t.Context(), from, to, Options{}); !errors.Is(err, ErrNotEmpty) {
				t.Errorf("%v", err)
			}
		})
	}
}

// liar loses one job of each page.
type liar struct{ shelf }

func (l *liar) Import(ctx context.Context, moved []jobs.Moved) error {
	return l.shelf.Import(ctx, moved[1:])
}

// Goal: a difference is found at the end, and the mark does not say complete. Method: a target that loses jobs.
func TestDiffers(t *testing.T) {
	from, to := source(t, nil), target(t)
	to.Jobs = &liar{}
	report, err := Run(t.Context(), from, to, Options{})
	if !errors.Is(err, ErrDiffers) || report.Kinds[2].Same() {
		t.Errorf("%v", err)
	}
	to.Jobs = &shelf{}
	if report, err := Run(t.Context(), from, to, Options{}); err != nil || report.Complete || report.Kinds[0].Written != 0 {
		t.Errorf("%+v, %v", report, err)
	}
}

// Goal: a dry run writes nothing and counts the source; kinds that stay say so. Method: a target without keys and folder.
func TestDryRun(t *testing.T) {
	from, to := source(t, nil), target(t)
	to.Keys, to.Mail = nil, ""
	report, err := Run(t.Context(), from, to, Options{DryRun: true})
	if err != nil || len(report.Kinds) != 6 || report.Kinds[0].Source.Count != 1300 || !report.Kinds[4].Left || !report.Kinds[5].Left {
		t.Fatalf("%+v, %v", report, err)
	}
	if records, _ := to.Store.List(t.Context(), "", "", 10); len(records) > 0 {
		t.Errorf("written: %v", records)
	}
}

// Goal: reading a node's data changes nothing of it: what is overdue stays what it is. Method: export before and after a
// move, with a delay and a timer that ended long ago.
func TestSourceStays(t *testing.T) {
	from := source(t, func(db *pebble.DB) {
		put := make(chan error, 1)
		db.Queue().Put("soon", []byte("x"), broker.PutOptions{Delay: time.Hour}, func(_ uint64, err error) { put <- err })
		if err := errors.Join(<-put, db.Schedule().Set(t.Context(), broker.Timer{Key: "past", Tube: "soon", Due: lastYear().Add(time.Hour)})); err != nil {
			t.Fatal(err)
		}
	})
	read := func() (all []jobs.Moved) {
		if err := eachJobs(t.Context(), from.DB.Queue(), func(page []jobs.Moved) error { all = append(all, page...); return nil }); err != nil {
			t.Fatal(err)
		}
		return all
	}
	before := read()
	if _, err := Run(t.Context(), from, target(t), Options{}); err != nil {
		t.Fatal(err)
	}
	if after := read(); !reflect.DeepEqual(before, after) || len(after) != 301 || after[300].State != broker.JobDelayed {
		t.Errorf("%d jobs before, %d after, the last %+v", len(before), len(after), after[len(after)-1])
	}
	if timer, err := from.DB.Schedule().Get(t.Context(), "past"); err != nil {
		t.Errorf("%+v, %v", timer, err)
	}
}
