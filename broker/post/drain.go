package post

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"gosper/broker"
	"gosper/broker/maildir"
)

// Bounds of the work on the spool.
const (
	maxBatch      = 64               // mails of one box that become files before their folder is synced
	maxBatchBytes = 1 << 20          // and their bytes, beyond the last
	maxCommit     = 4 << 20          // bytes of files that the Store is told of at once
	sweepEvery    = 30 * time.Second // how often the spool is searched for mails that nobody has queued
	sweepShared   = 2 * time.Second  // the same when nodes share it
	sweepAge      = 3 * time.Second  // a mail of another node is left to it for so long
	retryAfter    = time.Second      // the same after an error, or when the queue was full
	finishTime    = 10 * time.Second // for a commit of the finisher
)

// filing is mails of one box that have become files, and what the Store must be told. The desk's work goes with it.
type filing struct {
	desk  *desk
	keys  []string
	ops   []broker.Op
	bytes int
	more  bool // the spool may hold more of this box

	resumed bool // some of the mails were files already
}

// enqueue has a worker look at a box.
func (o *Office) enqueue(d *desk) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if d.queued || o.closed {
		return
	}
	select {
	case o.queue <- d:
		d.queued = true
		d.holders++
	default:
		o.again()
	}
}

// again has the feeder search the spool soon.
func (o *Office) again() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// worker files the mails of one box after the other.
func (o *Office) worker() {
	for {
		select {
		case <-o.ctx.Done():
			return
		case d := <-o.queue:
			o.giveWay()
			o.mu.Lock()
			d.queued = false
			o.mu.Unlock()
			o.drain(d)
		}
	}
}

// Files give way to a burst of mails, which is durable without them: a worker waits for its end, but not for long.
const (
	busySends = 16                     // calls of Send under way at a time that count as a burst
	patience  = 200 * time.Millisecond // longest wait for its end before each batch
	glance    = 5 * time.Millisecond   // how often a worker looks
)

// giveWay waits while there is a burst.
func (o *Office) giveWay() {
	if o.sending.Load() < busySends {
		return
	}
	tick := time.NewTicker(glance)
	defer tick.Stop()
	for end := time.Now().Add(patience); o.sending.Load() >= busySends && time.Now().Before(end); {
		select {
		case <-tick.C:
		case <-o.ctx.Done():
			return
		}
	}
}

// drain files a batch of a box and hands it, with the lock of the desk, to the finisher.
func (o *Office) drain(d *desk) {
	if d.lock(o.ctx) != nil {
		o.drop(d)
		return
	}
	f, err := o.file(o.ctx, d)
	if err != nil && o.ctx.Err() == nil {
		fileErrors.Inc()
		o.log.Error("mails stay in the spool", "world", d.box.World, "account", d.box.UID, "error", err)
		o.again()
	}
	if len(f.keys) == 0 {
		d.unlock()
		o.drop(d)
		return
	}
	o.filings <- f
}

// file makes files of a box's spooled mails, the oldest first, at most a batch. What it returns is on disk, also with an
// error. REQUIRES: work.
func (o *Office) file(ctx context.Context, d *desk) (f filing, err error) {
	f.desk = d
	records, err := o.spool(ctx, d)
	if err == nil && (len(records) > 0 || o.options.Shared) { // after the spool: what another node has just taken out of it is a file
		err = o.look(ctx, d)
	}
	if err != nil || len(records) == 0 {
		return f, err
	}
	dir, err := maildir.Make(o.root, d.path)
	if err != nil {
		return f, diskError(err)
	}
	defer dir.Close()
	for _, r := range records {
		if err = o.at("record"); err == nil {
			err = o.fileOne(ctx, d, dir, &f, r)
		}
		if err != nil || f.bytes > maxBatchBytes {
			break
		}
	}
	f.more = len(f.keys) == maxBatch || f.bytes > maxBatchBytes
	if len(f.keys) == 0 {
		return f, err
	}
	folderSyncs.Inc()
	sync := errors.Join(o.at("linked"), dir.Sync(maildir.FolderNew))
	if f.resumed { // a mail of an earlier try may have been moved since
		sync = errors.Join(sync, dir.Sync(maildir.FolderCur))
	}
	if sync = errors.Join(sync, o.at("synced")); sync != nil {
		return filing{desk: d}, errors.Join(err, diskError(sync))
	}
	o.touched(d)
	return f, err
}

// spool returns the first batch of a box's spooled mails. Places of mails that another node has taken out are given up.
func (o *Office) spool(ctx context.Context, d *desk) ([]broker.Record, error) {
	o.mu.Lock()
	gone := make(map[string]bool, len(d.waiting)) // of which the spool does not know
	for key, p := range d.waiting {
		if p.committed {
			gone[key] = true
		}
	}
	o.mu.Unlock()
	records, err := o.store.List(ctx, d.box.spool(), "", maxBatch)
	if err != nil || len(records) == maxBatch {
		return records, err
	}
	for _, r := range records {
		delete(gone, r.Key[len(d.box.spool()):])
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for key := range gone {
		delete(d.waiting, key)
	}
	return records, nil
}

// fileOne makes a file of one spool record, unless there is one of its key: then an earlier try was cut short after it. Of a record that
// another node has taken out meanwhile nothing is made: its file is there, or was removed already and must not come back.
func (o *Office) fileOne(ctx context.Context, d *desk, dir *maildir.Dir, f *filing, r broker.Record) error {
	base, content := splitSpool(r.Value)
	key := r.Key[len(d.box.spool()):]
	if d.find(key) < 0 {
		if o.options.Shared {
			if _, err := o.store.Get(ctx, r.Key); errors.Is(err, broker.ErrNotFound) {
				return o.look(ctx, d)
			} else if err != nil {
				return err
			}
		}
		file, err := dir.Put(o.names.Unique(time.Now()), base, content)
		if errors.Is(err, fs.ErrExist) { // of another node, since we looked
			file, err = dir.Find(base)
		}
		if err != nil {
			return diskError(err)
		}
		filed.Inc()
		d.files = append(d.files, entry{file, key, rowID(base), true})
		f.ops = append(f.ops, broker.OpPut(d.box.rows()+rowID(base), rowValue(&file, content)))
	} else {
		f.resumed = true
	}
	f.ops = append(f.ops, broker.OpDelete(r.Key, broker.AnyRevision))
	f.keys, f.bytes = append(f.keys, key), f.bytes+len(content)
	return nil
}

// at is where a test may let the process die.
func (o *Office) at(step string) error {
	if o.step == nil {
		return nil
	}
	return o.step(step)
}

// finisher tells the Store of files, of many boxes in one commit.
func (o *Office) finisher() {
	for f := range o.filings {
		batch, bytes := []filing{f}, f.bytes
		for more := true; more && bytes < maxCommit; {
			select {
			case f, ok := <-o.filings:
				if more = ok; ok {
					batch, bytes = append(batch, f), bytes+f.bytes
				}
			default:
				more = false
			}
		}
		o.finishAll(batch)
	}
}

func (o *Office) finishAll(batch []filing) {
	ctx, cancel := context.WithTimeout(context.Background(), finishTime)
	defer cancel()
	err := o.finish(ctx, batch...)
	if err != nil {
		fileErrors.Inc()
		o.log.Error("files of mails are not noted", "error", err)
		o.again()
	}
	for _, f := range batch {
		f.desk.unlock()
		if f.more && err == nil {
			o.enqueue(f.desk)
		}
		o.drop(f.desk)
	}
}

// finish takes mails that are files out of the spool and puts them in the index. REQUIRES: work of their desks.
func (o *Office) finish(ctx context.Context, batch ...filing) error {
	var ops []broker.Op
	for _, f := range batch {
		ops = append(ops, f.ops...)
	}
	err := o.at("finish")
	if err == nil {
		_, err = o.store.Commit(ctx, ops...)
	}
	if errors.Is(err, broker.ErrDiskFull) { // there is room for deletes; the index can wait
		_, err = o.store.Commit(ctx, deletes(ops)...)
	}
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, f := range batch {
		for _, key := range f.keys {
			delete(f.desk.waiting, key)
		}
	}
	return nil
}

func deletes(ops []broker.Op) (kept []broker.Op) {
	for _, op := range ops {
		if op.Value == nil {
			kept = append(kept, op)
		}
	}
	return kept
}

// feeder searches the spool for boxes that are not in the queue: after a start, when the queue was full, after errors,
// and now and then for mails whose Accepted never came.
func (o *Office) feeder() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-o.ctx.Done():
			return
		case <-timer.C:
			if err := o.sweep(); err != nil && o.ctx.Err() == nil {
				o.log.Error("the spool of mails cannot be read", "error", err)
			}
			if timer.Reset(sweepEvery); o.options.Shared {
				timer.Reset(sweepShared)
			}
		case <-o.wake:
			timer.Reset(retryAfter)
		}
	}
}

// sweep queues every box that has mails in the spool, and waits while the queue is full.
func (o *Office) sweep() error {
	for after := ""; ; {
		records, err := o.store.List(o.ctx, spoolPrefix, after, page)
		if err != nil || len(records) == 0 {
			return err
		}
		for _, r := range records {
			if r.Key <= after {
				continue // of a box that was just queued
			}
			after = r.Key
			if box, ok := boxOfSpool(r.Key); ok && o.mine(r.Value) {
				if !o.feed(box) {
					return nil
				}
				after = box.afterBox()
			}
		}
	}
}

// mine says whether this node looks after a mail of the spool: one of its own, or, when it leads, one that another node should have
// made a file by now.
func (o *Office) mine(value []byte) bool {
	if !o.options.Shared {
		return true
	}
	base, _ := splitSpool(value)
	at, host := originOf(base)
	return host == o.names.Host() || o.options.Leads != nil && o.options.Leads() && o.options.Now().Sub(at) > sweepAge
}

// feed queues a box; false when the office closes.
func (o *Office) feed(box Box) bool {
	o.mu.Lock()
	d := o.hold(box)
	queued := d.queued
	d.queued = true
	o.mu.Unlock()
	if queued {
		o.drop(d)
		return true
	}
	select {
	case o.queue <- d:
		return true
	case <-o.ctx.Done():
		return false
	}
}

// diskError says broker.ErrDiskFull when that is what an error of the disk means.
func diskError(err error) error {
	if full(err) {
		return errors.Join(broker.ErrDiskFull, err)
	}
	return err
}
