package module

import (
	"errors"

	"gosper/broker/post"
	"gosper/protocol"
)

// The gift of the day goes to a friend at no cost. That it was sent stands in the sender's list of friends, which is
// written in the commit that accepts the mail.

var (
	faultGifted  = refuseGate(protocol.StatusInvalid, 95, "this friend has got the gift of the day")
	faultNoDaily = refuseGate(protocol.StatusPrerequisite, 98, "there is no gift of the day")
)

func giftFriend(t *Tools, c *Call, in *whom) (mailKey, error) {
	p, err := t.findPlayer(c.Context, c.Who.World, in.Name, in.UID)
	if err != nil {
		return mailKey{}, err
	}
	key, err := t.sendDailyGift(c, p.Account)
	return mailKey{key}, err
}

// sentGifts is the answer to a gift for every friend.
type sentGifts struct {
	Sent []string `json:"sent"` // accounts
	Full []string `json:"full"` // whose mailboxes are full
}

func giftFriends(t *Tools, c *Call, _ *empty) (sentGifts, error) {
	out := sentGifts{Sent: []string{}, Full: []string{}}
	list, err := t.loadFriends(c.Context, c.Who.World, c.Who.Account)
	if err != nil {
		return out, err
	}
	for _, f := range list.Friends {
		if f.Gift == t.today() {
			continue
		}
		_, err := t.sendDailyGift(c, f.UID)
		var fault *Fault
		switch {
		case err == nil:
			out.Sent = append(out.Sent, f.UID)
		case errors.As(err, &fault) && fault.Gate == 94:
			out.Full = append(out.Full, f.UID)
		case errors.Is(err, faultGifted), errors.Is(err, faultNoFriend): // meanwhile
		default:
			return out, err
		}
	}
	return out, nil
}

// sendDailyGift mails the gift of the day to a friend.
func (t *Tools) sendDailyGift(c *Call, to string) (string, error) {
	if t.post == nil {
		return "", faultNoPost
	}
	settings := t.social.gifts.Get()
	if len(settings.daily) == 0 {
		return "", faultNoDaily
	}
	box := post.Box{World: c.Who.World, UID: to}
	m := post.Mail{Kind: post.Gift, From: c.Who.Name, Subject: subjectFriendGift, Items: itemsText(settings.daily)}
	err := again(func() error {
		list, err := t.loadFriends(c.Context, c.Who.World, c.Who.Account)
		if err != nil {
			return err
		}
		at := list.find(to)
		switch {
		case at < 0:
			return faultNoFriend
		case list.Friends[at].Gift == t.today():
			return faultGifted
		}
		list.Friends[at].Gift = t.today()
		op, err := list.op()
		if err != nil {
			return err
		}
		key, ops, err := t.post.SendOps(box, m)
		if err != nil {
			return postFault(err)
		}
		m.Key = key
		_, err = t.store.Commit(c.Context, append(ops, op)...)
		return err
	})
	if err != nil {
		return "", err
	}
	t.accepted(c.Context, box, &m)
	return m.Key, nil
}
