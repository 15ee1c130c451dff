package module

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"gosper/broker"
	"gosper/protocol"
)

// Two players of a world are friends when each stands in the list of the other. Both lists are written in one commit with
// the revisions they were read at, so whoever accepts, removes and asks at the same time, they agree after it.

// friendList is the record of a player's friends in a world.
type friendList struct {
	Friends []friend `json:"friends"` // in the order in which they became friends

	world, account string
	revision       uint64
}

// friend is one friend.
type friend struct {
	UID   string    `json:"uid"`
	Since time.Time `json:"since"`
	Gift  string    `json:"gift,omitempty"` // day (UTC) of the last gift of the day to them
}

func friendKey(world, account string) string { return "friend/" + world + "/" + account }

func (t *Tools) loadFriends(ctx context.Context, world, account string) (*friendList, error) {
	l := &friendList{world: world, account: account}
	record, err := t.store.Get(ctx, friendKey(world, account))
	if errors.Is(err, broker.ErrNotFound) {
		return l, nil
	}
	if err != nil {
		return nil, err
	}
	l.revision = record.Revision
	if err := json.Unmarshal(record.Value, l); err != nil {
		return nil, fmt.Errorf("friends %q are damaged: %w", record.Key, err)
	}
	return l, nil
}

// find returns the place of a friend, -1 for nobody.
func (l *friendList) find(account string) int {
	return slices.IndexFunc(l.Friends, func(f friend) bool { return f.UID == account })
}

// op is the write of a changed list.
func (l *friendList) op() (broker.Op, error) {
	value, err := json.Marshal(l)
	return broker.OpUpdate(friendKey(l.world, l.account), value, l.revision), err // revision 0: must not exist
}

// ops are the writes of two changed lists.
func bothLists(a, b *friendList) ([]broker.Op, error) {
	one, err := a.op()
	if err != nil {
		return nil, err
	}
	two, err := b.op()
	return []broker.Op{one, two}, err
}

// loadBoth reads the lists of two players.
func (t *Tools) loadBoth(ctx context.Context, world, a, b string) (*friendList, *friendList, error) {
	mine, err := t.loadFriends(ctx, world, a)
	if err != nil {
		return nil, nil, err
	}
	theirs, err := t.loadFriends(ctx, world, b)
	return mine, theirs, err
}

var (
	faultSelf    = refuseGate(protocol.StatusInvalid, 99, "that is yourself")
	faultFriends = refuseGate(protocol.StatusInvalid, 95, "you are friends already")
)

// befriend returns the writes that make two players friends.
func (t *Tools) befriend(ctx context.Context, world, a, b string) ([]broker.Op, error) {
	mine, theirs, err := t.loadBoth(ctx, world, a, b)
	if err != nil {
		return nil, err
	}
	most := t.social.friends.Get().Most
	switch {
	case a == b:
		return nil, faultSelf
	case mine.find(b) >= 0 && theirs.find(a) >= 0:
		return nil, faultFriends
	case len(mine.Friends) >= most:
		return nil, faultManyFriends(most, "you have")
	case len(theirs.Friends) >= most:
		return nil, faultManyFriends(most, "this player has")
	}
	now := t.now().UTC()
	mine.Friends = append(mine.Friends, friend{UID: b, Since: now})
	theirs.Friends = append(theirs.Friends, friend{UID: a, Since: now})
	return bothLists(mine, theirs)
}

func faultManyFriends(most int, who string) *Fault {
	return refuseGate(protocol.StatusTooMuch, 93, fmt.Sprintf("%s as many friends as one may have (%d)", who, most))
}

// unfriend ends a friendship on both sides. It says whether there was one. Both lists are written, also one that stays as it is: they
// were read one after the other, and only their revisions say that they belong together.
func (t *Tools) unfriend(ctx context.Context, world, a, b string) (were bool, err error) {
	err = again(func() error {
		mine, theirs, err := t.loadBoth(ctx, world, a, b)
		if err != nil {
			return err
		}
		i, k := mine.find(b), theirs.find(a)
		if were = i >= 0 || k >= 0; !were || a == b {
			return nil
		}
		for list, at := range map[*friendList]int{mine: i, theirs: k} {
			if at >= 0 {
				list.Friends = slices.Delete(list.Friends, at, at+1)
			}
		}
		ops, err := bothLists(mine, theirs)
		if err != nil {
			return err
		}
		_, err = t.store.Commit(ctx, ops...)
		return err
	})
	return were, err
}

// present says whether a name has a connection in a world.
func (p *presence) present(world, name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.worlds[world]
	return w != nil && w.present(name)
}
