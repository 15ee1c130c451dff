package module

import (
	"context"
	"errors"
	"strconv"
	"time"

	"gosper/broker"
	"gosper/broker/post"
	"gosper/protocol"
)

// Invitations and requests travel by mail. The key of such a mail is a nonce that lets one player in once: taking it from
// the Registry decides between all who answer, and a request has the same key in the mails to all officers. The nonce
// is made before the mail and is nothing to anybody without it. When the answer cannot be carried out after the nonce
// was taken (the family is full, the disk too), the nonce is put back.

// familyNonce is the payload of the nonce. A mail of a trusted service may leave out all but the type, the player and the
// name of the family.
type familyNonce struct {
	Type   string `json:"type"` // "3"
	Target string `json:"uid_target"`
	Name   string `json:"name"`
	World  string `json:"world,omitempty"`
	Family string `json:"fid,omitempty"`
	Until  string `json:"until,omitempty"` // unix seconds
}

var nonceTypeFamily = strconv.Itoa(int(post.FamilyRequest))

var faultNoLetters = refuseGate(protocol.StatusBusy, protocol.StatusTimeout, "this node has no post office")

// letter is an invitation or a request under way.
type letter struct {
	tools *Tools
	key   string
	boxes []post.Box
}

// newLetter makes the nonce of a letter.
func (t *Tools) newLetter(ctx context.Context, f *family, target string) (*letter, error) {
	general := t.families.settings.Get().General
	age := general.inviteAge()
	l := &letter{tools: t, key: newNonce()}
	payload := familyNonce{nonceTypeFamily, target, f.Name, f.World, f.ID, strconv.FormatInt(t.now().Add(age).Unix(), 10)}
	return l, t.registry.Create(ctx, nonceKey(l.key), encoded(payload), age)
}

// write returns the writes of one mail of the letter. It may be called again when the commit failed.
func (l *letter) write(world, to string, m post.Mail) ([]broker.Op, error) {
	box := post.Box{World: world, UID: to}
	m.Key, m.Kind = l.key, post.FamilyRequest
	_, ops, err := l.tools.post.SendOps(box, m)
	if err == nil {
		l.boxes = append(l.boxes, box)
	}
	return ops, err
}

// sent ends a letter: the post office delivers what was committed, or the nonce goes.
func (l *letter) sent(ctx context.Context, err error) {
	if err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = l.tools.registry.Delete(ctx, nonceKey(l.key)) // it is nothing without the mail, and ends by itself
		return
	}
	for _, box := range l.boxes {
		l.tools.post.Accepted(box, l.key)
	}
}

type inviteFamilyOut struct {
	Name  string `json:"gn"`
	Times int    `json:"times"` // how many the family may still invite today
}

// familyInvited is the content of the push /family/invited.
type familyInvited struct {
	World string `json:"world"`
	Name  string `json:"name"` // of the family
	By    string `json:"gn"`
	Key   string `json:"key"`
}

func inviteToFamily(t *Tools, c *Call, in *targetIn) (inviteFamilyOut, error) {
	if t.post == nil {
		return inviteFamilyOut{}, faultNoLetters
	}
	var target player
	var l *letter
	a, err := t.changeFamily(c, noFamily(99), func(a *act) (err error) {
		if target, err = t.playerNamed(c.Context, c.Who.World, in.name()); err != nil {
			return err
		}
		if err := t.mayInvite(a, &target); err != nil {
			return err
		}
		a.family.tell(newsInvite, a.me.Name, target.Name, a.now)
		if l == nil {
			if l, err = t.newLetter(c.Context, a.family, target.Account); err != nil {
				return err
			}
		}
		l.boxes = nil
		a.ops, err = l.write(a.family.World, target.Account, post.Mail{From: a.family.Name, Subject: "FAMILY_INVITATION", Time: a.now,
			Fields: map[string]string{"uid_target": target.Account, "name": a.family.Name}})
		return mailFault(err, 92)
	})
	if l != nil {
		l.sent(c.Context, err)
	}
	if err != nil {
		return inviteFamilyOut{}, err
	}
	t.pushTo(routeFamilyInvited, familyInvited{a.family.World, a.family.Name, a.me.Name, l.key}, target.Account)
	t.announce(c.Context, a.family, familyChanged{Change: "invited", By: a.me.Name, Target: target.Name})
	return inviteFamilyOut{target.Name, a.general.Invites - a.family.Today.Invites}, nil
}

// mayInvite checks that the caller may invite the player, and counts it.
func (t *Tools) mayInvite(a *act, target *player) error {
	if role, ok := a.family.roleOf(a.me.Account); ok && role >= RoleAdmin {
		if target.revision == 0 {
			return refuseGate(protocol.StatusInvalid, 93, "there is no player of this name")
		}
		if target.FamilyID != "" {
			return refuseGate(protocol.StatusInvalid, 94, "this player is in a family already")
		}
		if err := t.mayJoin(target, &a.general, 96, 95); err != nil {
			return err
		}
	}
	return a.family.invite(a.me.Account, &a.general, a.now)
}

// mailFault tells a full mailbox, with the function's code for it, from other errors of the post office.
func mailFault(err error, full protocol.Status) error {
	if errors.Is(err, post.ErrFull) {
		return refuseGate(protocol.StatusTooMuch, full, "the mailbox of this player is full")
	}
	return err
}

type requestFamilyOut struct {
	Name  string `json:"name"`
	Times int    `json:"lim"`     // how many requests the player may still send today
	Rest  int64  `json:"cooling"` // seconds until then
}

func requestFamily(t *Tools, c *Call, in *familyNameIn) (requestFamilyOut, error) {
	if t.post == nil {
		return requestFamilyOut{}, faultNoLetters
	}
	general := t.families.settings.Get().General
	var l *letter
	var p player
	var name string
	var err error
	for range mostTries {
		var f *family
		if p, f, err = t.mayRequest(c, in.text(), &general); err != nil {
			break
		}
		name = f.Name
		if l == nil {
			if l, err = t.newLetter(c.Context, f, p.Account); err != nil {
				break
			}
		}
		ops, err2 := l.toOfficers(f, &p, t.now())
		if err = err2; err != nil {
			break
		}
		_, err = t.store.Commit(c.Context, append(ops, broker.OpUpdate(playerKey(c.Who.World, p.Account), encoded(p), p.revision))...)
		if !overtaken(err) {
			break
		}
		err = faultBusy
	}
	if l != nil {
		l.sent(c.Context, err)
	}
	if err != nil {
		return requestFamilyOut{}, err
	}
	return requestFamilyOut{name, general.Requests - p.Requests, tomorrow(t.now())}, nil
}

// mayRequest checks that the caller may ask a family, and returns the player with the request counted.
func (t *Tools) mayRequest(c *Call, name string, g *FamilyGeneral) (p player, f *family, err error) {
	if p, err = t.loadPlayer(c.Context, c.Who.World, c.Who.Account); err != nil {
		return p, nil, err
	}
	switch {
	case p.revision == 0:
		return p, nil, faultNoWorld
	case p.FamilyID != "":
		return p, nil, refuseGate(protocol.StatusInvalid, 99, "you are in a family already")
	}
	if f, err = t.familyNamed(c.Context, c.Who.World, name); err != nil {
		return p, nil, err
	}
	if f == nil {
		return p, nil, refuseGate(protocol.StatusInvalid, 98, "there is no family of this name")
	}
	if err := t.mayJoin(&p, g, 96, 95); err != nil {
		return p, nil, err
	}
	if day := dayOf(t.now()); p.Day != day {
		p.Day, p.Requests = day, 0
	}
	if p.Requests >= g.Requests {
		return p, nil, familyLimit(refuseGate(protocol.StatusRefused, 94, "you may not ask another family today"))
	}
	p.Requests++
	return p, f, nil
}

// toOfficers writes one mail for each officer whose box has room.
func (l *letter) toOfficers(f *family, p *player, now time.Time) (ops []broker.Op, err error) {
	l.boxes = nil
	for _, officer := range f.officers() {
		more, err := l.write(f.World, officer, post.Mail{From: p.Name, Subject: "FAMILY_REQUEST", Time: now,
			Fields: map[string]string{"uid_target": p.Account, "name": f.Name}})
		if err != nil && !errors.Is(err, post.ErrFull) {
			return nil, err
		}
		ops = append(ops, more...)
	}
	if len(l.boxes) == 0 {
		return nil, refuseGate(protocol.StatusTooMuch, 97, "the mailboxes of the officers are full")
	}
	return ops, nil
}
