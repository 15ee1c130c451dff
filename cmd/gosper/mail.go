package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"gosper/broker"
	"gosper/broker/mailer"
	"gosper/broker/pebble"
	"gosper/edge/module"
	"gosper/edge/node"
)

func mailCommand() command {
	return command{
		name:    "mail",
		summary: "read the e-mails that wait to be sent, and those that no SMTP server took; read mailboxes of the game",
		example: "gosper mail outbox\ngosper mail --json outbox\ngosper mail sent 0199a1b2-…\ngosper mail list 0 42\ngosper mail reindex 0 42",
		run:     runMail,
	}
}

// runMail lists the outbox of a running node, or of the data folder when no node runs, or removes an e-mail.
func runMail(ctx context.Context, args []string, io stdio) int {
	flags := newFlags(mailCommand(), "[flags] outbox | sent ID | list WORLD UID | reindex WORLD UID", io.out)
	api := newInternalAPI(flags)
	asJSON := flags.Bool("json", false, "one JSON object a line")
	data := flags.String("data", node.DefaultOptions().Data, "data folder, read when no node answers")
	dir := flags.String("mail-dir", "", "folder of the mailboxes, when no node answers and it is not mail in the data folder")
	words, code, done := parseMixed(flags, args, io)
	if done {
		return code
	}
	box := outbox{api, *data}
	switch {
	case len(words) == 1 && words[0] == "outbox":
		return box.list(ctx, *asJSON, io)
	case len(words) == 2 && words[0] == "sent":
		return box.sent(ctx, words[1], io)
	case len(words) == 3 && words[0] == "list":
		return mailbox{box, *dir, words[1], words[2]}.list(ctx, *asJSON, io)
	case len(words) == 3 && words[0] == "reindex":
		return mailbox{box, *dir, words[1], words[2]}.reindex(ctx, io)
	}
	return usageError(io, "gosper mail", errors.New("say outbox, sent ID, list WORLD UID or reindex WORLD UID"))
}

// outbox reaches the e-mails of a node, running or not.
type outbox struct {
	api  *internalAPI
	data string
}

// list prints all e-mails, oldest first.
func (b outbox) list(ctx context.Context, asJSON bool, io stdio) int {
	for after := ""; ; {
		emails, err := b.page(ctx, after)
		if err != nil {
			return failure(io, "gosper mail", err)
		}
		if len(emails) == 0 {
			return exitOK
		}
		for _, e := range emails {
			printEmail(io, e, asJSON)
		}
		after = emails[len(emails)-1].ID
	}
}

func printEmail(io stdio, e module.Email, asJSON bool) {
	if !asJSON {
		fmt.Fprintf(io.out, "%s  %s  %-16s  to %s  user %s  code %s\n", e.ID, e.Created.Format(time.RFC3339), e.Template, e.To, e.Username, e.Code)
		return
	}
	if b, err := json.Marshal(e); err == nil {
		fmt.Fprintln(io.out, string(b))
	}
}

// page returns the next e-mails after an id.
func (b outbox) page(ctx context.Context, after string) (emails []module.Email, err error) {
	var out struct {
		Emails []module.Email `json:"emails"`
	}
	err = b.api.get(ctx, "/admin/mail/outbox?after="+url.QueryEscape(after), &out)
	if !errors.Is(err, errNoNode) {
		return out.Emails, err
	}
	err = b.offline(func(box *module.Outbox) (err error) {
		emails, err = box.List(ctx, after, 1000)
		return err
	})
	return emails, err
}

// sent removes an e-mail from the outbox.
func (b outbox) sent(ctx context.Context, id string, io stdio) int {
	var out struct{}
	err := b.api.form(ctx, "/admin/mail/sent", url.Values{"id": {id}}, &out)
	if errors.Is(err, errNoNode) {
		err = b.offline(func(box *module.Outbox) error { return box.Delete(ctx, id) })
	}
	if err != nil {
		return failure(io, "gosper mail", err)
	}
	return exitOK
}

// offline works on the outbox of a node that does not run.
func (b outbox) offline(work func(*module.Outbox) error) error {
	return b.openStore(func(store broker.Store) error {
		return work(module.NewOutbox(store, module.DefaultOptions().MailOutbox, nil, mailer.NewFolder(node.Mailbox(b.data))))
	})
}

// openStore opens the data folder of a node that does not run.
func (b outbox) openStore(work func(broker.Store) error) error {
	folder := node.StoreFolder(b.data)
	if _, err := os.Stat(folder); err != nil {
		return fmt.Errorf("no node answers at %s, and there is no data folder %s", *b.api.addr, b.data)
	}
	db, err := pebble.Open(folder, pebble.Options{})
	if err != nil {
		return err
	}
	return errors.Join(work(db.Store()), db.Close())
}
