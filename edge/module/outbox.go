package module

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"gosper/broker"
	"gosper/broker/mailer"
)

// Email is one e-mail that waits to be sent.
type Email = mailer.Mail

// Templates of e-mails.
const (
	EmailRegistration = "registrationCode"
	EmailForgot       = "forgotPassword"
	EmailBind         = "bindEmail"
	EmailUnbind       = "unbindEmail"
)

// outboxPrefix is where e-mails are kept in the Store.
const outboxPrefix = "mailout/"

// ErrOutboxFull is returned when too many e-mails wait.
var ErrOutboxFull = errors.New("too many e-mails wait to be sent")

// Outbox is the durable list of e-mails to send: an e-mail is written in the same commit as the change that causes
// it, becomes a job of the tube bg_email after it, and stays until it was sent or put in the operator's folder. A crash
// between commit and job is mended by Repair. All methods may be called from any goroutine except loops.
type Outbox struct {
	store  broker.Store
	max    int
	queue  broker.Queue   // nil: e-mails only wait
	folder *mailer.Folder // nil: there is none

	mu      sync.Mutex
	counted time.Time // when waiting was read from the store; zero: never
	waiting int
}

// countAge is how long the number of waiting e-mails is believed: other nodes write and send them too.
const countAge = 10 * time.Second

// NewOutbox returns the outbox of a store, for at most max waiting e-mails. queue and folder may be nil.
func NewOutbox(store broker.Store, max int, queue broker.Queue, folder *mailer.Folder) *Outbox {
	return &Outbox{store: store, max: max, queue: queue, folder: folder}
}

// op returns the write that puts e, which gets its id, in the outbox; the caller commits it with the rest of its change and
// then calls settle with the commit's error.
func (o *Outbox) op(ctx context.Context, e *Email) (broker.Op, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.count(ctx); err != nil {
		return broker.Op{}, err
	}
	if o.waiting >= o.max {
		return broker.Op{}, ErrOutboxFull
	}
	id, err := uuid.NewV7()
	if err != nil {
		return broker.Op{}, err
	}
	e.ID = id.String()
	value, err := json.Marshal(e)
	if err != nil {
		return broker.Op{}, err
	}
	o.waiting++
	return broker.OpCreate(outboxPrefix+e.ID, value), nil
}

// settle makes a committed e-mail a job, or corrects the count when the commit of its op failed.
func (o *Outbox) settle(e *Email, err error, log *slog.Logger) {
	if err != nil {
		o.mu.Lock()
		o.waiting--
		o.mu.Unlock()
		return
	}
	if o.queue == nil {
		return
	}
	o.enqueue(e, func(err error) {
		if err != nil {
			log.Error("an e-mail is stored but did not become a job; it will at the next start", "id", e.ID, "error", err)
		}
	})
}

// count reads the number of waiting e-mails now and then. The caller holds mu.
func (o *Outbox) count(ctx context.Context) error {
	if !o.counted.IsZero() && time.Since(o.counted) < countAge {
		return nil
	}
	waiting := 0
	for after := ""; ; {
		page, err := o.store.List(ctx, outboxPrefix, after, 1000)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		waiting += len(page)
		after = page[len(page)-1].Key
	}
	o.waiting, o.counted = waiting, time.Now()
	return nil
}

// List returns at most limit e-mails with an id after `after`, oldest first: those that wait, then also those in the
// operator's folder.
func (o *Outbox) List(ctx context.Context, after string, limit int) ([]Email, error) {
	from := after
	if from != "" {
		from = outboxPrefix + from
	}
	records, err := o.store.List(ctx, outboxPrefix, from, limit)
	if err != nil {
		return nil, err
	}
	emails := make([]Email, len(records))
	for i, r := range records {
		if err := json.Unmarshal(r.Value, &emails[i]); err != nil {
			return nil, fmt.Errorf("e-mail %q is damaged: %w", r.Key, err)
		}
	}
	if o.folder == nil {
		return emails, nil
	}
	filed, err := o.folder.List(after, limit) // after the store, so that one on its way is seen in one of them
	if err != nil {
		return nil, err
	}
	emails = append(emails, filed...)
	slices.SortStableFunc(emails, func(a, b Email) int { return strings.Compare(a.ID, b.ID) })
	emails = slices.CompactFunc(emails, func(a, b Email) bool { return a.ID == b.ID })
	return emails[:min(limit, len(emails))], nil
}

// Delete removes an e-mail that was sent, or that the operator has read: broker.ErrNotFound when there is none of that id.
func (o *Outbox) Delete(ctx context.Context, id string) error {
	err := o.forget(ctx, id)
	if o.folder != nil {
		if filed := o.folder.Delete(id); errors.Is(err, broker.ErrNotFound) || filed != nil && !errors.Is(filed, broker.ErrNotFound) {
			return filed
		}
	}
	return err
}

// forget drops a waiting e-mail: broker.ErrNotFound.
func (o *Outbox) forget(ctx context.Context, id string) error {
	if _, err := o.store.Get(ctx, outboxPrefix+id); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.count(ctx); err != nil {
		return err
	}
	if err := o.store.Delete(ctx, outboxPrefix+id, broker.AnyRevision); err != nil {
		return err
	}
	o.waiting--
	return nil
}
