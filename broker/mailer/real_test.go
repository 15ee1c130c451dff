package mailer

import (
	"crypto/tls"
	"fmt"
	"io"
	"strings"
	"testing"

	"gosper/broker/mailer/mailertest"
	"gosper/broker/worker"
)

// Goal: a server that others wrote takes our mails, and its refusals mean to us what they should. Method: Exim as a process,
// with STARTTLS and with TLS from the first byte, a password, a Maildir; mails that it takes, puts off and refuses.
func TestExim(t *testing.T) {
	server := mailertest.New(t)
	server.Start(t)
	good := Options{SMTP: server.Addr, TLS: "starttls", User: server.User, Password: server.Password, From: "Gosper <game@example.com>",
		Site: "Pond & Co", Timeout: mailertest.Patience, roots: &tls.Config{RootCAs: server.Certificate.Pool(t), ServerName: "127.0.0.1"}}
	for _, c := range []struct {
		name      string
		change    func(*Options, *Mail)
		refusal   string // "": it arrives
		permanent bool
	}{
		{"starttls", func(*Options, *Mail) {}, "", false},
		{"tls from the first byte", func(o *Options, _ *Mail) { o.TLS, o.SMTP = "tls", server.TLSAddr }, "", false},
		{"another template", func(_ *Options, e *Mail) { e.Template = "forgotPassword" }, "", false},
		{"no password", func(o *Options, _ *Mail) { o.User, o.Password = "", "" }, "who are you", true},
		{"wrong password", func(o *Options, _ *Mail) { o.Password = "guess" }, "535", false},
		{"wrong password, TLS from the first byte", func(o *Options, _ *Mail) { o.TLS, o.SMTP, o.Password = "tls", server.TLSAddr, "guess" }, "535", false},
		{"no TLS for a password", func(o *Options, _ *Mail) { o.TLS = "none" }, "auth", false},
		{"not now", func(_ *Options, e *Mail) { e.To = "later@example.com" }, `451 "not now"`, false},
		{"never", func(_ *Options, e *Mail) { e.To = "ann@example.org" }, `550 "nobody lives there"`, true},
		{"unknown authority", func(o *Options, _ *Mail) { o.roots = nil }, "certificate", false},
	} {
		o, e := good, ann()
		c.change(&o, &e)
		m, err := New(o)
		if err != nil {
			t.Fatal(c.name, err)
		}
		err = m.Send(t.Context(), e)
		if c.refusal == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				continue
			}
			checkArrived(t, c.name, server.Mail(t))
			continue
		}
		if err == nil || !strings.Contains(strings.ToLower(err.Error()), c.refusal) || isPermanent(err) != c.permanent {
			t.Errorf("%s: %v, permanent %v", c.name, err, isPermanent(err))
		}
	}
	server.Idle(t) // no connection was left open, whatever went wrong on it
	if n := server.Waiting(t); n > 0 {
		t.Errorf("%d mails arrived that were refused", n)
	}
}

// checkArrived looks at a mail that went through another server, whose lines end as on its disk.
func checkArrived(t *testing.T, name string, raw []byte) {
	t.Helper()
	head, texts := parts(t, raw)
	if head.Get("To") != "<ann@example.com>" || head.Get("Message-Id") != "<0199-1@example.com>" || head.Get("Bcc") != "" || !strings.Contains(head.Get("Received"), "mail.example.com") {
		t.Errorf("%s: %v", name, head)
	}
	if text := texts["text/plain"]; !strings.Contains(text, "Hello Ann <b>é  Bcc: x,") || !strings.Contains(text, "    c0de-{{username}}") {
		t.Errorf("%s: %q", name, text)
	}
	if html := texts["text/html"]; !strings.Contains(html, "Ann &lt;b&gt;é") || !strings.Contains(html, "Pond &amp; Co") {
		t.Errorf("%s: %q", name, html)
	}
}

func isPermanent(err error) bool {
	return fmt.Sprintf("%T", err) == fmt.Sprintf("%T", worker.Permanent(io.EOF))
}
