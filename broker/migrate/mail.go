package migrate

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// eachFile calls fn for the regular files below a folder, in order, with their paths relative to it. A folder that is not
// there has none.
func eachFile(ctx context.Context, dir string, fn func(name string, info fs.FileInfo) error) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if path == dir && errors.Is(err, fs.ErrNotExist) {
			return fs.SkipAll
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		return fn(name, info)
	})
}

// copyMail writes the files that the target's folder lacks, each whole or not at all, with its time: the index of a
// mailbox tells by it whether a file has changed. Empty folders come too, since a mailbox is three of them.
func (m *mover) copyMail(ctx context.Context) (written uint64, err error) {
	if err := os.MkdirAll(m.to.Mail, 0o700); err != nil {
		return 0, err
	}
	err = filepath.WalkDir(m.from.Mail, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == m.from.Mail {
			return fs.SkipAll
		}
		if err != nil || !entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(m.from.Mail, path)
		if err != nil {
			return err
		}
		return os.MkdirAll(filepath.Join(m.to.Mail, name), 0o700)
	})
	if err != nil {
		return 0, err
	}
	done := uint64(0)
	err = eachFile(ctx, m.from.Mail, func(name string, info fs.FileInfo) error {
		done++
		m.Progress("mail files", done, name)
		to := filepath.Join(m.to.Mail, name)
		if old, err := os.Stat(to); err == nil && old.Size() == info.Size() && old.ModTime().Equal(info.ModTime()) {
			return nil
		}
		written++
		return copyFile(to, filepath.Join(m.from.Mail, name), info)
	})
	return written, err
}

func copyFile(to, from string, info fs.FileInfo) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	part := to + ".part"
	out, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return err
	}
	return errors.Join(os.Chtimes(part, info.ModTime(), info.ModTime()), os.Rename(part, to))
}

// sumMail reads the files that the source has, on either side.
func (m *mover) sumMail(ctx context.Context, target bool) (Sum, error) {
	side := m.from.Mail
	if target {
		side = m.to.Mail
	}
	s := newSummer()
	err := eachFile(ctx, m.from.Mail, func(name string, _ fs.FileInfo) error {
		size, sum, err := hashFile(filepath.Join(side, name))
		if err != nil {
			return fmt.Errorf("compare: %w", err)
		}
		s.text([]byte(name))
		s.text(sum)
		s.sum.Bytes += size
		s.end()
		return nil
	})
	return s.result(), err
}

func hashFile(name string) (size uint64, sum []byte, err error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, nil, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	return uint64(n), h.Sum(nil), err
}
