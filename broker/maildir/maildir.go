// Package maildir reads and writes mail folders in the Maildir format: one file a mail, no locks, safe for any number of
// readers and writers, also of other programs and on shared disks.
//
// A mail is written in tmp/, synced, and linked to new/ under a unique name; who reads it moves it to cur/ and appends
// flags: <base>:2,<flags>. A name is never used for another mail, so a link that exists already is the same mail. The
// folder is synced after the link: without that a power cut could take the name of a file whose bytes are on disk.
//
// Everything happens below an os.Root, so no name, however hostile, reaches a file outside of it.
package maildir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"
)

// Folders of a Maildir.
const (
	folderTmp = "tmp"
	FolderNew = "new"
	FolderCur = "cur"
)

// TmpAge is how old a file in tmp/ must be to count as left by a crash.
const TmpAge = 36 * time.Hour

// Dir is an open Maildir. Its methods may be called from any goroutine until Close.
type Dir struct{ root *os.Root }

// File is one mail of a Maildir, as it was when it was listed. Another program may have moved or removed it since: then
// methods that take it return fs.ErrNotExist.
type File struct {
	Folder string // FolderNew or FolderCur
	Name   string // in the folder
	Base   string // the part of Name that never changes
	Flags  string // sorted letters
	Size   int64
	Time   time.Time // of the last change of its bytes
}

// Seen says whether the mail was read. A mail in new/ never was.
func (f *File) Seen() bool { return f.Folder == FolderCur && strings.Contains(f.Flags, Seen) }

// Open opens the Maildir at a path below parent: fs.ErrNotExist when there is none.
func Open(parent *os.Root, name string) (*Dir, error) {
	root, err := parent.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	if _, err := root.Stat(FolderNew); err != nil { // made last: with it the others are there
		return nil, errors.Join(err, root.Close())
	}
	return &Dir{root}, nil
}

// Make opens the Maildir at a path below parent and makes it durably when it is not there.
func Make(parent *os.Root, name string) (*Dir, error) {
	d, err := Open(parent, name)
	if !errors.Is(err, fs.ErrNotExist) {
		return d, err
	}
	above := "."
	for _, part := range strings.Split(path.Clean(name), "/") {
		if err := makeFolder(parent, above, part); err != nil {
			return nil, err
		}
		above = path.Join(above, part)
	}
	for _, part := range []string{folderTmp, FolderCur, FolderNew} {
		if err := makeFolder(parent, above, part); err != nil {
			return nil, err
		}
	}
	return Open(parent, name)
}

// makeFolder makes a folder that may exist, so that it survives a power cut.
func makeFolder(root *os.Root, above, name string) error {
	if name == "." {
		return nil
	}
	if err := root.Mkdir(path.Join(above, name), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncFolder(root, above)
}

func syncFolder(root *os.Root, name string) error {
	folder, err := root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// Close lets the folder go.
func (d *Dir) Close() error { return d.root.Close() }

// Put writes a mail and gives it its name in new/. tmp is a name that nobody else uses, see Namer; base is the name of the
// mail for ever. The bytes are on disk when Put returns, the name is after the next Sync of FolderNew. fs.ErrExist when
// the mail is in new/ already, of somebody who was cut short before.
func (d *Dir) Put(tmp, base string, content []byte) (File, error) {
	if !validBase(tmp) || !validBase(base) {
		return File{}, fmt.Errorf("%q, %q: not names of a Maildir", tmp, base)
	}
	tmp = path.Join(folderTmp, tmp)
	info, err := d.write(tmp, content)
	if err == nil {
		err = d.link(tmp, path.Join(FolderNew, base))
	}
	if gone := d.root.Remove(tmp); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	if err != nil {
		return File{}, err
	}
	return File{Folder: FolderNew, Name: base, Base: base, Size: info.Size(), Time: info.ModTime()}, nil
}

// write makes a file with bytes that are on disk when it returns.
func (d *Dir) write(name string, content []byte) (info os.FileInfo, err error) {
	file, err := d.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	if err == nil {
		info, err = file.Stat()
	}
	return info, errors.Join(err, file.Close())
}

// link gives a file a second name. A shared disk may report an error though it was done, as its answer was lost: what is
// there decides. A disk without links moves the file.
func (d *Dir) link(from, to string) error {
	err := d.root.Link(from, to)
	if err == nil || d.same(from, to) {
		return nil
	}
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrPermission) {
		if _, there := d.root.Lstat(to); there == nil {
			return fs.ErrExist
		}
		return d.root.Rename(from, to)
	}
	return err
}

func (d *Dir) same(a, b string) bool {
	one, err := d.root.Lstat(a)
	if err != nil {
		return false
	}
	other, err := d.root.Lstat(b)
	return err == nil && os.SameFile(one, other)
}

// Sync makes the names in a folder durable.
func (d *Dir) Sync(folder string) error { return syncFolder(d.root, folder) }

// SetFlags moves a mail to cur/ with these flags and returns its new place, which is durable after the next Sync of
// FolderCur.
func (d *Dir) SetFlags(f File, flags string) (File, error) {
	moved := f
	moved.Folder, moved.Flags, moved.Name = FolderCur, cleanFlags(flags), FormatName(f.Base, flags)
	if moved.Folder == f.Folder && moved.Name == f.Name {
		return f, nil
	}
	from, to := path.Join(f.Folder, f.Name), path.Join(moved.Folder, moved.Name)
	err := d.root.Rename(from, to)
	if err != nil && !d.renamed(from, to) {
		return f, err
	}
	return moved, nil
}

// renamed says whether a rename was done though a shared disk reported an error.
func (d *Dir) renamed(from, to string) bool {
	if _, err := d.root.Lstat(to); err != nil {
		return false
	}
	_, err := d.root.Lstat(from)
	return errors.Is(err, fs.ErrNotExist)
}

// Remove deletes a mail; it stays so after the next Sync of its folder.
func (d *Dir) Remove(f File) error { return d.root.Remove(path.Join(f.Folder, f.Name)) }

// Read returns at most limit bytes of a mail.
func (d *Dir) Read(f File, limit int) ([]byte, error) {
	file, err := d.root.Open(path.Join(f.Folder, f.Name))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, int64(limit)))
}
