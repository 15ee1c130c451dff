package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	vm "github.com/VictoriaMetrics/metrics"

	"gosper/broker/pebble"
	"gosper/broker/post"
)

func init() {
	Register(Scenario{
		Name:    "mail",
		Summary: "mailboxes: accepting against synced Maildir deliveries, the files that follow against the disk, listing",
		Run:     runMail,
	})
}

const (
	mailSenders    = 256
	mailBoxes      = 256
	mailBody       = 256 // bytes; a file of about 500
	mailCount      = 20_000
	mailCountQuick = 1_000
	mailLists      = 500
)

// mailBench is one run of the scenario.
type mailBench struct {
	r      *Run
	dir    string
	body   string
	count  int
	series map[string][]float64
}

func runMail(ctx context.Context, r *Run) error {
	if r.Target != "self" {
		return errors.New("target: the mail scenario measures inside its own process")
	}
	dir, err := os.MkdirTemp("", "gosper-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &mailBench{r: r, dir: dir, body: strings.Repeat("x", mailBody), count: mailCount, series: map[string][]float64{}}
	if r.Quick {
		b.count = mailCountQuick
	}
	r.Setting("senders", mailSenders)
	r.Setting("boxes", mailBoxes)
	r.Setting("body_bytes", mailBody)
	r.Setting("mails", b.count)
	r.Setting("workers", post.DefaultWorkers)
	r.Setting("durability", "fsync before each answer; files: fsync of the file and of its folder")
	for turn := range r.Repeat {
		r.Step(float64(turn)/float64(r.Repeat), "turn %d of %d", turn+1, r.Repeat)
		if err = b.turn(ctx, turn); err != nil {
			break
		}
	}
	for _, name := range []string{"accepts_per_s", "accept_p50_us", "accept_p99_us", "deliveries_per_s", "synced_per_s", "disk_per_s", "mails_per_folder_sync", "list_ms", "list_p99_ms", "list_changed_ms"} {
		r.Series(name, b.series[name])
	}
	for _, name := range []string{"accept_vs_synced", "vs_disk"} {
		r.RatioSeries(name, b.series[name])
	}
	return err
}

func (b *mailBench) note(name string, value float64) {
	b.series[name] = append(b.series[name], value)
}

// turn measures all sides once.
func (b *mailBench) turn(ctx context.Context, turn int) error {
	dir := filepath.Join(b.dir, fmt.Sprint(turn))
	synced, err := syncedDeliveries(ctx, filepath.Join(dir, "synced"), b.r.Slice()/4, b.body)
	if err != nil {
		return err
	}
	db, err := pebble.Open(filepath.Join(dir, "store"), pebble.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	office, err := post.Open(post.Options{Root: filepath.Join(dir, "mail"), Store: db.Store(), BoxLimit: post.MaxBoxLimit})
	if err != nil {
		return errors.Join(err, db.Close())
	}
	err = b.load(ctx, office, dir, synced)
	if err == nil {
		err = b.lists(ctx, office, filepath.Join(dir, "mail"))
	}
	return errors.Join(err, office.Close(), db.Close(), os.RemoveAll(dir))
}

// Counters of the office, which has no other clock that tells when the files have followed.
var (
	mailsFiled  = vm.GetOrCreateCounter("gosper_post_filed_total")
	folderSyncs = vm.GetOrCreateCounter("gosper_post_folder_syncs_total")
)

// load accepts mails as fast as it can, waits until all are files, and compares with what the disk does.
func (b *mailBench) load(ctx context.Context, office *post.Office, dir string, synced float64) error {
	if _, err := b.accept(ctx, office, mailBoxes, newLatencies()); err != nil { // makes the boxes
		return err
	}
	if err := follow(ctx, mailsFiled.Get(), 0); err != nil {
		return err
	}
	filed, syncs, lat := mailsFiled.Get(), folderSyncs.Get(), newLatencies()
	seconds, err := b.accept(ctx, office, b.count, lat)
	if err != nil {
		return err
	}
	early, start := mailsFiled.Get(), time.Now()
	if err := follow(ctx, filed, b.count); err != nil {
		return err
	}
	followed := float64(filed+uint64(b.count)-early) / time.Since(start).Seconds()
	batch := float64(b.count) / float64(folderSyncs.Get()-syncs)
	disk, err := diskDeliveries(ctx, filepath.Join(dir, "disk"), b.r.Slice()/4, batch, b.body)
	if err != nil {
		return err
	}
	b.note("accepts_per_s", float64(b.count)/seconds)
	b.note("accept_p50_us", lat.quantile(0.5))
	b.note("accept_p99_us", lat.quantile(0.99))
	b.note("deliveries_per_s", followed)
	b.note("mails_per_folder_sync", batch)
	b.note("synced_per_s", synced)
	b.note("disk_per_s", disk)
	b.note("accept_vs_synced", float64(b.count)/seconds/synced)
	b.note("vs_disk", followed/disk)
	return b.balance(ctx, office)
}

// accept sends mails from all senders and returns how long that took.
func (b *mailBench) accept(ctx context.Context, office *post.Office, count int, lat latencies) (seconds float64, err error) {
	var mu sync.Mutex
	var next atomic.Int64
	var work sync.WaitGroup
	start := time.Now()
	for range mailSenders {
		work.Go(func() {
			var took []time.Duration
			fault := error(nil)
			for i := next.Add(1); i <= int64(count) && fault == nil && ctx.Err() == nil; i = next.Add(1) {
				begun := time.Now()
				_, fault = office.Send(ctx, mailBox(int(i)), post.Mail{From: "system", Subject: "SYSTEM_REWARD", Body: b.body, Time: begun})
				took = append(took, time.Since(begun))
			}
			mu.Lock()
			defer mu.Unlock()
			err = errors.Join(err, fault)
			for _, d := range took {
				lat.add(d)
			}
		})
	}
	work.Wait()
	return time.Since(start).Seconds(), errors.Join(err, ctx.Err())
}

func mailBox(i int) post.Box { return post.Box{World: "0", UID: fmt.Sprint("u", i%mailBoxes)} }

// followPoll is how often the progress of the files is looked at.
const followPoll = time.Millisecond

// follow waits until so many mails have become files since the counter stood at from.
func follow(ctx context.Context, from uint64, count int) error {
	for tick := time.NewTicker(followPoll); ; {
		if mailsFiled.Get() >= from+uint64(count) {
			tick.Stop()
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			return ctx.Err()
		}
	}
}

// balance counts the mails of all boxes.
func (b *mailBench) balance(ctx context.Context, office *post.Office) error {
	found, seen, doubled := uint64(0), map[string]bool{}, uint64(0)
	for i := range mailBoxes {
		mails, err := office.Peek(ctx, mailBox(i))
		if err != nil {
			return err
		}
		for _, m := range mails {
			if seen[m.Key] {
				doubled++
			}
			seen[m.Key] = true
		}
	}
	found = uint64(len(seen))
	sent := uint64(b.count + mailBoxes)
	b.r.Balance(sent, found, sent-min(sent, found), doubled)
	return nil
}

// lists measures how long a full box takes: at rest, where the index answers, and just after a change, when its folder is
// read.
func (b *mailBench) lists(ctx context.Context, office *post.Office, root string) error {
	box := post.Box{World: "1", UID: "full"}
	for range post.DefaultBoxLimit {
		if _, err := office.Send(ctx, box, post.Mail{From: "system", Body: b.body}); err != nil {
			return err
		}
	}
	if _, err := office.All(ctx, box); err != nil {
		return err
	}
	changed, rest := newLatencies(), newLatencies()
	if err := listOften(ctx, office, box, changed); err != nil {
		return err
	}
	past := time.Now().Add(-time.Hour) // as if nothing had changed for an hour
	for _, folder := range []string{"new", "cur"} {
		if err := os.Chtimes(filepath.Join(root, ".1", ".full", folder), past, past); err != nil {
			return err
		}
	}
	if _, err := office.All(ctx, box); err != nil {
		return err
	}
	if err := listOften(ctx, office, box, rest); err != nil {
		return err
	}
	b.note("list_ms", rest.quantile(0.5)/1000)
	b.note("list_p99_ms", rest.quantile(0.99)/1000)
	b.note("list_changed_ms", changed.quantile(0.5)/1000)
	return nil
}

func listOften(ctx context.Context, office *post.Office, box post.Box, lat latencies) error {
	for range mailLists {
		start := time.Now()
		mails, err := office.All(ctx, box)
		if err != nil {
			return err
		}
		if lat.add(time.Since(start)); len(mails) != post.DefaultBoxLimit {
			return fmt.Errorf("a full box lists %d mails", len(mails))
		}
	}
	return nil
}
