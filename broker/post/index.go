package post

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"gosper/broker"
	"gosper/broker/maildir"
)

// page is how many records are read from the Store at a time.
const page = 64

// look makes d.files true: it asks when the folders have changed last, and reads them again if that is news, or so recent
// that a later change may not show. REQUIRES: work.
func (o *Office) look(ctx context.Context, d *desk) error {
	stamp, err := maildir.StampOf(o.root, d.path)
	if err == nil && d.loaded && stamp == d.stamp && stamp.Settled(d.looked) {
		o.recount(d)
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return o.scan(ctx, d)
}

// scan reads the folder, whose mails come from the index as far as it has them. REQUIRES: work.
func (o *Office) scan(ctx context.Context, d *desk) error {
	scans.Inc()
	known, err := o.known(ctx, d)
	if err != nil {
		return err
	}
	looked := time.Now()
	dir, err := maildir.Open(o.root, d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return o.settleScan(ctx, d, known, nil, maildir.Stamp{}, looked)
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	if !d.loaded {
		if _, err := dir.Clean(looked); err != nil {
			o.log.Warn("old files of a mailbox are left", "box", d.path, "error", err)
		}
	}
	files, stamp, err := dir.List()
	if err != nil {
		return err
	}
	entries, err := o.match(ctx, d, dir, onlyOnce(dir, files), known)
	if err != nil {
		return err
	}
	return o.settleScan(ctx, d, known, entries, stamp, looked)
}

// settleScan takes over what a scan has found; the rows left in known are of mails that are gone.
func (o *Office) settleScan(ctx context.Context, d *desk, known map[string]entry, entries []entry, stamp maildir.Stamp, looked time.Time) error {
	var ops []broker.Op
	for id, e := range known {
		if e.saved {
			ops = append(ops, broker.OpDelete(d.box.rows()+id, broker.AnyRevision))
		}
	}
	if len(ops) > 0 {
		o.saveIndex(ctx, d, ops)
	}
	d.files, d.stamp, d.looked, d.loaded = entries, stamp, looked, true
	o.recount(d)
	return nil
}

// known returns the mails of the last look by row; at the first look, those of the index. It also learns then which mails
// are in the spool.
func (o *Office) known(ctx context.Context, d *desk) (map[string]entry, error) {
	known := make(map[string]entry, len(d.files))
	if d.loaded {
		for _, e := range d.files {
			known[e.row] = e
		}
		return known, nil
	}
	err := o.each(ctx, d.box.rows(), func(id string, value []byte) {
		e := entry{row: id, saved: true}
		if r, ok := parseRow(value); ok {
			e.key, e.Size, e.Time = parse(r.content, id, o.options.Zone).Key, r.size, time.Unix(0, r.time)
		}
		known[id] = e
	})
	if err != nil {
		return nil, err
	}
	var keys []string
	err = o.each(ctx, d.box.spool(), func(key string, _ []byte) { keys = append(keys, key) })
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, key := range keys {
		d.wait(key, place{committed: true})
	}
	return known, err
}

// each calls fn for the records with a prefix, with the rest of their keys.
func (o *Office) each(ctx context.Context, prefix string, fn func(rest string, value []byte)) error {
	for after := ""; ; {
		records, err := o.store.List(ctx, prefix, after, page)
		if err != nil {
			return err
		}
		for _, r := range records {
			fn(r.Key[len(prefix):], r.Value)
			after = r.Key
		}
		if len(records) < page {
			return nil
		}
	}
}

// onlyOnce drops doubles of one base name. Two nodes that filed one mail of a shared spool, between which a reader moved
// it, leave it in new/ and in cur/: that in new/ goes.
func onlyOnce(dir *maildir.Dir, files []maildir.File) []maildir.File {
	at := make(map[string]int, len(files))
	kept := files[:0]
	for _, f := range files { // new/ first
		i, double := at[f.Base]
		if !double {
			at[f.Base] = len(kept)
			kept = append(kept, f)
			continue
		}
		if kept[i].Folder == maildir.FolderNew {
			_ = dir.Remove(kept[i]) // not there any more when it was only moved while we looked
		}
		kept[i] = f
	}
	return kept
}

// match makes entries of files. Those that are known and unchanged leave known; the others are read and saved in the
// index.
func (o *Office) match(ctx context.Context, d *desk, dir *maildir.Dir, files []maildir.File, known map[string]entry) ([]entry, error) {
	entries := make([]entry, 0, len(files))
	var ops []broker.Op
	for _, f := range files {
		id := rowID(f.Base)
		old, ok := known[id]
		delete(known, id)
		if ok && old.key != "" && old.Size == f.Size && old.Time.Equal(f.Time) {
			entries = append(entries, entry{f, old.key, id, old.saved})
			continue
		}
		content, err := dir.Read(f, o.fileLimit())
		if errors.Is(err, fs.ErrNotExist) {
			continue // moved or removed since; the stamp tells the next look
		}
		if err != nil {
			return nil, err
		}
		filesRead.Inc()
		entries = append(entries, entry{f, parse(content, id, o.options.Zone).Key, id, true})
		if ops = append(ops, broker.OpPut(d.box.rows()+id, rowValue(&f, content))); len(ops) == page {
			o.saveIndex(ctx, d, ops)
			ops = nil
		}
	}
	if len(ops) > 0 {
		o.saveIndex(ctx, d, ops)
	}
	return entries, nil
}

// saveIndex writes rows. A row that is missing costs only time, as its file is read instead, so an error is no more than
// logged.
func (o *Office) saveIndex(ctx context.Context, d *desk, ops []broker.Op) {
	if _, err := o.store.Commit(ctx, ops...); err != nil {
		o.log.Warn("index of a mailbox is not saved", "box", d.path, "error", err)
	}
}

// fileLimit is the most that is read of a file: the largest mail of our own, with room for headers of others.
func (o *Office) fileLimit() int { return 3*o.options.BodyLimit + 64<<10 }

// recount tells those who accept mails how many files there are.
func (o *Office) recount(d *desk) {
	o.mu.Lock()
	defer o.mu.Unlock()
	d.count, d.counted = len(d.files), time.Now()
}

// touched takes note of a change that we made ourselves. The change is young, so the next look reads the folder. REQUIRES:
// work.
func (o *Office) touched(d *desk) {
	if stamp, err := maildir.StampOf(o.root, d.path); err == nil {
		d.stamp, d.looked = stamp, time.Now()
	}
	o.recount(d)
}

// find returns the place of a mail in d.files, -1 for none.
func (d *desk) find(key string) int {
	for i := range d.files {
		if d.files[i].key == key {
			return i
		}
	}
	return -1
}
