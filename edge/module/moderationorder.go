package module

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"gosper/broker"
	"gosper/protocol"
)

// Orders of operators and moderators.

// Sanction mutes or bans a target from now on, in place of a sanction of the kind that it has already, and returns it
// complete. It holds on every connection when this returns, and after every restart. Errors a caller may read are Faults.
// It blocks.
func (t *Table) Sanction(ctx context.Context, s Sanction) (Sanction, error) {
	return t.tools.sanction(ctx, s)
}

func (t *Tools) sanction(ctx context.Context, s Sanction) (Sanction, error) {
	now := t.now()
	if err := s.check(now); err != nil {
		return Sanction{}, err
	}
	if err := t.findTarget(ctx, &s.Target); err != nil {
		return Sanction{}, err
	}
	s.Since, s.Lifted = now.UTC(), time.Time{}
	t.moderation.writing.Lock()
	defer t.moderation.writing.Unlock()
	if err := t.makeRoom(ctx, &s, now); err != nil {
		return Sanction{}, err
	}
	return t.writeSanction(ctx, s)
}

// Lift ends a sanction early: broker.ErrNotFound when none is in force. It blocks.
func (t *Table) Lift(ctx context.Context, kind SanctionKind, target Target, by string) (Sanction, error) {
	return t.tools.lift(ctx, kind, target, by)
}

func (t *Tools) lift(ctx context.Context, kind SanctionKind, target Target, by string) (Sanction, error) {
	now := t.now()
	s := Sanction{Kind: kind, Target: target, By: by}
	if err := s.check(now); err != nil {
		return Sanction{}, err
	}
	if err := t.findTarget(ctx, &s.Target); err != nil {
		return Sanction{}, err
	}
	t.moderation.writing.Lock()
	defer t.moderation.writing.Unlock()
	r, err := t.store.Get(ctx, s.key())
	if err != nil {
		return Sanction{}, err
	}
	old, ok := readSanction(r)
	if !ok || !old.InForce(now) {
		return Sanction{}, broker.ErrNotFound
	}
	ended := *old
	ended.Lifted, ended.By = now.UTC(), first(by, old.By)
	return t.writeSanction(ctx, ended)
}

// findTarget turns a name that an account has into the account.
func (t *Tools) findTarget(ctx context.Context, target *Target) error {
	if target.UID != "" {
		return nil
	}
	account, err := t.nameHolder(ctx, target.World, target.Name)
	target.UID = account
	return err
}

// writeSanction writes a sanction and makes it hold.
func (t *Tools) writeSanction(ctx context.Context, s Sanction) (Sanction, error) {
	value, err := json.Marshal(s)
	if err != nil {
		return Sanction{}, err
	}
	if s.revision, err = t.store.Put(ctx, s.key(), value); err != nil {
		return Sanction{}, err
	}
	t.applySanction(&s)
	if s.Kind == Mute && s.UID != "" {
		t.tellMuted(&s)
	}
	return s, nil
}

// makeRoom refuses a new record when there are too many of its kind in force, and drops the oldest that is over when one
// is needed. The caller holds writing.
func (t *Tools) makeRoom(ctx context.Context, s *Sanction, now time.Time) error {
	kind := t.moderation.kind(s.Kind)
	all := kind.list()
	if len(all) < SanctionsMost || slices.ContainsFunc(all, func(o *Sanction) bool { return o.key() == s.key() }) {
		return nil
	}
	over := slices.DeleteFunc(all, func(o *Sanction) bool { return o.InForce(now) })
	if len(over) == 0 {
		return refuse(protocol.StatusTooMuch, "there are too many sanctions of this kind in force: lift some first")
	}
	oldest := slices.MinFunc(over, func(a, b *Sanction) int { return a.Since.Compare(b.Since) })
	err := t.store.Delete(ctx, oldest.key(), broker.AnyRevision)
	if err == nil || errors.Is(err, broker.ErrNotFound) {
		kind.forget(oldest.key(), now)
		return nil
	}
	return err
}

// mutedRoute is the push that tells a player of a mute and of its end.
const mutedRoute = "/chat/muted"

// mutedPush is its content.
type mutedPush struct {
	Muted  bool   `json:"muted"`
	Until  int64  `json:"until,omitempty"` // unix milliseconds; missing: for good
	Reason string `json:"reason,omitempty"`
}

func (t *Tools) tellMuted(s *Sanction) {
	push := mutedPush{Muted: s.Lifted.IsZero(), Reason: s.Reason}
	if push.Muted && !s.Until.IsZero() {
		push.Until = s.Until.UnixMilli()
	}
	t.tellUser(s.UID, mutedRoute, push)
}

// userKeep is the history of pushes of an account: who was away gets them on resume.
var userKeep = buildingKeep

// tellUser pushes content to every connection of an account. It does not wait for the bus; what cannot be pushed is in
// the log, and the client reads the same by the function that the push is about.
func (t *Tools) tellUser(account, route string, content any) {
	b, err := json.Marshal(content)
	if err != nil {
		t.log.Error("a push was not encoded", "route", route, "error", err)
		return
	}
	t.bus.Publish(protocol.UserSubject(account), protocol.AppendPush(nil, route, b), userKeep, func(_ broker.Position, err error) {
		if err != nil {
			t.log.Warn("a push was not published", "route", route, "error", err)
		}
	})
}

// Sanctions returns the sanctions in force, or with past also those that are over, newest first. The slice is the
// caller's own. It does not block.
func (t *Table) Sanctions(past bool) []Sanction {
	now := t.tools.now()
	list := []Sanction{}
	for _, kind := range []SanctionKind{Mute, Ban} {
		for _, s := range t.tools.moderation.kind(kind).list() {
			if past || s.InForce(now) {
				list = append(list, *s)
			}
		}
	}
	slices.SortFunc(list, func(a, b Sanction) int {
		return cmp.Or(b.Since.Compare(a.Since), cmp.Compare(a.key(), b.key()))
	})
	return list
}
