package maildir

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"time"
)

// Stamp is when new/ and cur/ have changed last. Any mail that comes, goes or is flagged changes it, but two changes
// within one tick of the disk's clock may leave it the same: see Settled.
type Stamp struct{ New, Cur int64 } // ns since 1970

// tick is how coarse the clock of a disk may be: some older and some shared ones count seconds.
const tick = 2 * time.Second

// Settled says whether the stamp, read at that time, tells every later change: the newest change is longer ago than a
// tick of the disk's clock.
func (s Stamp) Settled(at time.Time) bool { return at.UnixNano()-max(s.New, s.Cur) > int64(tick) }

// StampOf returns the stamp of the Maildir at a path below root.
func StampOf(root *os.Root, name string) (s Stamp, err error) {
	if s.New, err = changed(root, path.Join(name, FolderNew)); err != nil {
		return s, err
	}
	s.Cur, err = changed(root, path.Join(name, FolderCur))
	return s, err
}

func changed(root *os.Root, name string) (int64, error) {
	info, err := root.Stat(name)
	if err != nil {
		return 0, err
	}
	return info.ModTime().UnixNano(), nil
}

// listTries bounds how often a list is read again because somebody changed the folder under it.
const listTries = 4

// List returns all mails, and the stamp that is true for them. Dot files and folders are left out. A mail that is moved
// while the folders are read may be found twice, in new/ and in cur/, or, if the folder never rests, be missed; the
// stamp then differs at the next look.
func (d *Dir) List() (files []File, stamp Stamp, err error) {
	for range listTries {
		if stamp, err = StampOf(d.root, "."); err != nil {
			return nil, stamp, err
		}
		files = files[:0]
		for _, folder := range []string{FolderNew, FolderCur} { // in the direction in which mails move, to miss none
			if files, err = d.listFolder(files, folder); err != nil {
				return nil, stamp, err
			}
		}
		if after, err := StampOf(d.root, "."); err != nil || after == stamp {
			return files, stamp, err
		}
	}
	return files, stamp, nil
}

func (d *Dir) listFolder(files []File, folder string) ([]File, error) {
	entries, err := d.entries(folder)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if entry.Name()[0] == '.' || entry.IsDir() {
			continue
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // moved since
		}
		if err != nil {
			return nil, err
		}
		if !info.Mode().IsRegular() {
			continue
		}
		base, flags := ParseName(entry.Name())
		files = append(files, File{Folder: folder, Name: entry.Name(), Base: base, Flags: flags, Size: info.Size(), Time: info.ModTime()})
	}
	return files, nil
}

func (d *Dir) entries(folder string) ([]os.DirEntry, error) {
	f, err := d.root.Open(folder)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.ReadDir(-1)
}

// Find returns the mail with a base name: fs.ErrNotExist.
func (d *Dir) Find(base string) (File, error) {
	files, _, err := d.List()
	if err != nil {
		return File{}, err
	}
	for _, f := range files {
		if f.Base == base {
			return f, nil
		}
	}
	return File{}, fs.ErrNotExist
}

// Clean removes what crashes have left in tmp/: files that are older than TmpAge. It returns how many.
func (d *Dir) Clean(now time.Time) (removed int, err error) {
	entries, err := d.entries(folderTmp)
	if err != nil {
		return 0, err
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || entry.IsDir() || now.Sub(info.ModTime()) <= TmpAge {
			continue
		}
		if err := d.root.Remove(path.Join(folderTmp, entry.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return removed, err
		}
		removed++
	}
	return removed, nil
}
