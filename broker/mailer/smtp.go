package mailer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"

	smtp "github.com/wneessen/go-mail"

	"gosper/broker/worker"
)

func splitAddr(addr string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	port, err = strconv.Atoi(text)
	if err == nil && (port < 1 || port > 65535 || host == "") {
		err = errors.New("not an address")
	}
	return host, port, err
}

// compose makes the message of a mail.
func (m *Mailer) compose(e Mail) (*smtp.Msg, error) {
	t, ok := templates[e.Template]
	if !ok {
		return nil, fmt.Errorf("no template %q", e.Template)
	}
	values := map[string]string{"site": m.options.Site, "username": e.Username, "code": e.Code}
	msg := smtp.NewMsg(smtp.WithNoDefaultUserAgent())
	if err := msg.From(m.options.From); err != nil {
		return nil, err
	}
	if err := msg.To(e.To); err != nil {
		return nil, err
	}
	msg.Subject(fill(t.subject, values, oneLine))
	msg.SetDateWithValue(e.Created)
	if e.ID != "" {
		msg.SetMessageIDWithValue(e.ID + "@" + domainOf(m.options.From)) // the same for every try, so that receivers see a double
	} else {
		msg.SetMessageID()
	}
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetBodyString(smtp.TypeTextPlain, fill(t.text, values, oneLine))
	msg.AddAlternativeString(smtp.TypeTextHTML, fill(t.html, values, escaped))
	return msg, nil
}

// smtp gives a message to the server. A connection a mail is enough: mails are few, and an idle connection would have to be
// watched.
func (m *Mailer) smtp(ctx context.Context, msg *smtp.Msg) error {
	host, port, err := splitAddr(m.options.SMTP)
	if err != nil {
		return err
	}
	d := dialer{config: &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}}
	if m.options.roots != nil {
		d.config = m.options.roots.Clone()
	}
	defer d.close()
	options := []smtp.Option{smtp.WithPort(port), smtp.WithTimeout(m.options.Timeout), smtp.WithTLSConfig(d.config), smtp.WithDialContextFunc(d.dial)}
	switch m.options.TLS {
	case "tls":
		d.tls = true
		options = append(options, smtp.WithTLSPolicy(smtp.TLSOpportunistic)) // a server offers no STARTTLS within TLS
	case "none":
		options = append(options, smtp.WithTLSPolicy(smtp.NoTLS))
	default:
		options = append(options, smtp.WithTLSPolicy(smtp.TLSMandatory))
	}
	if m.options.User != "" {
		options = append(options, smtp.WithSMTPAuth(smtp.SMTPAuthAutoDiscover), smtp.WithUsername(m.options.User), smtp.WithPassword(m.options.Password))
	}
	client, err := smtp.NewClient(host, options...)
	if err != nil {
		return err
	}
	err = client.DialAndSendWithContext(ctx, msg)
	var refused *smtp.SendError
	if errors.As(err, &refused) && refused.ErrorCode() >= 500 {
		return worker.Permanent(err)
	}
	return err
}

// dialer opens the connection for the library and closes it at the end: the library leaves it open when STARTTLS or AUTH
// fails.
type dialer struct {
	tls    bool // from the first byte
	config *tls.Config
	conn   net.Conn
}

func (d *dialer) dial(ctx context.Context, network, addr string) (conn net.Conn, err error) {
	if d.tls {
		conn, err = (&tls.Dialer{Config: d.config}).DialContext(ctx, network, addr)
	} else {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	if err != nil {
		return nil, err
	}
	d.conn = conn
	return conn, nil
}

func (d *dialer) close() {
	if d.conn != nil {
		_ = d.conn.Close() // after QUIT it is closed already
	}
}
