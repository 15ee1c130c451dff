package module

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"

	"gosper/broker"
	"gosper/broker/mailer"
	"gosper/broker/worker"
)

// Tube and routes of e-mails, as other producers may use them too.
const (
	emailTube  = "bg_email"
	emailRoute = "/email/" // and the template's name
)

// emailContent is the content of a job: what is needed to write the mail. ID names the row of the outbox; producers outside
// leave it out, and their mail goes out without a row.
type emailContent struct {
	Email
	Address string `json:"email,omitempty"` // the name other producers have for To
}

func mailbox(path string) *mailer.Folder {
	if path == "" {
		return nil
	}
	return mailer.NewFolder(path)
}

// enqueue makes an e-mail a job, once: as long as it is one, a second put does nothing.
func (o *Outbox) enqueue(e *Email, done func(error)) {
	body, err := worker.Encode(emailRoute+e.Template, e)
	if err != nil {
		done(err)
		return
	}
	options := broker.PutOptions{Priority: broker.DefaultPriority, TTR: broker.DefaultTTR, Unique: e.ID}
	o.queue.Put(emailTube, body, options, func(_ uint64, err error) {
		if errors.Is(err, broker.ErrExists) {
			err = nil
		}
		done(err)
	})
}

// Repair makes jobs of all waiting e-mails that are none, and returns how many e-mails wait. It is called at each start.
func (o *Outbox) Repair(ctx context.Context) (waiting int, err error) {
	for after := ""; ; {
		records, err := o.store.List(ctx, outboxPrefix, after, 1000)
		if err != nil || len(records) == 0 {
			return waiting, err
		}
		answers := make(chan error, len(records))
		for _, r := range records {
			var e Email
			if err := json.Unmarshal(r.Value, &e); err != nil {
				return waiting, err
			}
			o.enqueue(&e, func(err error) { answers <- err })
		}
		for range records {
			err = errors.Join(err, <-answers)
		}
		if err != nil {
			return waiting, err
		}
		waiting += len(records)
		after = records[len(records)-1].Key
	}
}

// Tube returns the workers that send e-mails. A mail is sent before its row goes, so that a crash in between sends it again
// and never loses it; a job without a row has been done.
func (o *Outbox) Tube(m *mailer.Mailer, concurrency int) worker.Tube {
	send := func(template string) worker.Function {
		return func(ctx context.Context, j *worker.Job) error {
			var c emailContent
			if err := json.Unmarshal(j.Content, &c); err != nil {
				return worker.Permanent(err)
			}
			c.Template = template
			if c.To == "" {
				c.To = c.Address
			}
			return o.send(ctx, m, c.Email, j)
		}
	}
	return worker.Tube{Name: emailTube, Concurrency: concurrency, Routes: worker.Routes{
		emailRoute + EmailRegistration: send(EmailRegistration),
		emailRoute + EmailForgot:       send(EmailForgot),
		emailRoute + EmailBind:         send(EmailBind),
		emailRoute + EmailUnbind:       send(EmailUnbind),
	}}
}

// send sends one e-mail and drops its row.
func (o *Outbox) send(ctx context.Context, m *mailer.Mailer, e Email, j *worker.Job) error {
	ours := e.ID != ""
	if ours {
		if _, err := o.store.Get(ctx, outboxPrefix+e.ID); errors.Is(err, broker.ErrNotFound) {
			return nil
		} else if err != nil {
			return err
		}
	} else {
		e.ID, e.Created = j.Created.UTC().Format("20060102T150405.000")+"-"+strconv.FormatUint(j.Job.ID, 10), j.Created
	}
	if err := m.Send(ctx, e); err != nil {
		return err
	}
	if !ours {
		return nil
	}
	if err := o.forget(ctx, e.ID); err != nil && !errors.Is(err, broker.ErrNotFound) {
		return err
	}
	return nil
}
