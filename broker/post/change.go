package post

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"gosper/broker"
	"gosper/broker/maildir"
)

// changeTries bounds how often a change is tried again because another reader moved the file under it.
const changeTries = 4

// MarkRead marks a mail as read, durably: broker.ErrNotFound.
func (o *Office) MarkRead(ctx context.Context, box Box, key string) error {
	return o.change(ctx, box, key, func(d *desk, dir *maildir.Dir, i int) error {
		f, err := dir.SetFlags(d.files[i].File, d.files[i].Flags+maildir.Seen)
		if err != nil {
			return err
		}
		d.files[i].File = f
		return dir.Sync(maildir.FolderCur)
	}, func(cause error) error { return cause })
}

// Delete removes a mail, durably: broker.ErrNotFound.
func (o *Office) Delete(ctx context.Context, box Box, key string) error {
	return o.change(ctx, box, key, func(d *desk, dir *maildir.Dir, i int) error {
		return o.remove(ctx, d, dir, func(e *entry) bool { return e == &d.files[i] })
	}, func(error) error { return o.store.Delete(ctx, box.spool()+key, broker.AnyRevision) })
}

// change calls with for the file of a mail, and again when it has moved meanwhile. unfiled is for a mail that cannot become
// a file just now.
func (o *Office) change(ctx context.Context, box Box, key string, with func(*desk, *maildir.Dir, int) error, unfiled func(error) error) error {
	return o.inside(ctx, box, func(d *desk) error {
		left, cause, err := o.settle(ctx, d)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(left, func(m Mail) bool { return m.Key == key }) {
			err := unfiled(cause)
			if err == nil {
				o.unreserve(d, key)
			}
			return err
		}
		for range changeTries {
			i := d.find(key)
			if i < 0 {
				return broker.ErrNotFound
			}
			if err = o.inFolder(d, func(dir *maildir.Dir) error { return with(d, dir, i) }); !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			if err := o.scan(ctx, d); err != nil {
				return err
			}
		}
		return broker.ErrNotFound
	})
}

// inFolder calls fn with the folder of a box, which it may change.
func (o *Office) inFolder(d *desk, fn func(*maildir.Dir) error) error {
	dir, err := maildir.Open(o.root, d.path)
	if err != nil {
		return err
	}
	defer dir.Close()
	err = diskError(fn(dir))
	o.touched(d)
	return err
}

// remove deletes the chosen mails. One that has gone already is no error unless it is the only one. The files go first:
// a row without a file is found by the next start.
func (o *Office) remove(ctx context.Context, d *desk, dir *maildir.Dir, chosen func(*entry) bool) (err error) {
	var ops []broker.Op
	kept, folders := make([]entry, 0, len(d.files)), map[string]bool{}
	for i := range d.files {
		e := &d.files[i]
		if err != nil || !chosen(e) {
			kept = append(kept, *e)
			continue
		}
		if err = dir.Remove(e.File); err != nil {
			kept = append(kept, *e)
			continue
		}
		folders[e.Folder] = true
		ops = append(ops, broker.OpDelete(d.box.rows()+e.row, broker.AnyRevision))
	}
	for folder := range folders {
		err = errors.Join(err, dir.Sync(folder))
	}
	d.files = kept
	if len(ops) > 0 {
		o.saveIndex(ctx, d, ops)
	}
	return err
}

// DeleteRead removes the mails that were read, durably, and returns their keys, in no order.
func (o *Office) DeleteRead(ctx context.Context, box Box) (keys []string, err error) {
	err = o.inside(ctx, box, func(d *desk) error {
		for range changeTries {
			before := len(d.files)
			if !slices.ContainsFunc(d.files, func(e entry) bool { return e.Seen() }) {
				return nil
			}
			all := slices.Clone(d.files)
			err := o.inFolder(d, func(dir *maildir.Dir) error { return o.remove(ctx, d, dir, (*entry).seen) })
			if len(d.files) < before {
				keys = append(keys, gone(all, d.files)...)
			}
			if !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			if err := o.scan(ctx, d); err != nil {
				return err
			}
		}
		return nil
	})
	return keys, err
}

func (e *entry) seen() bool { return e.Seen() }

// gone returns the keys of the entries that are in before and not in after.
func gone(before, after []entry) (keys []string) {
	left := make(map[string]bool, len(after))
	for _, e := range after {
		left[e.row] = true
	}
	for _, e := range before {
		if !left[e.row] {
			keys = append(keys, e.key)
		}
	}
	return keys
}

// Reindex builds the index of a box again from its files.
func (o *Office) Reindex(ctx context.Context, box Box) error {
	return o.inside(ctx, box, func(d *desk) error {
		var ops []broker.Op
		err := o.each(ctx, box.rows(), func(id string, _ []byte) {
			ops = append(ops, broker.OpDelete(box.rows()+id, broker.AnyRevision))
		})
		for chunk := range slices.Chunk(ops, page) {
			if err == nil {
				_, err = o.store.Commit(ctx, chunk...)
			}
		}
		if err != nil {
			return err
		}
		d.loaded, d.files = false, nil
		return o.scan(ctx, d)
	})
}

// Boxes calls fn for each box that has a folder, until it returns an error.
func (o *Office) Boxes(ctx context.Context, fn func(Box) error) error {
	worlds, err := fs.ReadDir(o.root.FS(), ".")
	if err != nil {
		return err
	}
	for _, world := range worlds {
		boxes, err := fs.ReadDir(o.root.FS(), world.Name())
		if err != nil {
			continue // no folder
		}
		for _, uid := range boxes {
			box := Box{strings.TrimPrefix(world.Name(), "."), strings.TrimPrefix(uid.Name(), ".")}
			if !box.valid() || box.path() != world.Name()+"/"+uid.Name() {
				continue
			}
			if err := errors.Join(ctx.Err(), fn(box)); err != nil {
				return err
			}
		}
	}
	return nil
}
