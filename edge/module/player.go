package module

import (
	"context"
	"encoding/json"
	"errors"

	"gosper/broker"
	"gosper/protocol"
)

// playerFunctions let an account into worlds.
func playerFunctions() []Function {
	return []Function{
		define(Function{Route: "/user/enterWorld", Gate: "enter_world", Needs: NeedLogin, Class: ClassWrite,
			Doc:     "Enters a world as the account's player there; a name makes or renames it, family sets it (\"\" leaves).",
			Example: `{"world":"0","name":"Alfred","family":"foxes"}`}, enterWorld),
	}
}

// player is the record of an account in one world.
type player struct {
	Account string `json:"account"`
	Name    string `json:"name"`
	Family  string `json:"family,omitempty"`

	revision uint64
}

// Keys of the Store: player/<world>/<account> holds the record, playername/<world>/<folded name> the account.
func playerKey(world, account string) string { return "player/" + world + "/" + account }
func playerNameKey(world, name string) string {
	return "playername/" + world + "/" + protocol.EscapeToken(fold(name))
}

type enterIn struct {
	World  string  `json:"world"`
	Name   string  `json:"name"`
	Family *string `json:"family"` // absent: as it was
}

// enterOut adds the account's id in the world, which game clients know as cid.
type enterOut struct {
	CID string `json:"cid"`
	sessionOut
}

func enterWorld(t *Tools, c *Call, in *enterIn) (enterOut, error) {
	switch {
	case !protocol.ValidName(in.World):
		return enterOut{}, refuseGate(protocol.StatusInvalid, 97, "world must be 1 to 32 of A-Z a-z 0-9 _ -")
	case in.Name != "" && !protocol.ValidDisplayName(in.Name):
		return enterOut{}, refuseGate(protocol.StatusBadCharacters, 96, "name must be 1 to 32 printable characters")
	case in.Family != nil && *in.Family != "" && !protocol.ValidName(*in.Family):
		return enterOut{}, refuseGate(protocol.StatusInvalid, 95, "family must be 1 to 32 of A-Z a-z 0-9 _ -")
	}
	p, err := t.ownPlayer(c.Context, c.Who.Account, in)
	if err != nil {
		return enterOut{}, err
	}
	who := c.Who
	who.World, who.Name, who.Family = in.World, p.Name, p.Family
	subjects, err := t.speakAs(c, who, nil)
	if err != nil {
		return enterOut{}, err
	}
	out, err := t.newSessionOut(who, subjects)
	return enterOut{who.Account, out}, err
}

// ownPlayer loads the account's player in a world and writes what the call changes.
func (t *Tools) ownPlayer(ctx context.Context, account string, in *enterIn) (player, error) {
	for {
		old, err := t.loadPlayer(ctx, in.World, account)
		if err != nil {
			return player{}, err
		}
		p := old
		p.Account, p.Name = account, first(in.Name, old.Name)
		if in.Family != nil {
			p.Family = *in.Family
		}
		if p.Name == "" {
			return player{}, refuseGate(protocol.StatusMissing, 98, "no player in this world yet: name is missing")
		}
		if p == old {
			return p, nil
		}
		err = t.savePlayer(ctx, in.World, old, p)
		switch {
		case err == nil:
			return p, nil
		case errors.Is(err, broker.ErrConflict), errors.Is(err, broker.ErrNotFound):
			continue // another connection of the account changed it
		case !errors.Is(err, broker.ErrExists):
			return player{}, err
		}
		if holder, err := t.nameHolder(ctx, in.World, p.Name); err != nil || holder != account && holder != "" {
			if err == nil {
				err = refuseGate(protocol.StatusInvalid, 94, "name is taken in this world")
			}
			return player{}, err
		}
	}
}

// loadPlayer reads a player; the zero value when there is none.
func (t *Tools) loadPlayer(ctx context.Context, world, account string) (player, error) {
	var p player
	record, err := t.store.Get(ctx, playerKey(world, account))
	if errors.Is(err, broker.ErrNotFound) {
		return p, nil
	}
	if err != nil {
		return p, err
	}
	p.revision = record.Revision
	return p, json.Unmarshal(record.Value, &p)
}

// savePlayer writes a player and its name in one commit: broker.ErrExists when the name is taken.
func (t *Tools) savePlayer(ctx context.Context, world string, old, p player) error {
	value, err := json.Marshal(p)
	if err != nil {
		return err
	}
	ops := []broker.Op{broker.OpUpdate(playerKey(world, p.Account), value, old.revision)}
	if now, before := playerNameKey(world, p.Name), playerNameKey(world, old.Name); old.Name == "" || now != before {
		ops = append(ops, broker.OpCreate(now, []byte(p.Account)))
		if old.Name != "" {
			ops = append(ops, broker.OpDelete(before, broker.AnyRevision))
		}
	}
	_, err = t.store.Commit(ctx, ops...)
	return err
}

// nameHolder returns the account that has a name in a world; "" when it is free.
func (t *Tools) nameHolder(ctx context.Context, world, name string) (string, error) {
	record, err := t.store.Get(ctx, playerNameKey(world, name))
	if errors.Is(err, broker.ErrNotFound) {
		return "", nil
	}
	return string(record.Value), err
}
