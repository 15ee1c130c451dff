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
			Doc: "Enters a world as the account's player there; a name makes or renames it. The family is the one that the player is a member of: " +
				"to name another is refused.",
			Example: `{"world":"0","name":"Alfred"}`}, enterWorld),
		define(Function{Route: "/user/createPlayer", Gate: "create_player", Needs: NeedLogin, Class: ClassWrite,
			Doc: "Makes the account's player in a world, without entering it.", Example: `{"world":"0","gn":"Alfred"}`}, createPlayer),
		define(Function{Route: "/user/worlds", Gate: "get_account_world_info", Needs: NeedLogin, Class: ClassRead,
			Doc: "Lists the worlds of the node and of the account, with its player in each.", Example: `{}`}, accountWorlds),
		define(Function{Route: "/user/player", Gate: "get_info_player", Needs: NeedLogin | NeedWorld, Class: ClassRead,
			Doc: "Reads the caller's player in the world.", Example: `{}`}, playerInfo),
	}
}

// player is the record of an account in one world.
type player struct {
	Account  string `json:"account"`
	Name     string `json:"name"`
	Exp      int    `json:"exp,omitempty"`
	FamilyID string `json:"family_id,omitempty"`
	Left     int64  `json:"left,omitempty"`     // unix milliseconds: when it left a family
	Day      string `json:"day,omitempty"`      // of Requests
	Requests int    `json:"requests,omitempty"` // to families
	CheckIn  string `json:"check_in,omitempty"` // day of the last one
	Listed   bool   `json:"listed,omitempty"`   // the account's list of worlds has it

	revision uint64
}

// Keys of the Store: player/<world>/<account> holds the record, playername/<world>/<folded name> the account, and
// playerof/<account>/<world> says that there is one.
func playerKey(world, account string) string { return "player/" + world + "/" + account }
func playerNameKey(world, name string) string {
	return "playername/" + world + "/" + protocol.EscapeToken(fold(name))
}
func playersOf(account string) string { return "playerof/" + account + "/" }

type enterIn struct {
	World  string `json:"world"`
	Name   string `json:"name"`
	Family string `json:"family"` // "": whichever it is
}

// enterOut adds the account's id in the world, which game clients know as cid.
type enterOut struct {
	CID string `json:"cid"`
	sessionOut
}

func enterWorld(t *Tools, c *Call, in *enterIn) (enterOut, error) {
	in.World = first(in.World, c.World)
	if err := checkPlace(in.World, in.Name); err != nil {
		return enterOut{}, err
	}
	p, err := t.ownPlayer(c.Context, c.Who.Account, in)
	if err != nil {
		return enterOut{}, err
	}
	who := c.Who
	who.World, who.Name, who.Family = in.World, p.Name, ""
	subjects, err := t.speakAs(c, &who, nil)
	if err != nil {
		return enterOut{}, err
	}
	out, err := t.newSessionOut(who, subjects)
	return enterOut{who.Account, out}, err
}

// checkPlace checks the form of a world and, when there is one, of a name.
func checkPlace(world, name string) error {
	switch {
	case !protocol.ValidName(world):
		return refuseGate(protocol.StatusInvalid, 97, "world must be 1 to 32 of A-Z a-z 0-9 _ -")
	case name != "" && !protocol.ValidDisplayName(name):
		return refuseGate(protocol.StatusBadCharacters, 96, "name must be 1 to 32 printable characters")
	}
	return nil
}

// ownPlayer loads the account's player in a world and writes what the call changes.
func (t *Tools) ownPlayer(ctx context.Context, account string, in *enterIn) (player, error) {
	for {
		old, err := t.loadPlayer(ctx, in.World, account)
		if err != nil {
			return player{}, err
		}
		if err := t.checkFamily(ctx, in, &old); err != nil {
			return player{}, err
		}
		p := old
		p.Account, p.Name, p.Listed = account, first(in.Name, old.Name), true
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
			continue // another connection of the account, or its family, changed it
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

// checkFamily refuses a family that the player is no member of: it is entered by invitation or request.
func (t *Tools) checkFamily(ctx context.Context, in *enterIn, p *player) error {
	if in.Family == "" {
		return nil
	}
	f, err := t.familyOfPlayer(ctx, in.World, p)
	if err != nil || f != nil && fold(f.Name) == fold(in.Family) {
		return err
	}
	return refuseGate(protocol.StatusRefused, 95, "you are no member of this family: leave family out, then found it with /family/create or ask with /family/request")
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
	ops := []broker.Op{broker.OpUpdate(playerKey(world, p.Account), encoded(p), old.revision)}
	if now, before := playerNameKey(world, p.Name), playerNameKey(world, old.Name); old.Name == "" || now != before {
		ops = append(ops, broker.OpCreate(now, []byte(p.Account)))
		if old.Name != "" {
			ops = append(ops, broker.OpDelete(before, broker.AnyRevision))
		}
	}
	if !old.Listed {
		ops = append(ops, broker.OpPut(playersOf(p.Account)+world, nil))
	}
	_, err := t.store.Commit(ctx, ops...)
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
