package module

import (
	"context"
	"errors"
	"strings"
	"time"

	"gosper/broker"
	"gosper/protocol"
)

// memberOut is a member as other members see it.
type memberOut struct {
	Account string `json:"uid"`
	Name    string `json:"gn"`
	Role    Role   `json:"family_role"`
	Exp     int    `json:"exp"`
	Level   int    `json:"level"`
	Joined  int64  `json:"joined"` // unix milliseconds
}

// allFamilyOut is everything a member may know. News are there twice: as older clients read them, each as date (UTC) and
// text, and with a member for each part.
type allFamilyOut struct {
	ID        string       `json:"id"`
	Name      string       `json:"name"`
	Icon      int          `json:"icon"`
	Exp       int          `json:"exp"`
	Notice    string       `json:"notice"`
	Board     string       `json:"board"`
	Members   []memberOut  `json:"members"`
	Most      int          `json:"members_max"`
	News      [][2]string  `json:"news"` // oldest first
	History   []familyNews `json:"history"`
	Timer     int64        `json:"timer"`      // seconds until the end, -1 when there is none
	CheckedIn int          `json:"is_checkin"` // 1: the caller has checked in today
}

func allOfFamily(t *Tools, c *Call, _ *empty) (allFamilyOut, error) {
	me, err := t.loadPlayer(c.Context, c.Who.World, c.Who.Account)
	if err != nil {
		return allFamilyOut{}, err
	}
	f, err := t.familyOfPlayer(c.Context, c.Who.World, &me)
	if err != nil {
		return allFamilyOut{}, err
	}
	if f == nil {
		return allFamilyOut{}, noFamily(99)
	}
	now := t.now()
	out := allFamilyOut{ID: f.ID, Name: f.Name, Icon: f.Icon, Exp: f.Exp, Notice: f.Notice, Board: f.Board, Members: make([]memberOut, 0, len(f.Members)),
		Most: t.families.settings.Get().General.Members.Max, News: make([][2]string, 0, len(f.News)), History: f.News, Timer: -1}
	if out.History == nil {
		out.History = []familyNews{}
	}
	for _, n := range f.News {
		out.News = append(out.News, n.text())
	}
	if !f.Disband.IsZero() {
		out.Timer = max(0, int64(f.Disband.Sub(now)/time.Second))
	}
	if me.CheckIn == dayOf(now) {
		out.CheckedIn = 1
	}
	for _, m := range f.Members {
		p, err := t.loadPlayer(c.Context, f.World, m.Account)
		if err != nil {
			return allFamilyOut{}, err
		}
		out.Members = append(out.Members, memberOut{m.Account, p.Name, m.Role, p.Exp, t.levelOf(p.Exp), m.Joined.UnixMilli()})
	}
	return out, nil
}

// familyOfPlayer reads the family of a player; nil for none.
func (t *Tools) familyOfPlayer(ctx context.Context, world string, p *player) (*family, error) {
	if p.FamilyID == "" {
		return nil, nil
	}
	f, err := t.loadFamily(ctx, world, p.FamilyID)
	if errors.Is(err, broker.ErrNotFound) {
		return nil, nil // it has ended since
	}
	return f, err
}

// text returns news as older clients read them: "fm_1:Ann,Ben".
func (n familyNews) text() [2]string {
	what := n.Key + ":" + n.Name
	if n.Target != "" {
		what += "," + n.Target
	}
	return [2]string{time.UnixMilli(n.Time).UTC().Format(time.DateTime), what}
}

// familyOut is a family as everybody may see it.
type familyOut struct {
	Name   string `json:"name"`
	Icon   int    `json:"icon"`
	Exp    int    `json:"exp"`
	Notice string `json:"notice"`
	Board  string `json:"board"`
	People int    `json:"people"`
	Most   int    `json:"members_max"`
}

func (t *Tools) outside(f *family) familyOut {
	return familyOut{f.Name, f.Icon, f.Exp, f.Notice, f.Board, len(f.Members), t.families.settings.Get().General.Members.Max}
}

// searchFamilyOut has the family of the very name, else the first one, and all that were found.
type searchFamilyOut struct {
	Info     familyOut   `json:"info"`
	Families []familyOut `json:"families"` // by name
}

func searchFamily(t *Tools, c *Call, in *familyNameIn) (searchFamilyOut, error) {
	name := in.text()
	none := refuseGate(protocol.StatusInvalid, 99, "there is no family of this name")
	if !protocol.ValidName(name) {
		return searchFamilyOut{}, none
	}
	out := searchFamilyOut{Families: []familyOut{}}
	most := t.families.settings.Get().General.RandomMax
	prefix := familyNamePrefix(c.Who.World) + fold(name)
	for after := ""; len(out.Families) < most; {
		page, err := t.store.List(c.Context, prefix, after, most)
		if err != nil {
			return out, err
		}
		if len(page) == 0 {
			break
		}
		after = page[len(page)-1].Key
		for _, r := range page {
			f, err := t.familyNamed(c.Context, c.Who.World, r.Key[strings.LastIndexByte(r.Key, '/')+1:])
			if err != nil {
				return out, err
			}
			if f != nil && len(out.Families) < most {
				out.Families = append(out.Families, t.outside(f))
			}
		}
	}
	if len(out.Families) == 0 {
		return out, none
	}
	out.Info = out.Families[0] // of the names that begin with it the shortest comes first: itself, if there is one
	return out, nil
}

type randomFamilyIn struct {
	Number int `json:"number"` // 0: 5
}

type familiesOut struct {
	Families []familyOut `json:"families"`
}

// randomFamily names families from a random id on: ids are random, so every family has about the same chance.
func randomFamily(t *Tools, c *Call, in *randomFamilyIn) (familiesOut, error) {
	out := familiesOut{Families: []familyOut{}}
	number, most := in.Number, t.families.settings.Get().General.RandomMax
	if number == 0 {
		number = min(5, most)
	}
	if number < 0 || number > most {
		return out, refuseGate(protocol.StatusRange, 99, "number is out of range")
	}
	from := familyKey(c.Who.World, newLoginID())
	records, err := t.store.List(c.Context, familyKey(c.Who.World, ""), from, number)
	if err != nil {
		return out, err
	}
	if len(records) < number {
		begin, err := t.store.List(c.Context, familyKey(c.Who.World, ""), "", number-len(records))
		if err != nil {
			return out, err
		}
		for _, r := range begin {
			if r.Key <= from {
				records = append(records, r)
			}
		}
	}
	for _, r := range records {
		f, err := readFamily(r)
		if err != nil {
			return out, err
		}
		out.Families = append(out.Families, t.outside(f))
	}
	return out, nil
}

type configFamilyOut struct {
	Config FamilySettings `json:"config"`
}

func configFamily(t *Tools, _ *Call, _ *empty) (configFamilyOut, error) {
	return configFamilyOut{t.families.settings.Get()}, nil
}
