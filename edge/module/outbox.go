package module

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"gosper/broker"
)

// Email is one e-mail that waits in the outbox to be sent.
type Email struct {
	ID       string    `json:"id"` // sorts by time
	Template string    `json:"template"`
	To       string    `json:"to"`
	Username string    `json:"username"`
	Code     string    `json:"code,omitempty"`
	Created  time.Time `json:"created"`
}

// Templates of e-mails.
const (
	EmailRegistration = "registrationCode"
	EmailForgot       = "forgotPassword"
)

// outboxPrefix is where e-mails are kept in the Store.
const outboxPrefix = "mailout/"

// ErrOutboxFull is returned when too many e-mails wait.
var ErrOutboxFull = errors.New("too many e-mails wait to be sent")

// Outbox is the durable list of e-mails to send: an e-mail is written in the same commit as the change that causes
// it, and stays until somebody deletes it after sending. All methods may be called from any goroutine except loops.
type Outbox struct {
	store broker.Store
	max   int

	mu      sync.Mutex
	counted bool
	waiting int
}

// NewOutbox returns the outbox of a store, for at most max waiting e-mails.
func NewOutbox(store broker.Store, max int) *Outbox { return &Outbox{store: store, max: max} }

// op returns the write that puts e in the outbox; the caller commits it with the rest of its change and then calls
// settle with the commit's error.
func (o *Outbox) op(ctx context.Context, e Email) (broker.Op, error) {
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

// settle corrects the count when the commit of an op failed.
func (o *Outbox) settle(err error) {
	if err != nil {
		o.mu.Lock()
		o.waiting--
		o.mu.Unlock()
	}
}

// count reads the number of waiting e-mails once. The caller holds mu.
func (o *Outbox) count(ctx context.Context) error {
	if o.counted {
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
	o.waiting, o.counted = waiting, true
	return nil
}

// List returns at most limit waiting e-mails with an id after `after`, oldest first.
func (o *Outbox) List(ctx context.Context, after string, limit int) ([]Email, error) {
	if after != "" {
		after = outboxPrefix + after
	}
	records, err := o.store.List(ctx, outboxPrefix, after, limit)
	if err != nil {
		return nil, err
	}
	emails := make([]Email, len(records))
	for i, r := range records {
		if err := json.Unmarshal(r.Value, &emails[i]); err != nil {
			return nil, fmt.Errorf("e-mail %q is damaged: %w", r.Key, err)
		}
	}
	return emails, nil
}

// Delete removes an e-mail that was sent: broker.ErrNotFound when there is none of that id.
func (o *Outbox) Delete(ctx context.Context, id string) error {
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
