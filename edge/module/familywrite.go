package module

import (
	"gosper/broker"
	"gosper/protocol"
)

type msgIn struct {
	Text string `json:"msg"`
}

type noticeFamilyOut struct {
	Notice string `json:"notice"`
	Times  int    `json:"limit"`   // how many notices the family may still put up today
	Rest   int64  `json:"seconds"` // until then
}

func noticeFamily(t *Tools, c *Call, in *msgIn) (noticeFamilyOut, error) {
	a, err := t.changeFamily(c, noFamily(99), func(a *act) error {
		return a.family.post(c.Who.Account, in.Text, &a.general, a.now)
	})
	if err != nil {
		return noticeFamilyOut{}, err
	}
	t.announce(c.Context, a.family, familyChanged{Change: "notice", By: a.me.Name})
	return noticeFamilyOut{in.Text, a.general.Notices - a.family.Today.Notices, tomorrow(a.now)}, nil
}

type boardFamilyOut struct {
	Board string `json:"board"`
}

func boardFamily(t *Tools, c *Call, in *msgIn) (boardFamilyOut, error) {
	a, err := t.changeFamily(c, noFamily(99), func(a *act) error {
		return a.family.write(c.Who.Account, in.Text, &a.general)
	})
	if err != nil {
		return boardFamilyOut{}, err
	}
	t.announce(c.Context, a.family, familyChanged{Change: "board", By: a.me.Name})
	return boardFamilyOut{in.Text}, nil
}

type iconFamilyIn struct {
	Icon *int `json:"icon"`
}

type iconFamilyOut struct {
	Icon int `json:"icon"`
}

func iconFamily(t *Tools, c *Call, in *iconFamilyIn) (iconFamilyOut, error) {
	if in.Icon == nil {
		return iconFamilyOut{}, refuseGate(protocol.StatusMissing, 99, "icon is missing")
	}
	a, err := t.changeFamily(c, noFamily(98), func(a *act) error {
		if err := a.family.setIcon(c.Who.Account, *in.Icon); err != nil {
			return err
		}
		a.family.tell(newsIcon, a.me.Name, "", a.now)
		return nil
	})
	if err != nil {
		return iconFamilyOut{}, err
	}
	t.announce(c.Context, a.family, familyChanged{Change: "icon", By: a.me.Name})
	return iconFamilyOut{*in.Icon}, nil
}

type roleFamilyIn struct {
	targetIn
	Role *Role `json:"role"`
}

type roleFamilyOut struct {
	Name string `json:"gn"`
	Role Role   `json:"role"`
}

func roleFamily(t *Tools, c *Call, in *roleFamilyIn) (roleFamilyOut, error) {
	if in.Role == nil {
		return roleFamilyOut{}, refuseGate(protocol.StatusMissing, 95, "role is missing: 0, 4 or 8")
	}
	var target player
	a, err := t.changeFamily(c, noFamily(98), func(a *act) (err error) {
		if target, err = t.playerNamed(c.Context, c.Who.World, in.name()); err != nil {
			return err
		}
		if err := a.family.setRole(c.Who.Account, target.Account, *in.Role); err != nil {
			return err
		}
		a.family.tell(newsRole, a.me.Name, target.Name, a.now)
		return nil
	})
	if err != nil {
		return roleFamilyOut{}, err
	}
	t.announce(c.Context, a.family, familyChanged{Change: "role", By: a.me.Name, Target: target.Name, Role: in.Role})
	return roleFamilyOut{target.Name, *in.Role}, nil
}

type renameFamilyOut struct {
	Name string `json:"name"`
}

func renameFamily(t *Tools, c *Call, in *familyNameIn) (renameFamilyOut, error) {
	name := in.text()
	a, err := t.changeFamily(c, noFamily(98), func(a *act) error {
		before := *a.family
		if err := a.family.rename(c.Who.Account, name, &a.general); err != nil {
			return err
		}
		a.family.tell(newsRename, a.me.Name, "", a.now)
		if fold(before.Name) == fold(name) {
			return nil // it has this name but for its case
		}
		op, ok, err := t.takeName(c.Context, a.family.World, name, a.family.ID)
		if err != nil {
			return err
		}
		if !ok {
			return refuseGate(protocol.StatusInvalid, 95, "the name is taken, or was given up a short time ago")
		}
		a.ops = append(a.ops, op, t.giveUpName(&before))
		return nil
	})
	if err != nil {
		return renameFamilyOut{}, err
	}
	t.announce(c.Context, a.family, familyChanged{Change: "renamed", By: a.me.Name}, a.family.accounts()...)
	return renameFamilyOut{name}, nil
}

// abdicateFamilyOut names both with their new roles.
type abdicateFamilyOut struct {
	Name       string `json:"gn"`
	Role       Role   `json:"role"`
	Target     string `json:"gn_target"`
	TargetRole Role   `json:"role_target"`
}

func abdicateFamily(t *Tools, c *Call, in *targetIn) (abdicateFamilyOut, error) {
	var target player
	ending := false
	a, err := t.changeFamily(c, noFamily(99), func(a *act) (err error) {
		if target, err = t.playerNamed(c.Context, c.Who.World, in.name()); err != nil {
			return err
		}
		if target.revision == 0 {
			return refuseGate(protocol.StatusInvalid, 98, "there is no player of this name")
		}
		ending = !a.family.Disband.IsZero()
		if err := a.family.abdicate(c.Who.Account, target.Account); err != nil {
			return err
		}
		if ending {
			a.ops = append(a.ops, broker.OpDelete(familyEndKey(a.family.World, a.family.ID), broker.AnyRevision))
		}
		a.family.tell(newsOwner, a.me.Name, target.Name, a.now)
		return nil
	})
	if err != nil {
		return abdicateFamilyOut{}, err
	}
	if ending {
		t.cancelEnd(c.Context, a.family)
	}
	t.announce(c.Context, a.family, familyChanged{Change: "owner", By: a.me.Name, Target: target.Name})
	return abdicateFamilyOut{a.me.Name, RoleBasic, target.Name, RoleOwner}, nil
}

// checkInFamilyOut tells what the check-in has earned.
type checkInFamilyOut struct {
	Exp    int `json:"exp"` // of the player, now
	Level  int `json:"level"`
	Reward int `json:"reward"` // of that, just earned
	Family struct {
		Exp int `json:"exp"`
	} `json:"exp_data"` // of the family, now
	Rest int64 `json:"seconds"` // until the next
}

func checkInFamily(t *Tools, c *Call, _ *empty) (checkInFamilyOut, error) {
	a, err := t.changeFamily(c, noFamily(99), func(a *act) error {
		p := a.me
		if _, ok := a.family.roleOf(p.Account); !ok {
			return noFamily(99)
		}
		if p.CheckIn == dayOf(a.now) {
			return refuseGate(protocol.StatusInvalid, 98, "you have checked in today")
		}
		p.CheckIn = dayOf(a.now)
		p.Exp += a.general.CheckInExp
		a.family.Exp++
		a.put(p)
		return nil
	})
	if err != nil {
		return checkInFamilyOut{}, err
	}
	p := a.changed[c.Who.Account]
	out := checkInFamilyOut{Exp: p.Exp, Level: t.levelOf(p.Exp), Reward: a.general.CheckInExp, Rest: tomorrow(a.now)}
	out.Family.Exp = a.family.Exp
	return out, nil
}
