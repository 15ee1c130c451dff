package module

import (
	"context"
	"encoding/json"
	"errors"

	"gosper/broker"
	"gosper/broker/post"
	"gosper/protocol"
)

type sendMailIn struct {
	Name  string      `json:"gn_target"`
	UID   string      `json:"uid_target"`
	Subj  string      `json:"subj"`
	Body  string      `json:"body"`
	Type  json.Number `json:"type"` // "0", or "1" for a gift; missing: what items say
	Items string      `json:"items"`
}

func sendMail(t *Tools, c *Call, in *sendMailIn) (mailKey, error) {
	if t.post == nil {
		return mailKey{}, faultNoPost
	}
	if fault := t.muted(&c.Who, t.now()); fault != nil {
		return mailKey{}, fault
	}
	gift := in.Items != ""
	switch {
	case in.Type != "" && in.Type != "0" && in.Type != "1":
		return mailKey{}, refuseGate(protocol.StatusInvalid, 96, "type must be 0 or 1: requests have functions of their own")
	case in.Type == "1" && !gift:
		return mailKey{}, refuseGate(protocol.StatusMissing, 96, "a gift needs items")
	case in.Type == "0" && gift:
		return mailKey{}, refuseGate(protocol.StatusInvalid, 96, "a mail with items is a gift: type 1")
	case in.Subj == "" && in.Body == "" && !gift:
		return mailKey{}, refuseGate(protocol.StatusMissing, 98, "the mail is empty: subj or body")
	}
	to, err := t.findPlayer(c.Context, c.Who.World, in.Name, in.UID)
	if err != nil {
		return mailKey{}, err
	}
	box := post.Box{World: c.Who.World, UID: to.Account}
	m := post.Mail{From: c.Who.Name, Subject: in.Subj, Body: in.Body}
	if gift {
		return t.sendOwnGift(c, box, m, in.Items)
	}
	if err := t.takeDaily(c.Context, "mail", &c.Who, t.social.mails.Get().SimpleDay); err != nil {
		return mailKey{}, err
	}
	key, err := t.post.Send(c.Context, box, m)
	if err != nil {
		t.giveDaily(c.Context, "mail", &c.Who)
	}
	return mailKey{key}, postFault(err)
}

// sendOwnGift sends items of the caller: they leave the inventory in the commit in which the mail is accepted.
func (t *Tools) sendOwnGift(c *Call, box post.Box, m post.Mail, text string) (mailKey, error) {
	items, err := ParseItems(text)
	if err != nil {
		return mailKey{}, itemsFault(err)
	}
	if err := t.takeDaily(c.Context, "gift", &c.Who, t.social.gifts.Get().SendDay); err != nil {
		return mailKey{}, err
	}
	m.Kind, m.Items = post.Gift, itemsText(items)
	err = t.changeInventory(c.Context, c.Who.World, c.Who.Account, func(inv *inventory) ([]broker.Op, error) {
		if err := inv.take(items); err != nil {
			return nil, err
		}
		key, ops, err := t.post.SendOps(box, m)
		m.Key = key // the same mail when others are faster and it is tried again
		return ops, postFault(err)
	})
	if err != nil {
		t.giveDaily(c.Context, "gift", &c.Who)
		return mailKey{}, err
	}
	t.accepted(c.Context, box, &m)
	return mailKey{m.Key}, nil
}

// accepted does what follows the commit of a mail.
func (t *Tools) accepted(ctx context.Context, box post.Box, m *post.Mail) {
	t.post.Accepted(box, m.Key)
	if err := t.registerMail(ctx, box, m); err != nil && !errors.Is(err, broker.ErrExists) {
		t.log.Warn("a mail has no nonce for services; players can accept it", "key", m.Key, "error", err)
	}
}

// postFault says what the post office refuses; other errors stay as they are.
func postFault(err error) error {
	switch {
	case errors.Is(err, post.ErrFull):
		return refuseGate(protocol.StatusTooMuch, 94, "the mailbox of this player is full")
	case errors.Is(err, post.ErrBadMail), errors.Is(err, post.ErrBadBox):
		return refuseGate(protocol.StatusInvalid, 96, err.Error())
	}
	return err
}

// findPlayer returns the player of a name or an account in a world: refused with gate code 97 when there is none.
func (t *Tools) findPlayer(ctx context.Context, world, name, uid string) (player, error) {
	nobody := refuseGate(protocol.StatusInvalid, 97, "there is no such player in this world")
	var err error
	switch {
	case uid != "":
	case name == "":
		return player{}, refuseGate(protocol.StatusMissing, 97, "name the player: gn_target, or uid_target")
	case !protocol.ValidDisplayName(name):
		return player{}, nobody
	default:
		if uid, err = t.nameHolder(ctx, world, name); err != nil {
			return player{}, err
		}
	}
	if !protocol.ValidName(uid) {
		return player{}, nobody
	}
	p, err := t.loadPlayer(ctx, world, uid)
	if err == nil && p.Name == "" {
		err = nobody
	}
	return p, err
}
