package module

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"gosper/broker"
	"gosper/broker/post"
	"gosper/protocol"
)

// Accepting what a mail offers, once.
//
// The mail says what is offered, and the mark redeemed/<key> of the Store that it was accepted. The mark is made in the
// commit that has the effect (items come to the inventory, two players become friends), and must not exist before: of any
// number of callers at the same instant one commit succeeds, and no crash can come between the mark and the effect. The
// nonce of the key in the Registry is only the door for services: whoever redeems it makes the mark first.
//
// A mark stays while its mail may: otherwise a mail could be accepted again. Marks of mails that have gone are dropped
// after a time that no call can last.

const (
	redeemedPrefix = "redeemed/"
	redeemedAge    = 24 * time.Hour // after which the mark of a mail that has gone is dropped
	redeemedSweep  = 1000           // marks looked at in one step
	nonceBox       = "box"          // member of a nonce's payload: whose mail it is
)

// redeemedMark is the record of a mail that was accepted.
type redeemedMark struct {
	World string    `json:"world,omitempty"`
	UID   string    `json:"uid,omitempty"`
	Time  time.Time `json:"time"`
}

func redeemedKey(key string) string { return redeemedPrefix + protocol.EscapeToken(key) }

// markRedeemed is the write that accepts a key; it fails when the key was accepted.
func (t *Tools) markRedeemed(box post.Box, key string) (broker.Op, error) {
	value, err := json.Marshal(redeemedMark{box.World, box.UID, t.now().UTC()})
	return broker.OpCreate(redeemedKey(key), value), err
}

var (
	faultNoMail   = refuseGate(protocol.StatusInvalid, 99, "there is no such mail in the mailbox")
	faultRedeemed = refuseGate(protocol.StatusInvalid, 98, "this was accepted or refused already")
)

// acceptMail accepts a mail of a kind with the effect whose writes effect returns. It may be called several times, each
// time after everything has been read anew.
func (t *Tools) acceptMail(ctx context.Context, who *Identity, key string, kind post.Kind, effect func(*post.Mail) ([]broker.Op, error)) (post.Mail, error) {
	box, err := t.boxOf(who)
	if err != nil {
		return post.Mail{}, err
	}
	if !validMailKey(key) {
		return post.Mail{}, faultNoMail
	}
	var m post.Mail
	err = again(func() error {
		if m, err = t.offer(ctx, box, key, kind); err != nil {
			return err
		}
		mark, err := t.markRedeemed(box, key)
		if err != nil {
			return err
		}
		ops, err := effect(&m)
		if err != nil {
			return err
		}
		_, err = t.store.Commit(ctx, append(ops, mark)...)
		return err
	})
	if err != nil {
		return m, err
	}
	t.closeDoor(ctx, key)
	if err := t.post.MarkRead(ctx, box, key); err != nil && !errors.Is(err, broker.ErrNotFound) {
		t.log.Warn("an accepted mail was not marked as read", "key", key, "error", err)
	}
	return m, nil
}

// offer reads a mail that was not accepted yet.
func (t *Tools) offer(ctx context.Context, box post.Box, key string, kind post.Kind) (post.Mail, error) {
	_, err := t.store.Get(ctx, redeemedKey(key))
	if err == nil {
		return post.Mail{}, faultRedeemed
	}
	if !errors.Is(err, broker.ErrNotFound) {
		return post.Mail{}, err
	}
	m, err := t.post.Get(ctx, box, key)
	if errors.Is(err, broker.ErrNotFound) || err == nil && m.Kind != kind {
		return m, faultNoMail
	}
	return m, err
}

// closeDoor drops the nonce of a mail that was accepted or deleted.
func (t *Tools) closeDoor(ctx context.Context, key string) {
	if err := t.registry.Delete(ctx, nonceKey(key)); err != nil {
		t.log.Warn("the nonce of a mail was not dropped; it accepts nothing any more", "key", key, "error", err)
	}
}

// redeemMail makes the mark for a service that redeems the nonce of a mail: broker.ErrNotFound when it was accepted.
func (t *Tools) redeemMail(ctx context.Context, key string, payload map[string]string) error {
	world, uid, _ := strings.Cut(payload[nonceBox], "/")
	mark, err := t.markRedeemed(post.Box{World: world, UID: uid}, key)
	if err != nil {
		return err
	}
	_, err = t.store.Commit(ctx, mark)
	if errors.Is(err, broker.ErrExists) {
		return broker.ErrNotFound // the nonce is left to whoever made the mark: that call takes it
	}
	return err
}

// sweepRedeemed drops marks whose mails have gone. It runs once after each start, and goes on after the next one when it
// is cut short: a mark too many does no harm.
func (t *Tools) sweepRedeemed(ctx context.Context) {
	if t.post == nil {
		return
	}
	for after := ""; ; {
		records, err := t.store.List(ctx, redeemedPrefix, after, redeemedSweep)
		if err != nil {
			t.log.Info("marks of accepted mails were not looked through to the end", "error", err)
			return
		}
		for _, r := range records {
			if !t.markStays(ctx, &r) {
				_ = t.store.Delete(ctx, r.Key, r.Revision) // or after the next start
			}
		}
		if len(records) < redeemedSweep {
			return
		}
		after = records[len(records)-1].Key
	}
}

// markStays says whether the mail of a mark may be there still, or a call that has read it.
func (t *Tools) markStays(ctx context.Context, r *broker.Record) bool {
	var mark redeemedMark
	key, err := protocol.UnescapeToken(strings.TrimPrefix(r.Key, redeemedPrefix))
	if err != nil || json.Unmarshal(r.Value, &mark) != nil || mark.UID == "" || t.now().Sub(mark.Time) < redeemedAge {
		return true
	}
	_, err = t.post.Get(ctx, post.Box{World: mark.World, UID: mark.UID}, key)
	return !errors.Is(err, broker.ErrNotFound)
}
