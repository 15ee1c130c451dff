package mailer

import (
	"errors"
	"io"
	"io/fs"
	"mime"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gosper/broker"
)

// Folder is a Maildir in which mails wait for an operator. Any mail program can read it.
type Folder struct{ path string }

// NewFolder names a folder; it is made when the first mail comes.
func NewFolder(path string) *Folder { return &Folder{path} }

// Headers by which a stored mail is found again.
const (
	headID       = "X-Gosper-Id"
	headTemplate = "X-Gosper-Template"
	headUsername = "X-Gosper-Username"
	headCode     = "X-Gosper-Code"
)

// message is a composed mail.
type message interface {
	WriteTo(io.Writer) (int64, error)
}

// store puts a mail in new/, once for each id: a second try of the same mail finds it there. It is on disk when store
// returns.
func (f *Folder) store(e Mail, msg message) error {
	for _, dir := range []string{"tmp", "new", "cur"} {
		if err := os.MkdirAll(filepath.Join(f.path, dir), 0o700); err != nil {
			return err
		}
	}
	name := fileName(e.ID)
	tmp, target := filepath.Join(f.path, "tmp", name), filepath.Join(f.path, "new", name)
	if err := writeMail(tmp, e, msg); err != nil {
		return err
	}
	err := os.Link(tmp, target)
	if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	if err == nil {
		stored.Inc()
	}
	return errors.Join(err, os.Remove(tmp), syncFolder(filepath.Join(f.path, "new")))
}

// fileName makes a file's name of an id: what a Maildir does not allow in names is replaced.
func fileName(id string) string {
	return strings.Map(func(r rune) rune {
		if r == '/' || r == ':' || r < '!' {
			return '_'
		}
		return r
	}, id) + ".gosper"
}

func writeMail(name string, e Mail, msg message) error {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600) // one left by a crash is written anew
	if err != nil {
		return err
	}
	head := ""
	for _, h := range [][2]string{{headID, e.ID}, {headTemplate, e.Template}, {headUsername, mime.QEncoding.Encode("utf-8", oneLine(e.Username))}, {headCode, e.Code}} {
		head += h[0] + ": " + oneLine(h[1]) + "\r\n"
	}
	_, err = io.WriteString(file, head)
	if err == nil {
		_, err = msg.WriteTo(file)
	}
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

func syncFolder(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// List returns the mails with an id after `after`, in their order, at most limit. Files of others in the folder are left
// out. A folder that is not there is empty.
func (f *Folder) List(after string, limit int) ([]Mail, error) {
	var all []Mail
	for _, dir := range []string{"new", "cur"} {
		entries, err := os.ReadDir(filepath.Join(f.path, dir))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, entry := range entries {
			id, _, ours := strings.Cut(entry.Name(), ".gosper")
			if !ours || id <= after {
				continue
			}
			if e, err := readMail(filepath.Join(f.path, dir, entry.Name())); err == nil && e.ID != "" {
				all = append(all, e)
			}
		}
	}
	slices.SortFunc(all, func(a, b Mail) int { return strings.Compare(a.ID, b.ID) })
	return all[:min(limit, len(all))], nil
}

func readMail(name string) (e Mail, err error) {
	file, err := os.Open(name)
	if err != nil {
		return e, err
	}
	defer file.Close()
	m, err := mail.ReadMessage(io.LimitReader(file, 1<<20))
	if err != nil {
		return e, err
	}
	username, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get(headUsername))
	if err != nil {
		return e, err
	}
	e = Mail{ID: m.Header.Get(headID), Template: m.Header.Get(headTemplate), Username: username, Code: m.Header.Get(headCode)}
	if to, err := m.Header.AddressList("To"); err == nil && len(to) > 0 {
		e.To = to[0].Address
	}
	if at, err := m.Header.Date(); err == nil {
		e.Created = at.In(time.UTC)
	}
	return e, nil
}

// Delete removes a mail: broker.ErrNotFound when there is none of that id.
func (f *Folder) Delete(id string) error {
	name := fileName(id)
	for _, dir := range []string{"new", "cur"} {
		entries, err := os.ReadDir(filepath.Join(f.path, dir))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if plain, _, _ := strings.Cut(entry.Name(), ":"); plain == name {
				path := filepath.Join(f.path, dir)
				return errors.Join(os.Remove(filepath.Join(path, entry.Name())), syncFolder(path))
			}
		}
	}
	return broker.ErrNotFound
}
