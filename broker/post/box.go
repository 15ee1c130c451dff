package post

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"

	"gosper/broker"
	"gosper/broker/maildir"
)

// New returns the mails that no call has returned yet, the oldest first. They are no longer new then: their files move
// from new/ to cur/. That they were read is said by MarkRead only.
func (o *Office) New(ctx context.Context, box Box) (mails []Mail, err error) {
	err = o.inside(ctx, box, func(d *desk) error {
		mails, err = o.take(ctx, d, func(e *entry) bool { return e.Folder == maildir.FolderNew })
		return err
	})
	return mails, err
}

// All returns all mails, the oldest first, and moves new ones to cur/ as New does.
func (o *Office) All(ctx context.Context, box Box) (mails []Mail, err error) {
	err = o.inside(ctx, box, func(d *desk) error {
		mails, err = o.take(ctx, d, everyMail)
		return err
	})
	return mails, err
}

// Peek returns all mails, the oldest first, and leaves new ones new: for operators.
func (o *Office) Peek(ctx context.Context, box Box) (mails []Mail, err error) {
	err = o.inside(ctx, box, func(d *desk) error {
		mails, err = o.choose(ctx, d, everyMail)
		return err
	})
	return mails, err
}

func everyMail(*entry) bool { return true }

// take returns the chosen mails, and new ones are new no longer.
func (o *Office) take(ctx context.Context, d *desk, chosen func(*entry) bool) ([]Mail, error) {
	mails, err := o.choose(ctx, d, chosen)
	if err == nil {
		err = o.open(d)
	}
	if err != nil {
		return nil, err
	}
	return mails, nil
}

// choose returns the chosen mails, and those that cannot become files just now, the oldest first.
func (o *Office) choose(ctx context.Context, d *desk, chosen func(*entry) bool) ([]Mail, error) {
	left, _, err := o.settle(ctx, d)
	if err != nil {
		return nil, err
	}
	var entries []entry
	for _, e := range d.files {
		if chosen(&e) {
			entries = append(entries, e)
		}
	}
	mails, err := o.read(ctx, d, entries)
	if err != nil {
		return nil, err
	}
	mails = append(mails, left...)
	slices.SortStableFunc(mails, func(a, b Mail) int { return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Key, b.Key)) })
	return mails, nil
}

// settle makes files of what the spool holds of a box, also of what other nodes have accepted. Mails that cannot become files, as the disk is full, are returned
// with the cause: they are mails all the same.
func (o *Office) settle(ctx context.Context, d *desk) (left []Mail, cause, err error) {
	for first := o.options.Shared; first || o.expects(d); first = false {
		f, err := o.file(ctx, d)
		if len(f.keys) > 0 {
			err = errors.Join(err, o.finish(ctx, f))
		}
		if err != nil {
			o.log.Error("mails stay in the spool", "world", d.box.World, "account", d.box.UID, "error", err)
			left, failed := o.leftovers(ctx, d)
			return left, err, failed
		}
		if len(f.keys) == 0 {
			break // being accepted just now
		}
	}
	return nil, nil, nil
}

// expects says whether the box has mails that are no files yet.
func (o *Office) expects(d *desk) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return d.outstanding() > 0
}

// leftovers returns the mails of the spool that are no files.
func (o *Office) leftovers(ctx context.Context, d *desk) (left []Mail, err error) {
	err = o.each(ctx, d.box.spool(), func(key string, value []byte) {
		if d.find(key) < 0 {
			base, content := splitSpool(value)
			left = append(left, parse(content, base, o.options.Zone))
		}
	})
	return left, err
}

// spooled returns a mail of the spool: broker.ErrNotFound.
func (o *Office) spooled(ctx context.Context, box Box, key string) (Mail, error) {
	r, err := o.store.Get(ctx, box.spool()+key)
	if err != nil {
		return Mail{}, err
	}
	base, content := splitSpool(r.Value)
	return parse(content, base, o.options.Zone), nil
}

// fewMails is how many rows are read one by one; more are read in one pass over the box.
const fewMails = 4

// read returns the mails of entries, from the index, or from the files that it does not have. A file that has gone
// meanwhile is left out.
func (o *Office) read(ctx context.Context, d *desk, entries []entry) ([]Mail, error) {
	rows := make(map[string][]byte, len(entries))
	if len(entries) > fewMails {
		if err := o.each(ctx, d.box.rows(), func(id string, value []byte) { rows[id] = value }); err != nil {
			return nil, err
		}
	}
	mails := make([]Mail, 0, len(entries))
	for _, e := range entries {
		value := rows[e.row]
		if len(entries) <= fewMails {
			r, err := o.store.Get(ctx, d.box.rows()+e.row)
			if err != nil && !errors.Is(err, broker.ErrNotFound) {
				return nil, err
			}
			value = r.Value
		}
		content, err := o.content(d, &e, value)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		m := parse(content, e.row, o.options.Zone)
		m.Key, m.Read = e.key, e.Seen()
		mails = append(mails, m)
	}
	return mails, nil
}

// content returns the bytes of a mail: those of the row, if that is true.
func (o *Office) content(d *desk, e *entry, value []byte) ([]byte, error) {
	if r, ok := parseRow(value); ok && r.size == e.Size && r.time == e.Time.UnixNano() {
		return r.content, nil
	}
	dir, err := maildir.Open(o.root, d.path)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	filesRead.Inc()
	return dir.Read(e.File, o.fileLimit())
}

// open moves all new mails to cur/. It need not be durable: after a power cut they are new once more.
func (o *Office) open(d *desk) error {
	i := slices.IndexFunc(d.files, func(e entry) bool { return e.Folder == maildir.FolderNew })
	if i < 0 {
		return nil
	}
	dir, err := maildir.Open(o.root, d.path)
	if err != nil {
		return err
	}
	defer dir.Close()
	for ; i < len(d.files); i++ {
		e := &d.files[i]
		if e.Folder != maildir.FolderNew {
			continue
		}
		if e.File, err = dir.SetFlags(e.File, e.Flags); err != nil && !errors.Is(err, fs.ErrNotExist) { // another reader was faster
			return diskError(err)
		}
	}
	o.touched(d)
	return nil
}

// Count returns how many mails the box has, files and spool, and how many it may have.
func (o *Office) Count(ctx context.Context, box Box) (cur, limit int, err error) {
	err = o.inside(ctx, box, func(d *desk) error {
		o.mu.Lock()
		defer o.mu.Unlock()
		cur = len(d.files) + d.outstanding()
		return nil
	})
	return cur, o.options.BoxLimit, err
}

// Get returns one mail and changes nothing: broker.ErrNotFound.
func (o *Office) Get(ctx context.Context, box Box, key string) (m Mail, err error) {
	err = o.inside(ctx, box, func(d *desk) error {
		i := d.find(key)
		if i < 0 {
			if !ValidKey(key) {
				return broker.ErrNotFound
			}
			m, err = o.spooled(ctx, box, key)
			if !o.options.Shared || !errors.Is(err, broker.ErrNotFound) {
				return err
			}
			if err := o.look(ctx, d); err != nil { // again: another node may have made it a file between
				return err
			}
			if i = d.find(key); i < 0 {
				return broker.ErrNotFound
			}
		}
		mails, err := o.read(ctx, d, d.files[i:i+1])
		if err == nil && len(mails) == 0 {
			err = broker.ErrNotFound
		}
		if err == nil {
			m = mails[0]
		}
		return err
	})
	return m, err
}
