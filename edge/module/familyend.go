package module

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gosper/broker"
	"gosper/broker/worker"
	"gosper/protocol"
)

// The end of a family is a timer, whose job disbands it. The record is written first and says when; the job does nothing
// unless the record still says the same time, so an end that was taken back, or set anew, is safe from an old job. A start
// sets timers that a crash left out.

const (
	familyTube   = "bg_family"
	familyEnding = "/family/end"
)

// endContent is the content of the job.
type endContent struct {
	World  string    `json:"world"`
	Family string    `json:"family"`
	Due    time.Time `json:"due"`
}

func familyTimer(id string) string { return "family." + id }

// setEnd makes the timer.
func (t *Tools) setEnd(ctx context.Context, world, id string, due time.Time) error {
	body, err := worker.Encode(familyEnding, endContent{world, id, due})
	if err != nil {
		return err
	}
	return t.families.schedule.Set(ctx, broker.Timer{Key: familyTimer(id), Due: due, Tube: familyTube, Body: body,
		Put: broker.PutOptions{Priority: broker.DefaultPriority, TTR: broker.DefaultTTR}})
}

// cancelEnd drops the timer. One that stays does nothing.
func (t *Tools) cancelEnd(ctx context.Context, f *family) {
	if t.families.schedule == nil {
		return
	}
	if err := t.families.schedule.Cancel(ctx, familyTimer(f.ID)); err != nil && !errors.Is(err, broker.ErrNotFound) {
		t.log.Warn("the timer of a family that goes on stays; it will do nothing", "family", f.ID, "error", err)
	}
}

type disbandFamilyOut struct {
	Timer int64 `json:"timer"` // seconds until the end
}

func disbandFamily(t *Tools, c *Call, _ *empty) (disbandFamilyOut, error) {
	if t.families.schedule == nil {
		return disbandFamilyOut{}, refuseGate(protocol.StatusBusy, protocol.StatusTimeout, "this node has no timers")
	}
	a, err := t.changeFamily(c, noFamily(99), func(a *act) error {
		f := a.family
		if err := f.end(c.Who.Account, &a.general, a.now); err != nil {
			return err
		}
		f.tell(newsDisband, a.me.Name, "", a.now)
		a.ops = append(a.ops, broker.OpPut(familyEndKey(f.World, f.ID), encoded(endContent{f.World, f.ID, f.Disband})))
		return nil
	})
	if err != nil {
		return disbandFamilyOut{}, err
	}
	if err := t.setEnd(c.Context, a.family.World, a.family.ID, a.family.Disband); err != nil {
		return disbandFamilyOut{}, err // the record is written: the next start sets the timer, and the officers can take it back
	}
	t.announce(c.Context, a.family, familyChanged{Change: "ending", By: a.me.Name})
	return disbandFamilyOut{int64(a.general.disbandAfter() / time.Second)}, nil
}

func cancelDisbandFamily(t *Tools, c *Call, _ *empty) (empty, error) {
	a, err := t.changeFamily(c, noFamily(99), func(a *act) error {
		f := a.family
		if err := f.keep(c.Who.Account); err != nil {
			return err
		}
		f.tell(newsKeep, a.me.Name, "", a.now)
		a.ops = append(a.ops, broker.OpDelete(familyEndKey(f.World, f.ID), broker.AnyRevision))
		return nil
	})
	if err != nil {
		return empty{}, err
	}
	t.cancelEnd(c.Context, a.family)
	t.announce(c.Context, a.family, familyChanged{Change: "kept", By: a.me.Name})
	return empty{}, nil
}

// FamilyTube returns the workers that disband families; ok is false on a node without timers.
func (t *Table) FamilyTube() (tube worker.Tube, ok bool) {
	if t.tools.families.schedule == nil {
		return tube, false
	}
	return worker.Tube{Name: familyTube, Routes: worker.Routes{familyEnding: t.tools.endFamily}}, true
}

// endFamily disbands a family.
func (t *Tools) endFamily(ctx context.Context, j *worker.Job) error {
	var c endContent
	if err := json.Unmarshal(j.Content, &c); err != nil {
		return worker.Permanent(err)
	}
	kept := refuse(protocol.StatusInvalid, "the family goes on, or has ended")
	a, err := t.changeFamilyOf(ctx, c.World, c.Family, kept, func(a *act) error {
		if !a.family.Disband.Equal(c.Due) {
			return kept
		}
		return t.disband(ctx, a)
	})
	if errors.Is(err, kept) {
		return nil
	}
	if err != nil {
		return err
	}
	members := a.family.accounts()
	a.family.Members = nil
	t.announce(ctx, a.family, familyChanged{Change: "ended"}, members...)
	return nil
}

// disband notes the end of a family: all its members are free, its name is after a while.
func (t *Tools) disband(ctx context.Context, a *act) error {
	f := a.family
	for _, account := range f.accounts() {
		p, err := t.loadPlayer(ctx, f.World, account)
		if err != nil {
			return err
		}
		if p.FamilyID == f.ID {
			p.FamilyID = "" // without a wait, as for those who are removed
			a.put(p)
		}
	}
	a.ended = true
	a.ops = append(a.ops, t.giveUpName(f), broker.OpDelete(familyEndKey(f.World, f.ID), broker.AnyRevision))
	return nil
}

// RepairFamilies sets the timers of families that will be disbanded and have none after a crash. It is called at each
// start. A family whose job is under way gets a second one, which does nothing.
func (t *Table) RepairFamilies(ctx context.Context) error {
	f := t.tools.families
	if f.schedule == nil {
		return nil
	}
	for after := ""; ; {
		records, err := t.tools.store.List(ctx, familyEndPrefix, after, 1000)
		if err != nil || len(records) == 0 {
			return err
		}
		for _, r := range records {
			var c endContent
			if err := json.Unmarshal(r.Value, &c); err != nil {
				return fmt.Errorf("record %q is damaged: %w", r.Key, err)
			}
			_, err := f.schedule.Get(ctx, familyTimer(c.Family))
			if errors.Is(err, broker.ErrNotFound) {
				err = t.tools.setEnd(ctx, c.World, c.Family, c.Due)
			}
			if err != nil {
				return err
			}
		}
		after = records[len(records)-1].Key
	}
}
