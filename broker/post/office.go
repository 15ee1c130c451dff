package post

import (
	"context"

	"gosper/broker"
)

// Office is an open post office. Its methods may be called from any goroutine; all of them may block on the disk.
type Office struct{ options Options }

// Open opens the office; mails that a crash left in the spool become files.
func Open(o Options) (*Office, error) { return &Office{options: o}, nil }

// Send accepts a mail: durable when it returns nil.
func (o *Office) Send(ctx context.Context, box Box, m Mail) (key string, err error) { return "", broker.ErrClosed }

// SendOps is Send as ops of the caller's own Commit, after which it calls Accepted.
func (o *Office) SendOps(box Box, m Mail) (key string, ops []broker.Op, err error) {
	return "", nil, broker.ErrClosed
}

// Accepted tells that the ops of SendOps are committed.
func (o *Office) Accepted(box Box, key string) {}

// New returns the unread mails.
func (o *Office) New(ctx context.Context, box Box) ([]Mail, error) { return nil, broker.ErrClosed }

// All returns all mails.
func (o *Office) All(ctx context.Context, box Box) ([]Mail, error) { return nil, broker.ErrClosed }

// Count returns how many mails the box has and may have.
func (o *Office) Count(ctx context.Context, box Box) (cur, limit int, err error) {
	return 0, 0, broker.ErrClosed
}

// Get returns one mail: broker.ErrNotFound.
func (o *Office) Get(ctx context.Context, box Box, key string) (Mail, error) {
	return Mail{}, broker.ErrClosed
}

// MarkRead marks a mail as read: broker.ErrNotFound.
func (o *Office) MarkRead(ctx context.Context, box Box, key string) error { return broker.ErrClosed }

// Delete removes a mail: broker.ErrNotFound.
func (o *Office) Delete(ctx context.Context, box Box, key string) error { return broker.ErrClosed }

// DeleteRead removes the mails that were read and returns their keys.
func (o *Office) DeleteRead(ctx context.Context, box Box) (keys []string, err error) {
	return nil, broker.ErrClosed
}

// Reindex builds the index of a box again from its files.
func (o *Office) Reindex(ctx context.Context, box Box) error { return broker.ErrClosed }

// Close ends the office. What was accepted stays in the spool.
func (o *Office) Close() error { return nil }
