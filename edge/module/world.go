package module

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"gosper/broker"
	"gosper/protocol"
)

// WorldSettings is the file "world" of the config folder: the worlds that a client offers to new players. Other worlds
// exist as soon as somebody enters them.
type WorldSettings struct {
	Worlds []WorldInfo `json:"worlds"`
}

// WorldInfo is a world as clients see it.
type WorldInfo struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Status int    `json:"status"` // 0 is open; the others are the operator's
}

// DefaultWorldSettings is the list without a file.
func DefaultWorldSettings() WorldSettings {
	return WorldSettings{Worlds: []WorldInfo{{ID: "0", Name: "World 0"}}}
}

// worldsMost is how many worlds one list names.
const worldsMost = 1000

// complete says which world cannot be.
func (s *WorldSettings) complete() error {
	if len(s.Worlds) > worldsMost {
		return fmt.Errorf("worlds: more than %d", worldsMost)
	}
	seen := make(map[string]bool)
	for _, w := range s.Worlds {
		if !protocol.ValidName(w.ID) || seen[w.ID] {
			return fmt.Errorf("worlds: id %q must be 1 to 32 of A-Z a-z 0-9 _ - and named once", w.ID)
		}
		seen[w.ID] = true
	}
	return nil
}

// PlayerSettings is the file "player" of the config folder.
type PlayerSettings struct {
	Levels []int `json:"levels"` // experience at which each level begins; the first is 0
}

// playerLevelMax is the highest level there can be.
const playerLevelMax = 1000

// DefaultPlayerSettings are the levels without a file: each takes 50 more than the one before.
func DefaultPlayerSettings() PlayerSettings {
	s := PlayerSettings{Levels: make([]int, 100)}
	for i := 1; i < len(s.Levels); i++ {
		s.Levels[i] = s.Levels[i-1] + 50*i
	}
	return s
}

// complete says what cannot be.
func (s *PlayerSettings) complete() error {
	if len(s.Levels) == 0 || len(s.Levels) > playerLevelMax || s.Levels[0] != 0 {
		return fmt.Errorf("levels must have 1 to %d numbers, the first of them 0", playerLevelMax)
	}
	if !slices.IsSorted(s.Levels) {
		return errors.New("levels must grow")
	}
	return nil
}

// levelOf returns the level of a player with so much experience, from 1 on.
func (t *Tools) levelOf(exp int) int {
	levels := t.families.levels.Get().Levels
	level, exact := slices.BinarySearch(levels, exp)
	for exact && level+1 < len(levels) && levels[level+1] == exp {
		level++
	}
	if exact {
		level++
	}
	return level
}

type createPlayerIn struct {
	World string `json:"world"`
	Name  string `json:"gn"`
	Name2 string `json:"name"`
}

type createPlayerOut struct {
	Name string `json:"gn"`
}

func createPlayer(t *Tools, c *Call, in *createPlayerIn) (createPlayerOut, error) {
	name := first(in.Name, in.Name2)
	in.World = first(in.World, c.World)
	if err := checkPlace(in.World, name); err != nil {
		return createPlayerOut{}, err
	}
	if name == "" {
		return createPlayerOut{}, refuseGate(protocol.StatusMissing, 98, "gn is missing: the name of the player")
	}
	p := player{Account: c.Who.Account, Name: name, Listed: true}
	err := t.savePlayer(c.Context, in.World, player{}, p)
	if errors.Is(err, broker.ErrExists) {
		return createPlayerOut{}, refuseGate(protocol.StatusInvalid, 99, "the name is taken in this world, or the account has a player there")
	}
	return createPlayerOut{name}, err
}

// worldOut is a world with the account's player in it.
type worldOut struct {
	Status int    `json:"server_status"`
	World  string `json:"world"`
	Name   string `json:"world_name"`
	Player string `json:"gn"` // "" for none
	Exp    int    `json:"exp"`
	Level  int    `json:"level"` // 0 without a player
}

type worldsOut struct {
	Worlds []worldOut `json:"worlds"`
}

func accountWorlds(t *Tools, c *Call, _ *empty) (worldsOut, error) {
	worlds := slices.Clone(t.families.worlds.Get().Worlds)
	prefix := playersOf(c.Who.Account)
	records, err := t.store.List(c.Context, prefix, "", worldsMost)
	if err != nil {
		return worldsOut{}, err
	}
	for _, r := range records {
		world := strings.TrimPrefix(r.Key, prefix)
		if !slices.ContainsFunc(worlds, func(w WorldInfo) bool { return w.ID == world }) {
			worlds = append(worlds, WorldInfo{ID: world})
		}
	}
	out := worldsOut{Worlds: make([]worldOut, len(worlds))}
	for i, w := range worlds {
		p, err := t.loadPlayer(c.Context, w.ID, c.Who.Account)
		if err != nil {
			return worldsOut{}, err
		}
		out.Worlds[i] = worldOut{Status: w.Status, World: w.ID, Name: first(w.Name, "World "+w.ID)}
		if p.revision != 0 {
			out.Worlds[i].Player, out.Worlds[i].Exp, out.Worlds[i].Level = p.Name, p.Exp, t.levelOf(p.Exp)
		}
	}
	return out, nil
}

// playerOut is a player as its account sees it.
type playerOut struct {
	World      string `json:"world"`
	CID        string `json:"cid"`
	Name       string `json:"gn"`
	Exp        int    `json:"exp"`
	Level      int    `json:"level"`
	Family     string `json:"family"` // "" for none
	FamilyRole Role   `json:"family_role"`
}

func playerInfo(t *Tools, c *Call, _ *empty) (playerOut, error) {
	p, err := t.loadPlayer(c.Context, c.Who.World, c.Who.Account)
	if err != nil {
		return playerOut{}, err
	}
	if p.revision == 0 {
		return playerOut{}, refuseGate(protocol.StatusMissing, 98, "no player in this world yet")
	}
	out := playerOut{World: c.Who.World, CID: p.Account, Name: p.Name, Exp: p.Exp, Level: t.levelOf(p.Exp)}
	f, err := t.familyOfPlayer(c.Context, c.Who.World, &p)
	if err == nil && f != nil {
		out.Family = f.Name
		out.FamilyRole, _ = f.roleOf(p.Account)
	}
	return out, err
}
