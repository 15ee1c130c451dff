// Package mailer sends e-mails: it fills in a template, in text and HTML, and gives the result to an SMTP server, or, when
// there is none, to a folder in Maildir form, where an operator finds it.
//
// A Mailer is made for the tube bg_email of package worker: what cannot be sent now is tried again by the worker, what can
// never be sent is worker.Permanent.
package mailer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/mail"
	"path/filepath"
	"time"

	"gosper/broker/worker"
)

// Mail is one e-mail to send.
type Mail struct {
	ID       string    `json:"id"` // sorts by time
	Template string    `json:"template"`
	To       string    `json:"to"`
	Username string    `json:"username"`
	Code     string    `json:"code,omitempty"`
	Created  time.Time `json:"created"`
}

// Options of a Mailer. Validate names the first field that cannot be.
type Options struct {
	SMTP     string        // host:port of the server; "": mails go to Folder
	TLS      string        // "starttls" (needed, the default), "tls" (from the first byte) or "none" (trusted networks only)
	User     string        // "" for a server that asks for none
	Password string        // sent under TLS only, or to loopback
	From     string        // address of the sender, "Name <box@host>" or "box@host"
	Site     string        // name of the game in the texts
	Timeout  time.Duration // for one mail; default 30 s
	Folder   string        // Maildir without SMTP

	roots *tls.Config // of tests
}

// Validate returns an error that names the first field that cannot be.
func (o *Options) Validate() error {
	if o.SMTP != "" {
		if _, _, err := splitAddr(o.SMTP); err != nil {
			return fmt.Errorf("smtp-addr: %q is not host:port", o.SMTP)
		}
	}
	switch o.TLS {
	case "", "starttls", "tls", "none":
	default:
		return errors.New("smtp-tls: must be starttls, tls or none")
	}
	if _, err := mail.ParseAddress(o.From); err != nil {
		return fmt.Errorf("mail-from: %q is not an address", o.From)
	}
	if o.User == "" && o.Password != "" {
		return errors.New("smtp-user: needed by smtp-password")
	}
	return nil
}

// Mailer sends mails. Its methods may be called from any goroutine.
type Mailer struct {
	options Options
	folder  *Folder // nil with SMTP
}

// New returns a Mailer.
func New(o Options) (*Mailer, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	m := &Mailer{options: o}
	if o.SMTP == "" {
		if o.Folder == "" {
			return nil, errors.New("a folder is needed without smtp-addr")
		}
		m.folder = NewFolder(filepath.Clean(o.Folder))
	}
	return m, nil
}

// Send sends one mail, or stores it in the folder. worker.Permanent marks errors that a later try cannot mend: an unknown
// template, a bad address, a refusal by the server for good (5xx).
func (m *Mailer) Send(ctx context.Context, e Mail) error {
	ctx, cancel := context.WithTimeout(ctx, m.options.Timeout)
	defer cancel()
	msg, err := m.compose(e)
	if err != nil {
		return worker.Permanent(err)
	}
	if m.folder != nil {
		return m.folder.store(e, msg)
	}
	if err := m.smtp(ctx, msg); err != nil {
		failed.Inc()
		return err
	}
	sent.Inc()
	return nil
}
