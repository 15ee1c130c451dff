package module

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"gosper/broker/post"
	"gosper/protocol"
)

// Items are written as older clients know them: gid:iid:qty[,…], a group, an id in the group and how many.

// ItemGroup is a group of items.
type ItemGroup int

// The groups. The numbers of the first five are those of older clients.
const (
	GroupWeapon  ItemGroup = 0
	GroupSkill   ItemGroup = 1
	GroupRole    ItemGroup = 2
	GroupItem    ItemGroup = 3 // resources
	GroupArmor   ItemGroup = 4
	GroupPattern ItemGroup = 9 // patterns that can be laid on a grid; the id is the pattern's name
)

// Limits of items.
const (
	ItemsMost     = 16            // kinds of items of one mail
	ItemCountMost = 1_000_000_000 // of one item of a mail
	ItemNameMost  = 64            // bytes of a pattern's name
	itemIDDigits  = 9             // of an id that is a number
)

// Item is so many of one thing.
type Item struct {
	Group ItemGroup `json:"gid"`
	ID    string    `json:"iid"` // a decimal number, or the name of a pattern in small letters
	Count int64     `json:"qty"` // at least 1
}

// key is what the inventory calls the item.
func (i *Item) key() string { return strconv.Itoa(int(i.Group)) + ":" + i.ID }

// errItems is what every text is refused with that names no items.
var errItems = errors.New("items must be gid:iid:qty[,…]")

// ParseItems reads items. The same thing named twice is one item with the sum. Errors are for people.
func ParseItems(text string) ([]Item, error) {
	if text == "" || len(text) > post.MaxItems {
		return nil, fmt.Errorf("%w, 1 to %d bytes", errItems, post.MaxItems)
	}
	var items []Item
	for part := range strings.SplitSeq(text, ",") {
		item, err := parseItem(part)
		if err != nil {
			return nil, err
		}
		at := slices.IndexFunc(items, func(i Item) bool { return i.Group == item.Group && i.ID == item.ID })
		if at < 0 {
			items = append(items, item)
			at = len(items) - 1
		} else {
			items[at].Count += item.Count
		}
		if items[at].Count > ItemCountMost {
			return nil, fmt.Errorf("%w: at most %d of one item", errItems, ItemCountMost)
		}
		if len(items) > ItemsMost {
			return nil, fmt.Errorf("%w: at most %d items", errItems, ItemsMost)
		}
	}
	return items, nil
}

func parseItem(part string) (Item, error) {
	group, rest, one := strings.Cut(part, ":")
	id, count, two := strings.Cut(rest, ":")
	item := Item{ID: id}
	if !one || !two {
		return item, fmt.Errorf("%w, not %q", errItems, clip(part))
	}
	switch group {
	case "0", "1", "2", "3", "4":
		if !wholeNumber(id, itemIDDigits) {
			return item, fmt.Errorf("%w: iid must be a number below 10^%d, not %q", errItems, itemIDDigits, clip(id))
		}
	case "9":
		item.ID = fold(id)
		if !utf8.ValidString(id) || !validPatternName(item.ID) { // fold mends what is no UTF-8
			return item, fmt.Errorf("%w: iid of a pattern must be its name, not %q", errItems, clip(id))
		}
	default:
		return item, fmt.Errorf("%w: gid must be 0 to 4, or 9 for patterns, not %q", errItems, clip(group))
	}
	item.Group = ItemGroup(group[0] - '0')
	if !wholeNumber(count, 10) || count == "0" {
		return item, fmt.Errorf("%w: qty must be 1 to %d, not %q", errItems, ItemCountMost, clip(count))
	}
	item.Count, _ = strconv.ParseInt(count, 10, 64) // ten digits always fit
	return item, nil
}

// wholeNumber says whether s is a decimal number in its one spelling.
func wholeNumber(s string, digits int) bool {
	if s == "" || len(s) > digits || s[0] == '0' && len(s) > 1 {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}

// validPatternName says whether s can be the name of a pattern in items: text of a line without what parts items.
func validPatternName(s string) bool {
	return s != "" && len(s) <= ItemNameMost && utf8.ValidString(s) && strings.TrimSpace(s) == s && fold(s) == s &&
		!strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == ':' || r == ',' })
}

// itemsText writes items, the opposite of ParseItems.
func itemsText(items []Item) string {
	var b strings.Builder
	for i := range items {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(items[i].key())
		b.WriteByte(':')
		b.WriteString(strconv.FormatInt(items[i].Count, 10))
	}
	return b.String()
}

// itemOf reads a key of an inventory.
func itemOf(key string, count int64) (Item, bool) {
	item, err := parseItem(key + ":1")
	item.Count = count
	return item, err == nil
}

// itemsFault refuses a client's items.
func itemsFault(err error) *Fault { return refuseGate(protocol.StatusInvalid, 96, err.Error()) }
