package mailer

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"go.uber.org/goleak"

	"gosper/broker"
	"gosper/broker/mailer/mailertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// post is an SMTP server that takes mails of one user.
type post struct {
	mails chan []byte
	fault error // answer to the next recipients
}

func (p *post) NewSession(*smtp.Conn) (smtp.Session, error) { return &postSession{post: p}, nil }

type postSession struct {
	post *post
	in   bool
}

func (s *postSession) AuthMechanisms() []string { return []string{sasl.Plain} }
func (s *postSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "game" || password != "secret" {
			return errors.New("wrong password")
		}
		s.in = true
		return nil
	}), nil
}
func (s *postSession) Mail(string, *smtp.MailOptions) error {
	if !s.in {
		return smtp.ErrAuthRequired
	}
	return nil
}
func (s *postSession) Rcpt(string, *smtp.RcptOptions) error { return s.post.fault }
func (s *postSession) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	s.post.mails <- b
	return err
}
func (s *postSession) Reset()        {}
func (s *postSession) Logout() error { return nil }

// office starts the server with STARTTLS and returns options that reach it.
func office(t *testing.T) (*post, Options) {
	certificate := mailertest.NewCertificate(t, t.TempDir())
	pair, err := tls.LoadX509KeyPair(certificate.CertFile, certificate.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	p := &post{mails: make(chan []byte, 10)}
	server := smtp.NewServer(p)
	server.Domain = "localhost"
	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}}
	server.ErrorLog = quiet{}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ln) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-ended
	})
	return p, Options{SMTP: ln.Addr().String(), User: "game", Password: "secret", From: "Gosper <game@example.com>", Site: "Pond & Co",
		Timeout: time.Minute, roots: &tls.Config{RootCAs: certificate.Pool(t), ServerName: "127.0.0.1"}}
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

func ann() Mail {
	return Mail{ID: "0199-1", Template: "registrationCode", To: "ann@example.com", Username: "Ann <b>é\r\nBcc: x", Code: "c0de-{{username}}", Created: time.Unix(1e9, 0)}
}

// parts decodes the text and the HTML of a mail.
func parts(t *testing.T, raw []byte) (head mail.Header, texts map[string]string) {
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatal(kind, err)
	}
	texts = map[string]string{}
	for r := multipart.NewReader(m.Body, params["boundary"]); ; {
		p, err := r.NextRawPart()
		if err == io.EOF {
			return m.Header, texts
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(quotedprintable.NewReader(p))
		if err != nil {
			t.Fatal(err)
		}
		kind, _, _ := mime.ParseMediaType(p.Header.Get("Content-Type"))
		texts[kind] = string(b)
	}
}

// Goal: a mail goes through STARTTLS and AUTH, in text and HTML, and no value breaks out of its place. Method: a real SMTP
// server; a name with markup, a line break and a header.
func TestSMTP(t *testing.T) {
	p, o := office(t)
	m, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Send(t.Context(), ann()); err != nil {
		t.Fatal(err)
	}
	head, texts := parts(t, <-p.mails)
	if head.Get("To") != "<ann@example.com>" || head.Get("Bcc") != "" || head.Get("Message-Id") != "<0199-1@example.com>" || head.Get("Auto-Submitted") == "" {
		t.Errorf("%v", head)
	}
	if text := texts["text/plain"]; !strings.Contains(text, "Hello Ann <b>é  Bcc: x,") || !strings.Contains(text, "    c0de-{{username}}\r\n") || !strings.Contains(text, "Pond & Co") {
		t.Errorf("%q", text)
	}
	if html := texts["text/html"]; !strings.Contains(html, "Ann &lt;b&gt;é") || !strings.Contains(html, "Pond &amp; Co") {
		t.Errorf("%q", html)
	}
}

// Goal: what a later try may mend is no permanent error, what it cannot is. Method: the server refuses for now and for good,
// is not there, wants another password; bad templates and addresses.
func TestSMTPErrors(t *testing.T) {
	p, o := office(t)
	send := func(o Options, e Mail) error {
		m, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		if err = m.Send(t.Context(), e); err == nil {
			t.Error("no error")
		}
		return err
	}
	p.fault = &smtp.SMTPError{Code: 451, Message: "later"}
	if err := send(o, ann()); isPermanent(err) {
		t.Error(err)
	}
	p.fault = &smtp.SMTPError{Code: 550, Message: "no such box"}
	if err := send(o, ann()); !isPermanent(err) {
		t.Error(err)
	}
	p.fault = nil
	wrong := o
	wrong.Password = "guess"
	if err := send(wrong, ann()); isPermanent(err) {
		t.Error("a wrong password is for the operator to mend:", err)
	}
	gone := o
	gone.SMTP = "127.0.0.1:1"
	if err := send(gone, ann()); isPermanent(err) {
		t.Error(err)
	}
	stranger := o
	stranger.roots = nil
	if err := send(stranger, ann()); isPermanent(err) {
		t.Error(err)
	}
	bad := ann()
	bad.Template = "poem"
	if err := send(o, bad); !isPermanent(err) {
		t.Error(err)
	}
	bad = ann()
	bad.To = "nobody at all"
	if err := send(o, bad); !isPermanent(err) {
		t.Error(err)
	}
	if len(p.mails) > 0 {
		t.Error("a mail was sent")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if m, err := New(o); err != nil || m.Send(ended, ann()) == nil {
		t.Error("sent in a context that has ended", err)
	}
}

// Goal: without a server a mail lands once in a Maildir that others can read, is listed and removed. Method: sent twice, read
// by net/mail.
func TestFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbox")
	folder := NewFolder(path)
	if list, err := folder.List("", 10); err != nil || len(list) != 0 {
		t.Error(list, err)
	}
	m, err := New(Options{From: "game@example.com", Site: "Pond", Folder: path})
	if err != nil {
		t.Fatal(err)
	}
	second := ann()
	second.ID = "0199-2/../:x"
	for _, e := range []Mail{second, ann(), ann()} {
		if err := m.Send(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	list, err := folder.List("", 10)
	if err != nil || len(list) != 2 || list[0].ID != "0199-1" || list[1].ID != second.ID {
		t.Fatalf("%+v %v", list, err)
	}
	if e := list[0]; e.To != "ann@example.com" || e.Code != ann().Code || e.Template != "registrationCode" || e.Username != "Ann <b>é  Bcc: x" || !e.Created.Equal(ann().Created) {
		t.Errorf("%+v", e)
	}
	for dir, want := range map[string]int{"new": 2, "tmp": 0, "cur": 0} {
		if files, err := filepath.Glob(filepath.Join(path, dir, "*")); err != nil || len(files) != want {
			t.Errorf("%s: %v %v", dir, files, err)
		}
	}
	if err := errors.Join(folder.Delete("0199-1"), folder.Delete(second.ID)); err != nil {
		t.Error(err)
	}
	if err := folder.Delete("0199-1"); !errors.Is(err, broker.ErrNotFound) {
		t.Error(err)
	}
}

// Goal: wrong options are named. Method: table.
func TestOptions(t *testing.T) {
	for name, o := range map[string]Options{
		"smtp-addr": {SMTP: "host", From: "a@b.c"}, "smtp-tls": {TLS: "maybe", From: "a@b.c"}, "mail-from": {From: "me"},
		"smtp-user": {From: "a@b.c", Password: "x"}, "folder": {From: "a@b.c"},
	} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
