package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"gosper/broker"
	mailboxes "gosper/broker/post"
	"gosper/edge/module"
	"gosper/edge/node"
)

// mailbox reaches one mailbox of a node, running or not.
type mailbox struct {
	outbox
	dir        string // of all mailboxes, when no node runs; "" is that of the data folder
	world, uid string
}

// list prints the mails, oldest first. New ones stay new.
func (b mailbox) list(ctx context.Context, asJSON bool, io stdio) int {
	var out struct {
		Mail []module.MailOut `json:"mail"`
	}
	err := b.api.get(ctx, "/admin/mail/box?world="+url.QueryEscape(b.world)+"&uid="+url.QueryEscape(b.uid), &out)
	if errors.Is(err, errNoNode) {
		err = b.offline(func(o *mailboxes.Office, box mailboxes.Box) error {
			mails, err := o.Peek(ctx, box)
			for i := range mails {
				out.Mail = append(out.Mail, plainMail(&mails[i]))
			}
			return err
		})
	}
	if err != nil {
		return failure(io, "gosper mail", err)
	}
	for i := range out.Mail {
		printMail(io, &out.Mail[i], asJSON)
	}
	return exitOK
}

// plainMail is a mail as a node would show it whose settings say nothing; without one nobody knows them.
func plainMail(m *mailboxes.Mail) module.MailOut {
	out := module.MailOut{Body: m.Body, Time: m.Time.Format(time.DateTime), Type: fmt.Sprint(m.Kind), From: m.From, Subj: m.Subject, Key: m.Key,
		Items: m.Items, Sender: m.Fields["uid_sender"], Target: m.Fields["uid_target"], Name: m.Fields["name"]}
	if m.Read {
		out.Read = 1
	}
	return out
}

func printMail(io stdio, m *module.MailOut, asJSON bool) {
	if asJSON {
		if b, err := json.Marshal(m); err == nil {
			fmt.Fprintln(io.out, string(b))
		}
		return
	}
	state := "unread"
	if m.Read == 1 {
		state = "read"
	}
	fmt.Fprintf(io.out, "%s  %s  %-6s  type %s  from %q  %q  %q\n", m.Key, m.Time, state, m.Type, m.From, m.Subj, m.Body)
}

// reindex builds the index of the mailbox again.
func (b mailbox) reindex(ctx context.Context, io stdio) int {
	var out struct{}
	err := b.api.form(ctx, "/admin/mail/reindex", url.Values{"world": {b.world}, "uid": {b.uid}}, &out)
	if errors.Is(err, errNoNode) {
		err = b.offline(func(o *mailboxes.Office, box mailboxes.Box) error { return o.Reindex(ctx, box) })
	}
	if err != nil {
		return failure(io, "gosper mail", err)
	}
	return exitOK
}

// offline opens the post office of a node that does not run.
func (b mailbox) offline(work func(*mailboxes.Office, mailboxes.Box) error) error {
	return b.openStore(func(store broker.Store) error {
		options := node.DefaultOptions().Post
		options.Dir = b.dir
		o := options.Open(b.data)
		o.Store = store
		office, err := mailboxes.Open(o)
		if err != nil {
			return err
		}
		return errors.Join(work(office, mailboxes.Box{World: b.world, UID: b.uid}), office.Close())
	})
}
