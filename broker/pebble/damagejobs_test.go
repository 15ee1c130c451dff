package pebble

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"gosper/broker"
)

// What TestFlippedBits writes of jobs, timers and logs, and reads again.

const (
	damageTube    = "flips"
	damageLog     = "log.flips"
	damageJobs    = 400 // every fourth is delayed
	damageBuried  = 60
	damageTimers  = 200
	damageEntries = 300
)

// damageTexts are in rows of jobs, of their changes, of timers, of entries of a log and of a snapshot.
var damageTexts = []string{"body of job", "why it is buried", "body of timer", "entry of log", "part of snapshot"}

func damageJob(i int) string      { return fmt.Sprintf("body of job %06d", i*7919) }
func damageTimer(i int) string    { return fmt.Sprintf("body of timer %06d", i*7919) }
func damageTimerKey(i int) string { return fmt.Sprintf("timer.%06d", i) }
func damageEntry(i int) string    { return fmt.Sprintf("entry of log %06d", i*7919) }
func damageSnapshot() []byte      { return bytes.Repeat([]byte("part of snapshot "), 100) }

// fillDamagedJobs writes the first (0) or the second half (1).
func fillDamagedJobs(t *testing.T, db *DB, half int) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	part := func(n int, do func(i int) error) {
		t.Helper()
		for i := half * n / 2; i < (half+1)*n/2; i++ {
			check(do(i))
		}
	}
	part(damageJobs, func(i int) error {
		o := broker.PutOptions{TTR: time.Hour, Unique: damageJob(i)}
		if i%4 == 0 {
			o.Delay = 24 * time.Hour
		}
		return wait(func(done func(error)) {
			db.Queue().Put(damageTube, []byte(damageJob(i)), o, func(_ uint64, err error) { done(err) })
		})
	})
	part(damageBuried, func(i int) error {
		job, err := reserveNow(db.Queue(), damageTube)
		check(err)
		return wait(func(done func(error)) {
			db.Queue().Bury(job.ID, job.Lease, 1, fmt.Sprintf("why it is buried %d", i), done)
		})
	})
	due := time.Now().Add(24 * time.Hour)
	part(damageTimers, func(i int) error {
		return db.Schedule().Set(within(t), broker.Timer{
			Key: damageTimerKey(i), Group: damageTube, Due: due.Add(time.Duration(i) * time.Second),
			Tube: damageTube, Body: []byte(damageTimer(i)), Put: broker.PutOptions{TTR: time.Hour},
		})
	})
	check(db.Log().SaveSnapshot(within(t), damageLog, 0, uint64(half+1), damageSnapshot()))
	part(damageEntries, func(i int) error {
		return wait(func(done func(error)) {
			db.Log().Append(damageLog, 0, [][]byte{[]byte(damageEntry(i))}, func(_ uint64, err error) { done(err) })
		})
	})
}

// readDamagedJobs lists the jobs of each state, asks for the holders of unique texts, and reserves all that is ready.
func readDamagedJobs(db *DB) error {
	want := make(map[broker.JobState][]int)
	for i, buried := 0, 0; i < damageJobs; i++ {
		switch {
		case i%4 == 0:
			want[broker.JobDelayed] = append(want[broker.JobDelayed], i)
		case buried < damageBuried:
			want[broker.JobBuried] = append(want[broker.JobBuried], i)
			buried++
		default:
			want[broker.JobReady] = append(want[broker.JobReady], i)
		}
	}
	for state, numbers := range want {
		found, err := db.Queue().ListJobs(context.Background(), damageTube, state, 0, 2*damageJobs)
		if err != nil {
			return err
		}
		if len(found) != len(numbers) {
			return fmt.Errorf("%w: %d jobs are %s instead of %d", errWrong, len(found), state, len(numbers))
		}
		for i, n := range numbers {
			if err := sameJob(found[i], n, i); err != nil {
				return err
			}
		}
	}
	return errors.Join(reserveAll(db, want[broker.JobReady]), putAgain(db))
}

// sameJob compares job n, the one that was buried as number th if it is buried.
func sameJob(job broker.Job, n, th int) error {
	reason := ""
	if job.State == broker.JobBuried {
		reason = fmt.Sprintf("why it is buried %d", th)
	}
	if string(job.Body) != damageJob(n) || job.TTR != time.Hour || job.Reason != reason || (job.Delay > 0) != (n%4 == 0) {
		return fmt.Errorf("%w: job %d is %+v", errWrong, n, job)
	}
	return nil
}

func reserveAll(db *DB, ready []int) error {
	for _, n := range ready {
		job, err := reserveNow(db.Queue(), damageTube)
		if errors.Is(err, broker.ErrNotFound) {
			return fmt.Errorf("%w: job %d does not come", errWrong, n)
		}
		if err != nil {
			return err
		}
		if err := sameJob(job, n, 0); err != nil {
			return err
		}
	}
	return nil
}

// putAgain puts jobs whose unique texts are taken.
func putAgain(db *DB) error {
	for i := 0; i < damageJobs; i += damageJobs / 8 {
		err := wait(func(done func(error)) {
			o := broker.PutOptions{Unique: damageJob(i)}
			db.Queue().Put(damageTube, nil, o, func(_ uint64, err error) { done(err) })
		})
		if err == nil {
			return fmt.Errorf("%w: the unique text of job %d is free", errWrong, i)
		}
		if !errors.Is(err, broker.ErrExists) {
			return err
		}
	}
	return nil
}

func readDamagedTimers(db *DB) error {
	ctx := context.Background()
	for _, group := range []string{"", damageTube} {
		found, err := db.Schedule().List(ctx, group, time.Time{}, 2*damageTimers)
		if err != nil {
			return err
		}
		if len(found) != damageTimers || db.Schedule().Pending() != damageTimers {
			return fmt.Errorf("%w: %d timers of group %q, %d pending", errWrong, len(found), group, db.Schedule().Pending())
		}
		for i, timer := range found {
			if timer.Key != damageTimerKey(i) || string(timer.Body) != damageTimer(i) || timer.Tube != damageTube || timer.Group != damageTube {
				return fmt.Errorf("%w: timer %d is %+v", errWrong, i, timer)
			}
		}
	}
	return nil
}

func readDamagedLog(db *DB) error {
	ctx := context.Background()
	entries, err := db.Log().Read(ctx, damageLog, 1, 2*damageEntries)
	if err != nil {
		return err
	}
	if len(entries) != damageEntries {
		return fmt.Errorf("%w: %d entries of the log", errWrong, len(entries))
	}
	for i, e := range entries {
		if e.Seq != uint64(i+1) || string(e.Data) != damageEntry(i) {
			return fmt.Errorf("%w: entry %d is %d %q", errWrong, i, e.Seq, e.Data)
		}
	}
	for want := uint64(1); want <= 2; want++ {
		at, data, err := db.Log().Snapshot(ctx, damageLog, want)
		if err == nil && (at != want || !bytes.Equal(data, damageSnapshot())) || errors.Is(err, broker.ErrNotFound) {
			return fmt.Errorf("%w: snapshot %d is at %d and has %d bytes: %w", errWrong, want, at, len(data), err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
