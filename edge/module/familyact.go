package module

import (
	"context"
	"errors"
	"time"

	"gosper/broker"
	"gosper/edge/config"
)

// act is one change of a family under way: what was read, and what is written in one commit.
type act struct {
	family  *family
	me      player            // of the caller, as it was read
	changed map[string]player // players to be written with the family
	ops     []broker.Op       // writes beside
	ended   bool              // the family's record goes
	now     time.Time
	general FamilyGeneral
}

// put notes a changed player.
func (a *act) put(p player) { a.changed[p.Account] = p }

// newFamilies returns what families need.
func newFamilies(c *Config) *families {
	f := &families{schedule: c.Schedule, rooms: newRooms(), seed: newSeed()}
	f.settings = config.Bind(c.Settings, "family", DefaultFamilySettings(), (*FamilySettings).complete)
	f.levels = config.Bind(c.Settings, "player", DefaultPlayerSettings(), (*PlayerSettings).complete)
	f.worlds = config.Bind(c.Settings, "world", DefaultWorldSettings(), (*WorldSettings).complete)
	return f
}

// changeFamily lets do change the family of the call's player, and writes what it changed in one commit. When somebody
// else was faster it begins again with what is there now, so do may run several times. none is the refusal of who has
// no family. The result is what was written.
func (t *Tools) changeFamily(c *Call, none *Fault, do func(*act) error) (*act, error) {
	me, err := t.loadPlayer(c.Context, c.Who.World, c.Who.Account)
	if err != nil {
		return nil, err
	}
	if me.FamilyID == "" {
		return nil, none
	}
	return t.changeFamilyOf(c.Context, c.Who.World, me.FamilyID, none, func(a *act) error {
		if a.me, err = t.loadPlayer(c.Context, c.Who.World, c.Who.Account); err != nil {
			return err
		}
		return do(a)
	})
}

// changeFamilyOf is changeFamily for a family by its id.
func (t *Tools) changeFamilyOf(ctx context.Context, world, id string, none *Fault, do func(*act) error) (*act, error) {
	l := t.families.lock(id)
	l.Lock()
	defer l.Unlock()
	for range mostTries {
		f, err := t.loadFamily(ctx, world, id)
		if errors.Is(err, broker.ErrNotFound) {
			return nil, none
		}
		if err != nil {
			return nil, err
		}
		a := t.newAct(f)
		if err := do(a); err != nil {
			return nil, err
		}
		if err := t.commitAct(ctx, a); !overtaken(err) {
			return a, err
		}
	}
	return nil, faultBusy
}

// mostTries bounds how often a change begins again: each time somebody else got on.
const mostTries = 1000

func (t *Tools) newAct(f *family) *act {
	return &act{family: f, changed: make(map[string]player), now: t.now(), general: t.families.settings.Get().General}
}

// commitAct writes an act.
func (t *Tools) commitAct(ctx context.Context, a *act) error {
	ops := a.ops
	if a.ended {
		ops = append(ops, broker.OpDelete(familyKey(a.family.World, a.family.ID), a.family.revision))
	} else {
		ops = append(ops, a.family.save())
	}
	for _, p := range a.changed {
		ops = append(ops, broker.OpUpdate(playerKey(a.family.World, p.Account), encoded(p), p.revision))
	}
	_, err := t.store.Commit(ctx, ops...)
	return err
}

// playerNamed reads the player that has a name in a world; the zero value when nobody has.
func (t *Tools) playerNamed(ctx context.Context, world, name string) (player, error) {
	if name == "" {
		return player{}, nil
	}
	account, err := t.nameHolder(ctx, world, name)
	if err != nil || account == "" {
		return player{}, err
	}
	return t.loadPlayer(ctx, world, account)
}
