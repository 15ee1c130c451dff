package post

import (
	"context"
	"errors"
	"time"

	"gosper/broker"
)

// Send accepts a mail: it is durable when Send returns nil, and a file soon after. The errors are ErrFull, ErrBadMail,
// ErrBadBox and those of Store.Commit; after broker.ErrTimeout the mail may appear all the same. A mail whose key the
// box has already is not accepted again, and that is no error.
func (o *Office) Send(ctx context.Context, box Box, m Mail) (key string, err error) {
	d, err := o.enter(box)
	if err != nil {
		return "", err
	}
	defer o.leave(d)
	chosen := m.Key != ""
	op, err := o.seal(box, &m)
	if err != nil {
		return "", err
	}
	if chosen {
		if there, err := o.has(ctx, d, m.Key); there || err != nil {
			return m.Key, err
		}
	}
	mine, err := o.reserve(ctx, d, m.Key, place{})
	if err != nil {
		return "", err
	}
	o.sending.Add(1)
	_, err = o.store.Commit(ctx, op)
	o.sending.Add(-1)
	if errors.Is(err, broker.ErrExists) {
		return m.Key, nil // the same mail, sent twice at once
	}
	if err != nil {
		if mine {
			o.unreserve(d, m.Key)
		}
		o.enqueue(d) // it may be in the spool although the answer is an error
		return "", err
	}
	if chosen && o.filedBefore(ctx, d, m.Key, op) {
		o.committed(d, m.Key)
		o.enqueue(d) // the worker finds the file and drops the record
		return m.Key, nil
	}
	o.accepted(d, m)
	return m.Key, nil
}

// filedBefore says whether a mail that is in the spool now was sent before: then it became a file, and left the spool, between the
// looks at both, and there is a file of its key under another name.
func (o *Office) filedBefore(ctx context.Context, d *desk, key string, op broker.Op) bool {
	if d.lock(ctx) != nil {
		return false
	}
	defer d.unlock()
	if o.look(ctx, d) != nil {
		return false
	}
	base, _ := splitSpool(op.Value)
	i := d.find(key)
	return i >= 0 && d.files[i].Base != base
}

// SendOps is Send for callers that write a mail together with records of their own: they Commit the ops and call
// Accepted after. The place in the box is held for opsTime; a mail that is committed later may exceed the limit. Unlike
// Send it does not look whether the box has the key: the Commit fails with broker.ErrExists while the mail of that key is
// no file yet.
func (o *Office) SendOps(box Box, m Mail) (key string, ops []broker.Op, err error) {
	d, err := o.enter(box)
	if err != nil {
		return "", nil, err
	}
	defer o.leave(d)
	op, err := o.seal(box, &m)
	if err != nil {
		return "", nil, err
	}
	if _, err := o.reserve(o.ctx, d, m.Key, place{until: time.Now().Add(opsTime)}); err != nil {
		return "", nil, err
	}
	return m.Key, []broker.Op{op}, nil
}

// opsTime is how long the place of a mail from SendOps is held.
const opsTime = time.Minute

// Accepted tells that the ops that SendOps returned for a mail are committed: it becomes a file and is announced.
// Without the call it becomes a file too, some time later.
func (o *Office) Accepted(box Box, key string) {
	d, err := o.enter(box)
	if err != nil {
		return // closed: the mail is in the spool
	}
	defer o.leave(d)
	if o.options.Delivered == nil {
		o.accepted(d, Mail{Key: key})
		return
	}
	m, err := o.spooled(o.ctx, box, key)
	if errors.Is(err, broker.ErrNotFound) {
		m, err = o.Get(o.ctx, box, key)
	}
	if err != nil {
		o.log.Error("accepted mail is not announced", "world", box.World, "account", box.UID, "key", key, "error", err)
		o.enqueue(d)
		return
	}
	o.accepted(d, m)
}

// accepted has a mail of the spool made a file and announces it.
func (o *Office) accepted(d *desk, m Mail) {
	accepted.Inc()
	o.committed(d, m.Key)
	o.enqueue(d)
	if o.options.Delivered != nil {
		o.options.Delivered(d.box, m)
	}
}

// committed notes that a mail is in the spool, if it has not become a file already.
func (o *Office) committed(d *desk, key string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, ok := d.waiting[key]; ok {
		d.waiting[key] = place{committed: true}
	}
}

// seal completes a mail and makes the op of its spool record.
func (o *Office) seal(box Box, m *Mail) (op broker.Op, err error) {
	now := o.options.Now()
	if m.Time.IsZero() {
		m.Time = now
	}
	m.Time, m.Read = m.Time.UTC().Truncate(time.Second), false
	if err := m.check(o.options.BodyLimit); err != nil {
		refusedBad.Inc()
		return op, err
	}
	put := broker.OpCreate
	if m.Key == "" {
		m.Key = newKey(now)
		put = broker.OpPut // 128 random bits: there is nothing to look for
	}
	content := render(m, o.options.Zone)
	return put(box.spool()+m.Key, spoolValue(baseName(now, m.Key, o.names.Host(), len(content)), content)), nil
}

// has says whether a mail of that key is a file. The spool is not asked: its record cannot be made twice.
func (o *Office) has(ctx context.Context, d *desk, key string) (there bool, err error) {
	if err := d.lock(ctx); err != nil {
		return false, err
	}
	defer d.unlock()
	if err := o.look(ctx, d); err != nil {
		return false, err
	}
	return d.find(key) >= 0, nil
}

// countAge is how long the count of a box's files is believed when a mail is accepted. Files that other programs or
// nodes add meanwhile are not seen; a box that seems full is always looked at.
const countAge = 2 * time.Second

// reserve holds a place for a mail, or returns ErrFull. mine is false when the key has one already.
func (o *Office) reserve(ctx context.Context, d *desk, key string, p place) (mine bool, err error) {
	if mine, ok := o.tryReserve(d, key, p); ok {
		return mine, nil
	}
	if err := d.lock(ctx); err != nil {
		return false, err
	}
	defer d.unlock()
	if err := o.look(ctx, d); err != nil {
		return false, err
	}
	mine, ok := o.tryReserve(d, key, p)
	if !ok {
		refusedFull.Inc()
		return false, ErrFull
	}
	return mine, nil
}

// tryReserve returns ok false when there is no place or nobody knows.
func (o *Office) tryReserve(d *desk, key string, p place) (mine, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if time.Since(d.counted) > countAge {
		return false, false
	}
	if _, there := d.waiting[key]; there {
		return false, true
	}
	if d.count+len(d.waiting) >= o.options.BoxLimit && d.count+d.outstanding() >= o.options.BoxLimit {
		return false, false
	}
	d.wait(key, p)
	return true, true
}

// wait notes a mail that is no file yet. REQUIRES: mu.
func (d *desk) wait(key string, p place) {
	if d.waiting == nil {
		d.waiting = make(map[string]place)
	}
	d.waiting[key] = p
}

// outstanding gives up the places whose time is over and returns how many mails are no files yet. REQUIRES: mu.
func (d *desk) outstanding() int {
	for key, p := range d.waiting {
		if !p.until.IsZero() && time.Now().After(p.until) {
			delete(d.waiting, key)
		}
	}
	return len(d.waiting)
}

func (o *Office) unreserve(d *desk, key string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(d.waiting, key)
}
