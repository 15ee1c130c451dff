package mailer

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"mime"
	"net/mail"
	"os"
	"slices"
	"strings"
	"time"

	"gosper/broker"
	"gosper/broker/maildir"
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

// store puts a mail in new/, once for each id: a second try of the same mail finds it there, or in cur/ when somebody has
// read it. It is on disk when store returns.
func (f *Folder) store(e Mail, msg message) error {
	content, err := render(e, msg)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(f.path, 0o700); err != nil {
		return err
	}
	return f.with(maildir.Make, func(d *maildir.Dir) error {
		base := fileName(e.ID)
		if _, err := d.Find(base); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if _, err := d.Put(names.Unique(time.Now()), base, content); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		stored.Inc()
		return d.Sync(maildir.FolderNew)
	})
}

// names makes the names of files in tmp/.
var names = maildir.NewNamer("")

// with calls work with the open folder.
func (f *Folder) with(open func(*os.Root, string) (*maildir.Dir, error), work func(*maildir.Dir) error) error {
	root, err := os.OpenRoot(f.path)
	if err != nil {
		return err
	}
	defer root.Close()
	d, err := open(root, ".")
	if err != nil {
		return err
	}
	return errors.Join(work(d), d.Close())
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

// render returns the bytes of a mail's file.
func render(e Mail, msg message) ([]byte, error) {
	var b bytes.Buffer
	for _, h := range [][2]string{{headID, e.ID}, {headTemplate, e.Template}, {headUsername, mime.QEncoding.Encode("utf-8", oneLine(e.Username))}, {headCode, e.Code}} {
		b.WriteString(h[0] + ": " + oneLine(h[1]) + "\r\n")
	}
	_, err := msg.WriteTo(&b)
	return b.Bytes(), err
}

// List returns the mails with an id after `after`, in their order, at most limit. Files of others in the folder are left
// out. A folder that is not there is empty.
func (f *Folder) List(after string, limit int) (all []Mail, err error) {
	err = f.with(maildir.Open, func(d *maildir.Dir) error {
		files, _, err := d.List()
		for _, file := range files {
			id, _, ours := strings.Cut(file.Name, ".gosper")
			if !ours || id <= after {
				continue
			}
			if e, err := readMail(d, file); err == nil && e.ID != "" {
				all = append(all, e)
			}
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	slices.SortFunc(all, func(a, b Mail) int { return strings.Compare(a.ID, b.ID) })
	return all[:min(limit, len(all))], err
}

// maxFile is the most that is read of a mail's file.
const maxFile = 1 << 20

func readMail(d *maildir.Dir, file maildir.File) (e Mail, err error) {
	content, err := d.Read(file, maxFile)
	if err != nil {
		return e, err
	}
	m, err := mail.ReadMessage(bytes.NewReader(content))
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
	err := f.with(maildir.Open, func(d *maildir.Dir) error {
		file, err := d.Find(fileName(id))
		if err != nil {
			return err
		}
		return errors.Join(d.Remove(file), d.Sync(file.Folder))
	})
	if errors.Is(err, fs.ErrNotExist) {
		return broker.ErrNotFound
	}
	return err
}
