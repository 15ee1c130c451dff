package module

import (
	"context"

	"gosper/broker"
	"gosper/protocol"
)

// Pushes of families, on the subject of each account they concern.
const (
	routeFamilyChanged = "/family/changed"
	routeFamilyInvited = "/family/invited"
)

// familyChanged is the content of the push /family/changed.
type familyChanged struct {
	World  string `json:"world"`
	Family string `json:"family"`              // of the receiver from now on, "" for none
	Name   string `json:"name"`                // of the family that changed
	Change string `json:"change"`              // created, invited, joined, left, removed, role, owner, renamed, notice, board, icon, ending, kept, ended
	By     string `json:"gn,omitempty"`        // who did it
	Target string `json:"gn_target,omitempty"` // to whom
	Role   *Role  `json:"role,omitempty"`      // of change role: the new one
}

// announce moves the connections of moved to their rooms, then tells all members, and those of moved that are none any
// more, what has changed.
func (t *Tools) announce(ctx context.Context, f *family, what familyChanged, moved ...string) {
	if len(moved) > 0 {
		t.regroup(ctx, f.World, moved...)
	}
	what.World, what.Name, what.Family = f.World, f.Name, f.Name
	t.pushTo(routeFamilyChanged, what, f.accounts()...)
	what.Family = ""
	for _, account := range moved {
		if f.find(account) < 0 {
			t.pushTo(routeFamilyChanged, what, account)
		}
	}
}

// pushTo sends a push to every connection of accounts, and keeps it for those who come back.
func (t *Tools) pushTo(route string, content any, accounts ...string) {
	if len(accounts) == 0 {
		return
	}
	data := protocol.AppendPush(nil, route, encoded(content))
	for _, account := range accounts {
		t.bus.Publish(protocol.UserSubject(account), data, buildingKeep, func(_ broker.Position, err error) {
			if err != nil {
				t.log.Error("an account was not told", "route", route, "error", err)
			}
		})
	}
}
