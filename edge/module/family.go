package module

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"gosper/broker"

	"gosper/edge/config"
	"gosper/protocol"
)

// A family is a group of players of one world with a talk of its own. Its record holds all its members, so that one
// revision decides every race: two owners, a full house, a member removed while being let in. The record of a player
// names its family, and both are written in one commit: a player is in one family at most, and who is a member is one
// question with one answer.
//
// The name of a family is the name of its room (protocol.ChatSubject). A name that was given up is held back for as long
// as talk is kept, so that nobody reads the old talk under it.
//
// Keys of the Store:
//
//	family/<world>/<id>             the record; ids are random, which makes random families cheap to find
//	familyname/<world>/<folded>     who has the name, or had it last
//	familyend/<world>/<id>          families that will be disbanded: what a start looks through for lost timers
const (
	familyPrefix    = "family/"
	familyEndPrefix = "familyend/"
)

func familyKey(world, id string) string { return familyPrefix + world + "/" + id }
func familyNameKey(world, name string) string {
	return familyNamePrefix(world) + fold(name)
}
func familyNamePrefix(world string) string { return "familyname/" + world + "/" }
func familyEndKey(world, id string) string { return familyEndPrefix + world + "/" + id }

// Role is what a member may do. The numbers are those of older clients.
type Role int

// The roles. Who is at least RoleAdmin is an officer.
const (
	RoleBasic Role = 0
	RoleElite Role = 4
	RoleAdmin Role = 8
	RoleOwner Role = 10
)

// family is the record of one.
type family struct {
	ID      string       `json:"id"`
	World   string       `json:"world"`
	Name    string       `json:"name"`
	Icon    int          `json:"icon"`
	Notice  string       `json:"notice,omitempty"`
	Board   string       `json:"board,omitempty"`
	Exp     int          `json:"exp"`
	Members []member     `json:"members"` // in the order in which they joined
	News    []familyNews `json:"news,omitempty"`
	Today   familyToday  `json:"today,omitzero"`
	Disband time.Time    `json:"disband,omitzero"` // when it ends; zero: it does not
	Created time.Time    `json:"created"`

	revision uint64
}

// member is one member. Its name is that of the player, who may change it.
type member struct {
	Account string    `json:"uid"`
	Role    Role      `json:"role"`
	Joined  time.Time `json:"joined"`
}

// familyToday counts what a family may do so often a day.
type familyToday struct {
	Day     string `json:"day"` // UTC
	Kicks   int    `json:"kicks,omitempty"`
	Invites int    `json:"invites,omitempty"`
	Notices int    `json:"notices,omitempty"`
}

// Kinds of news, as older clients know them. They have no word for the founding.
const (
	newsLeave   = "fm_0"
	newsRemove  = "fm_1"
	newsInvite  = "fm_2"
	newsJoin    = "fm_3"
	newsIcon    = "fm_5"
	newsRole    = "fm_6"
	newsRename  = "fm_7"
	newsDisband = "fm_8"
	newsKeep    = "fm_9"
	newsOwner   = "fm_10"
)

// familyNews is one entry of the history.
type familyNews struct {
	Time   int64  `json:"time"` // unix milliseconds
	Key    string `json:"key"`
	Name   string `json:"gn"`                  // who did it
	Target string `json:"gn_target,omitempty"` // to whom
}

// nameHold is the record of a family's name.
type nameHold struct {
	Family string `json:"family"`
	Freed  int64  `json:"freed,omitempty"` // unix milliseconds: when it was given up; 0 is in use
}

// families is what the functions of families share.
type families struct {
	settings *config.Value[FamilySettings]
	levels   *config.Value[PlayerSettings]
	worlds   *config.Value[WorldSettings]
	schedule broker.Schedule // nil: nothing is disbanded
	rooms    *rooms
	seed     maphash.Seed
	locks    [64]sync.Mutex // one change of a family at a time on this node: others need not try again
}

func (f *families) lock(id string) *sync.Mutex {
	return &f.locks[maphash.String(f.seed, id)%uint64(len(f.locks))]
}

// find returns the place of a member, -1 for nobody.
func (f *family) find(account string) int {
	return slices.IndexFunc(f.Members, func(m member) bool { return m.Account == account })
}

// roleOf returns the role of a member; false for nobody.
func (f *family) roleOf(account string) (Role, bool) {
	i := f.find(account)
	if i < 0 {
		return 0, false
	}
	return f.Members[i].Role, true
}

// officers lists who may invite and answer requests.
func (f *family) officers() []string {
	var accounts []string
	for _, m := range f.Members {
		if m.Role >= RoleAdmin {
			accounts = append(accounts, m.Account)
		}
	}
	return accounts
}

// accounts lists all members.
func (f *family) accounts() []string {
	accounts := make([]string, len(f.Members))
	for i, m := range f.Members {
		accounts[i] = m.Account
	}
	return accounts
}

// tell adds news and drops the oldest.
func (f *family) tell(key, name, target string, now time.Time) {
	f.News = append(f.News, familyNews{now.UnixMilli(), key, name, target})
	if n := len(f.News) - familyNewsKept; n > 0 {
		f.News = slices.Delete(f.News, 0, n)
	}
}

// today returns the counters of the present day.
func (f *family) today(now time.Time) *familyToday {
	if day := dayOf(now); f.Today.Day != day {
		f.Today = familyToday{Day: day}
	}
	return &f.Today
}

// dayOf names a day for limits.
func dayOf(now time.Time) string { return now.UTC().Format(time.DateOnly) }

// tomorrow returns the seconds until daily limits begin anew, at least 1.
func tomorrow(now time.Time) int64 {
	now = now.UTC()
	return int64((now.Truncate(24*time.Hour).Add(24*time.Hour).Sub(now) + time.Second - 1) / time.Second)
}

// save is the write of a changed family; a second writer at the same time fails with broker.ErrConflict.
func (f *family) save() broker.Op {
	return broker.OpUpdate(familyKey(f.World, f.ID), encoded(f), f.revision)
}

// encoded is a record of plain texts, numbers and times, which always encodes.
func encoded(record any) []byte {
	value, err := json.Marshal(record)
	if err != nil {
		panic(err)
	}
	return value
}

// loadFamily reads a family by its id: broker.ErrNotFound.
func (t *Tools) loadFamily(ctx context.Context, world, id string) (*family, error) {
	record, err := t.store.Get(ctx, familyKey(world, id))
	if err != nil {
		return nil, err
	}
	return readFamily(record)
}

func readFamily(r broker.Record) (*family, error) {
	f := &family{revision: r.Revision}
	if err := json.Unmarshal(r.Value, f); err != nil {
		return nil, fmt.Errorf("family %q is damaged: %w", r.Key, err)
	}
	return f, nil
}

// familyNamed reads the family that has a name; nil when none has.
func (t *Tools) familyNamed(ctx context.Context, world, name string) (*family, error) {
	if !protocol.ValidName(name) {
		return nil, nil
	}
	hold, _, err := t.nameHoldOf(ctx, world, name)
	if err != nil || hold.Family == "" || hold.Freed != 0 {
		return nil, err
	}
	f, err := t.loadFamily(ctx, world, hold.Family)
	if errors.Is(err, broker.ErrNotFound) {
		return nil, nil // it ended between the two reads
	}
	return f, err
}

// nameHoldOf reads who has a name; the zero value when nobody ever had.
func (t *Tools) nameHoldOf(ctx context.Context, world, name string) (hold nameHold, revision uint64, err error) {
	record, err := t.store.Get(ctx, familyNameKey(world, name))
	if errors.Is(err, broker.ErrNotFound) {
		return hold, 0, nil
	}
	if err != nil {
		return hold, 0, err
	}
	return hold, record.Revision, json.Unmarshal(record.Value, &hold)
}

// takeName is the write that gives a family a name; ok is false when it is not free.
func (t *Tools) takeName(ctx context.Context, world, name, id string) (op broker.Op, ok bool, err error) {
	hold, revision, err := t.nameHoldOf(ctx, world, name)
	if err != nil {
		return op, false, err
	}
	kept := t.options.ChatKeep.Age
	if kept == 0 {
		kept = nameRest
	}
	rested := hold.Freed != 0 && (hold.Family == id || t.now().Sub(time.UnixMilli(hold.Freed)) > kept)
	if hold.Family != "" && !rested {
		return op, false, nil
	}
	return broker.OpUpdate(familyNameKey(world, name), encoded(nameHold{Family: id}), revision), true, nil
}

// nameRest is how long a name is held back when talk has no end of its own.
const nameRest = 30 * 24 * time.Hour

// giveUpName is the write that frees the name of a family, which counts after a while.
func (t *Tools) giveUpName(f *family) broker.Op {
	return broker.OpPut(familyNameKey(f.World, f.Name), encoded(nameHold{Family: f.ID, Freed: t.now().UnixMilli()}))
}
