package module

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"gosper/broker"
	"gosper/broker/post"
	"gosper/protocol"
)

type respondFamilyIn struct {
	Key    string `json:"key"`
	Key2   string `json:"nonce"`
	Accept *bool  `json:"accept"` // absent: true
}

// respondFamilyOut is the family that has a new member.
type respondFamilyOut struct {
	Name   string `json:"name"`
	Icon   int    `json:"icon"`
	Exp    int    `json:"exp"`
	Notice string `json:"notice"`
	Board  string `json:"board"`
}

func respondFamily(t *Tools, c *Call, in *respondFamilyIn) (respondFamilyOut, error) {
	key := first(in.Key, in.Key2)
	value, payload, err := t.familyNonceOf(c.Context, key)
	if err != nil {
		return respondFamilyOut{}, err
	}
	f, err := t.familyOfNonce(c, payload)
	if err != nil {
		return respondFamilyOut{}, err
	}
	if _, err := t.registry.Take(c.Context, nonceKey(key)); errors.Is(err, broker.ErrNotFound) {
		return respondFamilyOut{}, faultNoLetter
	} else if err != nil {
		return respondFamilyOut{}, err
	}
	if in.Accept == nil || *in.Accept {
		if f, err = t.join(c, f.World, f.ID, payload.Target); err != nil {
			t.putBack(c.Context, key, value, payload)
			return respondFamilyOut{}, err
		}
	}
	t.tidyLetters(c.Context, f, c.Who.Account, key)
	return respondFamilyOut{f.Name, f.Icon, f.Exp, f.Notice, f.Board}, nil
}

var faultNoLetter = refuseGate(protocol.StatusInvalid, 99, "this invitation or request does not count any more")

// familyNonceOf reads the nonce of a letter and leaves it where it is.
func (t *Tools) familyNonceOf(ctx context.Context, key string) (value []byte, n familyNonce, err error) {
	if key == "" || len(key) > nonceMax {
		return nil, n, faultNoLetter
	}
	value, err = t.registry.Get(ctx, nonceKey(key))
	if errors.Is(err, broker.ErrNotFound) {
		return nil, n, faultNoLetter
	}
	if err != nil {
		return nil, n, err
	}
	if json.Unmarshal(value, &n) != nil || n.Type != nonceTypeFamily || !protocol.ValidName(n.Target) {
		return nil, n, faultNoLetter
	}
	return value, n, nil
}

// familyOfNonce returns the family of a letter, if the caller may answer it: an invitation, who is invited; a request,
// an officer.
func (t *Tools) familyOfNonce(c *Call, n familyNonce) (f *family, err error) {
	if n.World != "" && n.World != c.Who.World {
		return nil, faultNoLetter
	}
	if n.Family == "" {
		f, err = t.familyNamed(c.Context, c.Who.World, n.Name)
	} else if f, err = t.loadFamily(c.Context, c.Who.World, n.Family); errors.Is(err, broker.ErrNotFound) {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	if f == nil {
		return nil, faultFamilyOver
	}
	if role, _ := f.roleOf(c.Who.Account); n.Target != c.Who.Account && role < RoleAdmin {
		return nil, noRight(95)
	}
	return f, nil
}

var faultFamilyOver = refuseGate(protocol.StatusInvalid, 97, "the family does not exist any more")

// join makes a player a member, on the word of the call's account: an officer, or the player.
func (t *Tools) join(c *Call, world, id, account string) (*family, error) {
	var p player
	a, err := t.changeFamilyOf(c.Context, world, id, faultFamilyOver, func(a *act) (err error) {
		if p, err = t.loadPlayer(c.Context, world, account); err != nil {
			return err
		}
		if a.me, err = t.loadPlayer(c.Context, world, c.Who.Account); err != nil {
			return err
		}
		role, _ := a.family.roleOf(c.Who.Account)
		switch {
		case account != c.Who.Account && role < RoleAdmin:
			return noRight(95) // not any more
		case p.revision == 0:
			return refuseGate(protocol.StatusInvalid, 94, "this player is not in this world any more")
		case p.FamilyID != "":
			return refuseGate(protocol.StatusInvalid, 98, "this player is in a family already")
		}
		if err := t.mayJoin(&p, &a.general, 93, 92); err != nil {
			return err
		}
		if err := a.family.admit(account, &a.general, a.now); err != nil {
			return err
		}
		joined := p
		joined.FamilyID = a.family.ID
		a.put(joined)
		a.family.tell(newsJoin, a.me.Name, p.Name, a.now)
		return nil
	})
	if err != nil {
		return nil, err
	}
	t.announce(c.Context, a.family, familyChanged{Change: "joined", By: a.me.Name, Target: p.Name}, account)
	return a.family, nil
}

// putBack lets a letter count again whose answer could not be carried out.
func (t *Tools) putBack(ctx context.Context, key string, value []byte, n familyNonce) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	general := t.families.settings.Get().General
	rest := general.inviteAge()
	if until, err := strconv.ParseInt(n.Until, 10, 64); err == nil {
		rest = time.Unix(until, 0).Sub(t.now())
	}
	if err := t.registry.Create(ctx, nonceKey(key), value, max(rest, time.Minute)); err != nil {
		familyMetrics.lost.Inc()
		t.log.Error("an invitation or request was lost: another one has to be sent", "error", err)
	}
}

// tidyLetters deletes the mails of an answered letter. One that stays says nothing any more.
func (t *Tools) tidyLetters(ctx context.Context, f *family, account, key string) {
	if t.post == nil {
		return
	}
	accounts := append(f.officers(), account)
	for _, account := range accounts {
		err := t.post.Delete(ctx, post.Box{World: f.World, UID: account}, key)
		if err != nil && !errors.Is(err, broker.ErrNotFound) {
			t.log.Warn("the mail of an answered letter stays", "error", err)
		}
	}
}
