package module

import (
	"cmp"
	"errors"
	"maps"
	"slices"

	"gosper/broker"
	"gosper/broker/post"
	"gosper/grid"
	"gosper/protocol"
)

// giftFunctions are what players do with what they have.
func giftFunctions() []Function {
	const needs = NeedLogin | NeedWorld
	return []Function{
		define(Function{Route: "/gift/inventory", Gate: "get_all_resource", Needs: needs, Class: ClassRead,
			Doc:     "Tells what the player has in the world: resources, and patterns that can be placed.",
			Example: `{}`}, giftInventory),
		define(Function{Route: "/gift/place", Gate: "place_gift", Needs: needs, Class: ClassEdit,
			Doc: "Lays a pattern that the player has on a grid, with its corner at x, y, all of it or nothing; one of the pattern is used up " +
				"unless the grid refuses it." + " policy says what happens where a live cell is in the way: refuse (the default), overwrite or skip.",
			Example: `{"game":"0123456789","grid":0,"x":10,"y":20,"pattern":"glider","orientation":"rotate90","policy":"refuse","wrap":false}`}, placeGift),
		define(Function{Route: "/gift/friend", Gate: "send_gift_friend", Needs: needs, Class: ClassWrite,
			Doc:     "Sends the gift of the day to a friend (gn_target or uid_target). It costs nothing, once a day for each friend.",
			Example: `{"gn_target":"Ann"}`}, giftFriend),
		define(Function{Route: "/gift/friends", Gate: "send_gift_all", Needs: needs, Class: ClassWrite,
			Doc:     "Sends the gift of the day to every friend who has not got it today.",
			Example: `{}`}, giftFriends),
	}
}

type acceptedOut struct {
	Key   string `json:"key"`
	Items []Item `json:"items"`
}

func acceptGift(t *Tools, c *Call, in *mailKey) (acceptedOut, error) {
	l := t.social.lock(c.Who.World, c.Who.Account)
	l.Lock()
	defer l.Unlock()
	var items []Item
	_, err := t.acceptMail(c.Context, &c.Who, in.Key, post.Gift, func(m *post.Mail) (ops []broker.Op, err error) {
		if items, err = ParseItems(m.Items); err != nil {
			return nil, itemsFault(err)
		}
		inv, err := t.loadInventory(c.Context, c.Who.World, c.Who.Account)
		if err != nil {
			return nil, err
		}
		if err := inv.add(items); err != nil {
			return nil, err
		}
		op, err := inv.op()
		return []broker.Op{op}, err
	})
	return acceptedOut{in.Key, items}, err
}

// acceptMost is the most keys of one call.
const acceptMost = 64

// acceptedGifts is the answer to several keys.
type acceptedGifts struct {
	Accepted []acceptedOut `json:"accepted"`
	Refused  []refusedGift `json:"refused"`
	Items    []Item        `json:"items"` // of all together
}

type refusedGift struct {
	Key     string          `json:"key"`
	Status  protocol.Status `json:"status"`
	Message string          `json:"message"`
}

func acceptGifts(t *Tools, c *Call, in *mailKeys) (acceptedGifts, error) {
	out := acceptedGifts{Accepted: []acceptedOut{}, Refused: []refusedGift{}, Items: []Item{}}
	if len(in.Keys) > acceptMost {
		return out, refuseGate(protocol.StatusTooMuch, 97, "too many keys: send at most 64, or none for all gifts")
	}
	keys := in.Keys
	if len(keys) == 0 {
		box, err := t.boxOf(&c.Who)
		if err != nil {
			return out, err
		}
		mails, err := t.post.Peek(c.Context, box)
		if err != nil {
			return out, err
		}
		for i := range mails {
			if mails[i].Kind == post.Gift {
				keys = append(keys, mails[i].Key)
			}
		}
	}
	for _, key := range keys {
		one, err := acceptGift(t, c, &mailKey{key})
		var fault *Fault
		switch {
		case err == nil:
			out.Accepted = append(out.Accepted, one)
			out.Items = sumItems(out.Items, one.Items)
		case errors.As(err, &fault) && fault != faultNoPost:
			if len(in.Keys) > 0 || fault != faultRedeemed { // who asks for all does not mean those
				out.Refused = append(out.Refused, refusedGift{key, cmp.Or(fault.Gate, gateRefused), fault.Message})
			}
		default:
			return out, err
		}
	}
	return out, nil
}

// sumItems adds items to a list.
func sumItems(list, more []Item) []Item {
	for _, item := range more {
		at := slices.IndexFunc(list, func(i Item) bool { return i.Group == item.Group && i.ID == item.ID })
		if at < 0 {
			list = append(list, item)
		} else {
			list[at].Count += item.Count
		}
	}
	return list
}

// patternItem is a pattern that a player has.
type patternItem struct {
	Name   string `json:"name"`
	Count  int64  `json:"qty"`
	Width  int32  `json:"width"`
	Height int32  `json:"height"`
	RLE    string `json:"rle,omitempty"` // missing for a pattern that the settings do not know any more
}

type inventoryOut struct {
	Items    []Item        `json:"items"`    // but for patterns, by group and id
	Patterns []patternItem `json:"patterns"` // by name
	Placing  int           `json:"placing,omitempty"`
}

func giftInventory(t *Tools, c *Call, _ *empty) (inventoryOut, error) {
	inv, err := t.loadInventory(c.Context, c.Who.World, c.Who.Account)
	if err != nil {
		return inventoryOut{}, err
	}
	out := inventoryOut{Items: []Item{}, Patterns: []patternItem{}, Placing: len(inv.Placing)}
	settings := t.social.gifts.Get()
	for _, key := range slices.Sorted(maps.Keys(inv.Items)) {
		item, ok := itemOf(key, inv.Items[key])
		switch {
		case !ok:
		case item.Group != GroupPattern:
			out.Items = append(out.Items, item)
		default:
			line := patternItem{Name: item.ID, Count: item.Count}
			if p := settings.pattern(item.ID); p != nil {
				line.Width, line.Height, line.RLE = p.Width, p.Height, string(grid.AppendRunLine(nil, p))
			}
			out.Patterns = append(out.Patterns, line)
		}
	}
	return out, nil
}
