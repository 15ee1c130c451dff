package node

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"gosper/broker/post"
)

// PostOptions are the options of the post office that users set.
type PostOptions struct {
	Dir       string // folder of the mailboxes, may be on a disk that several nodes share; "": mail in the data folder
	Host      string // unique name of this node among those that share Dir; "": the name of the machine
	Zone      int    // hours east of UTC in which the header `time` of the files is written
	BoxLimit  int    // mails of one box
	BodyLimit int    // bytes of a body
	Workers   int    // boxes that become files at a time
}

// MailDir is the folder of the mailboxes in a data folder.
func MailDir(data string) string { return filepath.Join(data, "mail") }

// bind describes the options.
func (p *PostOptions) bind(b *binder) {
	b.group = "Mailboxes"
	b.text(&p.Dir, "mail-dir", "folder of the mailboxes, one Maildir each, which nodes may share; empty: mail in the data folder")
	b.text(&p.Host, "mail-host", "unique name of this node among those that share mail-dir; empty: the name of the machine, or with a store that nodes share that of the node")
	b.number(&p.Zone, "mail-zone", "hours east of UTC of the header time in files of mails; clients see the zone that the config file mail says")
	b.number(&p.BoxLimit, "mail-box-limit", "most mails of one mailbox; beyond it: gate code 94, status 1 of /send")
	b.number(&p.BodyLimit, "mail-body-limit", "most bytes of the text of a mail; beyond it: 1001, gate code 96, status -1 of /send")
	b.number(&p.Workers, "mail-file-workers", "mailboxes at a time whose accepted mails become files")
}

func (p *PostOptions) check() error {
	for _, n := range []struct {
		name            string
		value, min, max int
	}{{"mail-zone", p.Zone, -12, 14}, {"mail-box-limit", p.BoxLimit, 1, post.MaxBoxLimit}, {"mail-body-limit", p.BodyLimit, 1, post.MaxBodyLimit},
		{"mail-file-workers", p.Workers, 1, post.MaxWorkers}} {
		if n.value < n.min || n.value > n.max {
			return fmt.Errorf("%s: must be %d to %d", n.name, n.min, n.max)
		}
	}
	return nil
}

// Open returns the options of an office for a data folder.
func (p *PostOptions) Open(data string) post.Options {
	dir := p.Dir
	if dir == "" {
		dir = MailDir(data)
	}
	return post.Options{Root: dir, Host: p.Host, Zone: time.FixedZone("", p.Zone*3600), BoxLimit: p.BoxLimit, BodyLimit: p.BodyLimit, Workers: p.Workers}
}

// openPost opens the post office. Mails are announced by the table, which is there before the first of them.
func (n *Node) openPost() (err error) {
	o := n.options.Post.Open(n.options.Data)
	o.Store, o.Log = n.store, n.log
	if o.Shared = n.state != nil; o.Shared {
		if o.Host == "" {
			o.Host = n.name
		}
		o.Leads = func() bool { return n.leads("mail") }
	}
	o.Delivered = func(box post.Box, m post.Mail) { n.table.MailDelivered(box, m) }
	if n.post, err = post.Open(o); err != nil {
		return fmt.Errorf("mail-dir: %w", err)
	}
	if !n.options.has(RoleMail) {
		return nil
	}
	return n.stand("mail", func(ctx context.Context, _ uint64) { <-ctx.Done() })
}
