package module

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	"gosper/broker"
	"gosper/edge/config"
	"gosper/protocol"
)

// What a player has in a world is one record, so that whatever gives and takes is one commit with the reason: a gift is
// credited together with the mark that it was accepted, and taken together with the mail that carries it.

// Limits of an inventory.
const (
	InventoryKinds = 1000              // kinds of things of one player
	InventoryCount = 1_000_000_000_000 // of one thing
	placingMost    = 8                 // patterns of one player on their way to a grid
	commitTries    = 16                // a change that others overtook so often is answered busy
)

// social is what mails, gifts and friends share.
type social struct {
	gifts   *config.Value[GiftSettings]
	mails   *config.Value[MailSettings]
	friends *config.Value[FriendSettings]

	seed  maphash.Seed
	locks [64]sync.Mutex // one change of a player at a time on this node: others need not try again

	mu      sync.Mutex
	placing map[string]bool // ids of patterns that this node brings to a grid; guarded by mu
}

// lock returns the mutex of a player.
func (s *social) lock(world, account string) *sync.Mutex {
	return &s.locks[maphash.String(s.seed, world+"/"+account)%uint64(len(s.locks))]
}

// inventory is the record of what a player has in a world.
type inventory struct {
	Items   map[string]int64 `json:"items"`             // by Item.key
	Placing []placing        `json:"placing,omitempty"` // taken out, but not yet known to be on a grid

	key      string
	revision uint64
}

// placing is a pattern on its way to a grid.
type placing struct {
	ID   string    `json:"id"`
	Item string    `json:"item"` // Item.key
	Time time.Time `json:"time"`
}

func inventoryKey(world, account string) string { return "inventory/" + world + "/" + account }

// loadInventory reads what a player has. A new player has what the settings start with, which the first write makes real.
func (t *Tools) loadInventory(ctx context.Context, world, account string) (*inventory, error) {
	inv := &inventory{Items: make(map[string]int64), key: inventoryKey(world, account)}
	record, err := t.store.Get(ctx, inv.key)
	if errors.Is(err, broker.ErrNotFound) {
		settings := t.social.gifts.Get()
		return inv, inv.add(settings.starter)
	}
	if err != nil {
		return nil, err
	}
	inv.revision = record.Revision
	if err := json.Unmarshal(record.Value, inv); err != nil {
		return nil, fmt.Errorf("inventory %q is damaged: %w", record.Key, err)
	}
	if inv.Items == nil {
		inv.Items = make(map[string]int64)
	}
	t.social.dropLost(inv, t.now())
	return inv, nil
}

// op is the write of a changed inventory.
func (i *inventory) op() (broker.Op, error) {
	value, err := json.Marshal(i)
	return broker.OpUpdate(i.key, value, i.revision), err // revision 0: must not exist
}

// add puts items in, all or none.
func (i *inventory) add(items []Item) error {
	kinds := len(i.Items)
	for k := range items {
		had := i.Items[items[k].key()]
		if had == 0 {
			kinds++
		}
		if kinds > InventoryKinds || had+items[k].Count > InventoryCount {
			return refuseGate(protocol.StatusTooMuch, 95, "there is no room for so much: use some of what you have first")
		}
	}
	for k := range items {
		i.Items[items[k].key()] += items[k].Count
	}
	return nil
}

// take takes items out, all or none.
func (i *inventory) take(items []Item) error {
	for k := range items {
		if had := i.Items[items[k].key()]; had < items[k].Count {
			return &Fault{Status: protocol.StatusNotStored, Gate: 95, Message: "you have not enough of " + items[k].key(),
				Data: map[string]any{"item": items[k].key(), "have": had, "need": items[k].Count}}
		}
	}
	for k := range items {
		key := items[k].key()
		if i.Items[key] -= items[k].Count; i.Items[key] == 0 {
			delete(i.Items, key)
		}
	}
	return nil
}

// overtaken says whether a commit failed because somebody else wrote one of its records first.
func overtaken(err error) bool {
	return errors.Is(err, broker.ErrConflict) || errors.Is(err, broker.ErrExists) || errors.Is(err, broker.ErrNotFound)
}

// again runs try until it is not overtaken by others. try reads everything anew each time.
func again(try func() error) error {
	var err error
	for range commitTries {
		if err = try(); !overtaken(err) {
			return err
		}
	}
	return fmt.Errorf("%w: overtaken %d times: %w", broker.ErrBusy, commitTries, err)
}

// changeInventory changes what a player has in one commit with other writes. change may be called several times, each
// time with what there is then.
func (t *Tools) changeInventory(ctx context.Context, world, account string, change func(*inventory) ([]broker.Op, error)) error {
	l := t.social.lock(world, account)
	l.Lock()
	defer l.Unlock()
	return again(func() error {
		inv, err := t.loadInventory(ctx, world, account)
		if err != nil {
			return err
		}
		ops, err := change(inv)
		if err != nil {
			return err
		}
		op, err := inv.op()
		if err != nil {
			return err
		}
		_, err = t.store.Commit(ctx, append(ops, op)...)
		return err
	})
}
