package module

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"gosper/broker"
	"gosper/protocol"
)

// Operators and moderators mute and ban. A mute stops what a player says and mails; a ban ends the connections of a player
// and refuses new ones. Both end by themselves when their time is over.
//
// The record of a sanction is never deleted by a lift but written again with its end, so its revision only grows and every
// node of a shared store, told in whatever order, comes to the same list. What is in force is a snapshot behind an atomic
// pointer: a chat line looks into it without a lock and without memory.

// SanctionKind says what a sanction does.
type SanctionKind string

// The kinds of sanctions.
const (
	Mute SanctionKind = "mute" // no chat and no mail
	Ban  SanctionKind = "ban"  // no login and no connection
)

// Limits of moderation.
const (
	SanctionsMost  = 10_000 // records of one kind, in force or over; the oldest that are over make room
	ReasonBytes    = 200    // of the reason of a sanction or a report
	sanctionPage   = 1000
	sanctionPrefix = "moderation/"
)

// Target names whom a sanction is for: an account by UID, or a player by World and Name. A name that an account has
// stands for the account, in every world and under every name; any other name stands for players without an account of
// ours whom a service lets in under it.
type Target struct {
	UID   string `json:"uid,omitempty"`
	World string `json:"world,omitempty"`
	Name  string `json:"name,omitempty"`
}

// Sanction is one mute or ban.
type Sanction struct {
	Kind SanctionKind `json:"kind"`
	Target
	Reason string    `json:"reason,omitempty"` // the player reads it; at most ReasonBytes
	By     string    `json:"by,omitempty"`     // who ordered it; the player does not read it
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until,omitzero"`  // zero: for good
	Lifted time.Time `json:"lifted,omitzero"` // when it was ended early

	revision uint64
}

// InForce says whether the sanction holds at a time.
func (s *Sanction) InForce(now time.Time) bool {
	return s.Lifted.IsZero() && (s.Until.IsZero() || now.Before(s.Until))
}

// key is where the Store keeps the sanction: one of a kind for a target.
func (s *Sanction) key() string {
	key := sanctionPrefix + string(s.Kind) + "/"
	if s.UID != "" {
		return key + "a/" + s.UID
	}
	return key + "n/" + s.World + "/" + protocol.EscapeToken(s.Name)
}

// sanctionSet is what is in force of one kind. It is never changed.
type sanctionSet struct {
	accounts map[string]*Sanction
	names    map[place]*Sanction
}

// sanctions are those of one kind.
type sanctions struct {
	set atomic.Pointer[sanctionSet] // nil: nobody

	mu  sync.Mutex
	all map[string]*Sanction // by key; guarded by mu
}

// of returns the sanction that holds for who, nil without one. It takes no lock and no memory.
func (l *sanctions) of(who *Identity, now time.Time) *Sanction {
	set := l.set.Load()
	if set == nil {
		return nil
	}
	s := set.accounts[who.Account]
	if s == nil {
		s = set.names[place{who.World, who.Name}]
	}
	if s == nil || !s.InForce(now) {
		return nil
	}
	return s
}

// take notes a sanction unless a newer writing of it is known, and says whether it is the newest. The caller does not write to s
// any more.
func (l *sanctions) take(s *Sanction, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if old := l.all[s.key()]; old != nil && old.revision >= s.revision {
		return old.revision == s.revision
	}
	l.all[s.key()] = s
	l.publish(now)
	return true
}

// forget drops a record that made room.
func (l *sanctions) forget(key string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.all[key]; s != nil && !s.InForce(now) {
		delete(l.all, key)
		l.publish(now)
	}
}

// publish makes the snapshot anew. The caller holds mu.
func (l *sanctions) publish(now time.Time) {
	set := &sanctionSet{accounts: make(map[string]*Sanction), names: make(map[place]*Sanction)}
	for _, s := range l.all {
		switch {
		case !s.InForce(now):
		case s.UID != "":
			set.accounts[s.UID] = s
		default:
			set.names[place{s.World, s.Name}] = s
		}
	}
	if len(set.accounts)+len(set.names) == 0 {
		set = nil
	}
	l.set.Store(set)
}

// list returns what is known, in no order.
func (l *sanctions) list() []*Sanction {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]*Sanction, 0, len(l.all))
	for s := range maps.Values(l.all) {
		list = append(list, s)
	}
	return list
}

// inForce counts those that hold now.
func (l *sanctions) inForce() int {
	set := l.set.Load()
	if set == nil {
		return 0
	}
	return len(set.accounts) + len(set.names)
}

// moderation is what the functions of operators and the checks of players share.
type moderation struct {
	mutes, bans sanctions
	writing     sync.Mutex // one order at a time, so that the bound holds
	reports     reportShelf
}

func newModeration() *moderation {
	m := &moderation{}
	m.mutes.all, m.bans.all = make(map[string]*Sanction), make(map[string]*Sanction)
	return m
}

func (m *moderation) kind(k SanctionKind) *sanctions {
	switch k {
	case Mute:
		return &m.mutes
	case Ban:
		return &m.bans
	}
	return nil
}

// readSanction reads a record; false for one that is no sanction, which is left alone.
func readSanction(r broker.Record) (*Sanction, bool) {
	s := &Sanction{revision: r.Revision}
	if r.Revision == 0 || json.Unmarshal(r.Value, s) != nil || s.key() != r.Key {
		return nil, false
	}
	return s, true
}

// startModeration follows the records of sanctions until the context ends, and reads those there are.
func (t *Tools) startModeration(ctx context.Context) error {
	for _, kind := range []SanctionKind{Mute, Ban} {
		prefix := sanctionPrefix + string(kind) + "/"
		if err := t.store.Watch(ctx, prefix, t.noticeSanction); err != nil {
			return err
		}
		for after := ""; ; {
			records, err := t.store.List(ctx, prefix, after, sanctionPage)
			if err != nil {
				return fmt.Errorf("sanctions: %w", err)
			}
			for _, r := range records {
				t.noticeSanction(r)
			}
			if len(records) < sanctionPage {
				break
			}
			after = records[len(records)-1].Key
		}
	}
	return t.countReports(ctx)
}

// noticeSanction applies a record as it was read or as the store told of it.
func (t *Tools) noticeSanction(r broker.Record) {
	if kind, _, _ := strings.Cut(strings.TrimPrefix(r.Key, sanctionPrefix), "/"); r.Revision == 0 {
		if list := t.moderation.kind(SanctionKind(kind)); list != nil {
			list.forget(r.Key, t.now()) // another node has made room
		}
		return
	}
	if s, ok := readSanction(r); ok {
		t.applySanction(s)
	}
}

// applySanction makes a sanction hold on this node when it returns. A ban ends the connections of its account, also when it is known
// already: whoever has noted it may not have come so far yet.
func (t *Tools) applySanction(s *Sanction) {
	now := t.now()
	if !t.moderation.kind(s.Kind).take(s, now) {
		return
	}
	if s.Kind == Ban && s.UID != "" && s.InForce(now) {
		t.online.end(s.UID, protocol.CloseBanned)
	}
}

// refusal is what a player reads who may not do something because of s.
func (s *Sanction) refusal(what string) *Fault {
	message := what
	data := sanctionData{Kind: s.Kind, Reason: s.Reason}
	if !s.Until.IsZero() {
		message += " until " + s.Until.UTC().Format(time.RFC3339)
		data.Until = s.Until.UnixMilli()
	}
	if s.Reason != "" {
		message += ": " + s.Reason
	}
	return &Fault{Status: protocol.StatusRefused, Message: message, Data: data}
}

// sanctionData is the data of such a refusal.
type sanctionData struct {
	Kind   SanctionKind `json:"sanction"`
	Until  int64        `json:"until,omitempty"` // unix milliseconds; missing: for good
	Reason string       `json:"reason,omitempty"`
}

// muted refuses what a mute forbids.
func (t *Tools) muted(who *Identity, now time.Time) *Fault {
	s := t.moderation.mutes.of(who, now)
	if s == nil {
		return nil
	}
	moderationMetrics.muted.Inc()
	return s.refusal("you are muted")
}

// banned refuses everything to whom a ban is for.
func (t *Tools) banned(who *Identity) *Fault {
	s := t.moderation.bans.of(who, t.now())
	if s == nil {
		return nil
	}
	moderationMetrics.banned.Inc()
	return s.refusal("you are banned")
}

// mayNotSay refuses the words of who is muted, or banned and still here.
func (t *Tools) mayNotSay(who *Identity, now time.Time) *Fault {
	if t.moderation.bans.of(who, now) != nil {
		return t.banned(who)
	}
	return t.muted(who, now)
}

// refusesBanned answers a call of a player who is banned, and ends the connection. Connections of an account were ended by
// the ban itself; this finds players without one.
func (t *Tools) refusesBanned(j *job) bool {
	fault := t.banned(&j.call.Who)
	if fault == nil {
		return false
	}
	j.answer(nil, fault)
	if j.call.Session != nil {
		j.call.Session.Close(protocol.CloseBanned)
	}
	return true
}

// check completes a sanction, or says what is wrong with it.
func (s *Sanction) check(now time.Time) error {
	const forever = 100 * 366 * 24 * time.Hour
	switch {
	case s.Kind != Mute && s.Kind != Ban:
		return refuse(protocol.StatusInvalid, "kind must be mute or ban")
	case s.UID != "" && !protocol.ValidName(s.UID):
		return refuse(protocol.StatusInvalid, "uid must be 1 to 32 of A-Z a-z 0-9 _ -")
	case s.UID == "" && (!protocol.ValidName(s.World) || !protocol.ValidDisplayName(s.Name)):
		return refuse(protocol.StatusMissing, "name the player by uid, or by world and name")
	case !s.Until.IsZero() && !s.Until.After(now):
		return refuse(protocol.StatusRange, "the end must lie ahead")
	case s.Until.Sub(now) > forever:
		return refuse(protocol.StatusRange, "the end lies too far ahead: leave it out for good")
	}
	if err := checkReason(s.Reason); err != nil {
		return err
	}
	return checkReason(s.By)
}

// checkReason refuses what cannot stand in a line for people.
func checkReason(text string) error {
	if len(text) > ReasonBytes {
		return refuse(protocol.StatusTooMuch, fmt.Sprintf("reason may have %d bytes", ReasonBytes))
	}
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return refuse(protocol.StatusBadCharacters, "reason must be one line of text")
	}
	return nil
}
