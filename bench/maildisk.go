package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"gosper/broker/maildir"
	"gosper/broker/post"
)

// syncedDeliveries returns how many mails a second all senders deliver, each to a box of its own, when every delivery is
// durable by itself: file and folder are synced before the next.
func syncedDeliveries(ctx context.Context, root string, d time.Duration, body string) (perSecond float64, err error) {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return 0, err
	}
	top, err := os.OpenRoot(root)
	if err != nil {
		return 0, err
	}
	defer top.Close()
	names := maildir.NewNamer("")
	return inParallel(ctx, mailSenders, d, func(worker int) (func() error, func() error, error) {
		dir, err := maildir.Make(top, fmt.Sprint(worker))
		if err != nil {
			return nil, nil, err
		}
		deliver := func() error {
			_, err := dir.Put(names.Unique(time.Now()), names.Unique(time.Now()), mailBytes(body))
			return errors.Join(err, dir.Sync(maildir.FolderNew))
		}
		return deliver, dir.Close, nil
	})
}

// mailBytes is a file of about the size that the office writes.
func mailBytes(body string) []byte {
	return []byte("time: 2026-01-01 00:00:00\ntype: 0\nfrom: system\nsubj: SYSTEM_REWARD\nkey: 6442f0a1b2c3d-AAAAAAAAAAAAAAAAAAAAAA\n" +
		"date: Thu, 01 Jan 2026 00:00:00 +0000\n\n" + body)
}

// diskDeliveries returns how many files a second the disk itself takes with as many workers as an office has: a file is made
// and synced, and after each batch of them their folder is. Nothing else is done, no link, no index.
func diskDeliveries(ctx context.Context, root string, d time.Duration, batch float64, body string) (perSecond float64, err error) {
	return inParallel(ctx, post.DefaultWorkers, d, func(worker int) (func() error, func() error, error) {
		path := filepath.Join(root, fmt.Sprint(worker))
		if err := os.MkdirAll(path, 0o700); err != nil {
			return nil, nil, err
		}
		n, due := 0, batch
		deliver := func() error {
			n++
			err := makeSynced(filepath.Join(path, fmt.Sprint(n)), mailBytes(body))
			if err != nil || float64(n) < due {
				return err
			}
			due += batch
			return syncPath(path)
		}
		return deliver, func() error { return nil }, nil
	})
}

func makeSynced(name string, content []byte) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncPath(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// inParallel has workers do something for a time and returns how often a second they did. begin prepares one worker.
func inParallel(ctx context.Context, workers int, d time.Duration, begin func(worker int) (do, end func() error, err error)) (perSecond float64, err error) {
	var mu sync.Mutex
	var work sync.WaitGroup
	var count atomic.Int64
	ready := make(chan struct{})
	var start, until time.Time
	var prepared sync.WaitGroup
	prepared.Add(workers)
	for w := range workers {
		work.Go(func() {
			do, end, fault := begin(w)
			prepared.Done()
			<-ready
			for fault == nil && ctx.Err() == nil && time.Now().Before(until) {
				if fault = do(); fault == nil {
					count.Add(1)
				}
			}
			if end != nil {
				fault = errors.Join(fault, end())
			}
			mu.Lock()
			defer mu.Unlock()
			err = errors.Join(err, fault)
		})
	}
	prepared.Wait()
	start = time.Now()
	until = start.Add(d)
	close(ready)
	work.Wait()
	return float64(count.Load()) / time.Since(start).Seconds(), errors.Join(err, ctx.Err())
}
