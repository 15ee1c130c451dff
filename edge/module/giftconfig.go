package module

import (
	"errors"
	"fmt"
	"hash/maphash"

	"gosper/edge/config"
	"gosper/grid"
)

// GiftSettings is the file "gift" of the config folder: what players have and give.
type GiftSettings struct {
	Starter  string            `json:"starter"`  // items of a player who comes into a world for the first time; "" for none
	Daily    string            `json:"daily"`    // items of a gift to a friend, once a day each; "" for none
	SendDay  int               `json:"send_day"` // gifts out of their own that a player may mail a day, 0 to 1000
	Patterns map[string]string `json:"patterns"` // patterns besides those of the catalogue: a name in small letters -> RLE

	parsed  map[string]*grid.Pattern
	starter []Item
	daily   []Item
}

// DefaultGiftSettings are the figures without a file.
func DefaultGiftSettings() GiftSettings {
	return GiftSettings{Starter: "9:glider:3,9:block:5,3:1:100", Daily: "9:glider:1,3:1:10", SendDay: 10}
}

// giftPatterns is the most patterns of the file.
const giftPatterns = 1000

// complete reads the patterns and items, and says what cannot be.
func (s *GiftSettings) complete() error {
	if s.SendDay < 0 || s.SendDay > 1000 {
		return errors.New("send_day must be 0 to 1000")
	}
	if len(s.Patterns) > giftPatterns {
		return fmt.Errorf("patterns may be %d", giftPatterns)
	}
	s.parsed = make(map[string]*grid.Pattern, len(s.Patterns))
	for name, rle := range s.Patterns {
		if !validPatternName(name) {
			return fmt.Errorf("patterns: %q must be 1 to %d bytes of a line in small letters, without : and ,", name, ItemNameMost)
		}
		p, err := grid.ParseRLE([]byte(rle), grid.PatternLimits{})
		if err != nil {
			return fmt.Errorf("patterns: %s: %w", name, err)
		}
		s.parsed[name] = p
	}
	var err error
	if s.starter, err = s.items("starter", s.Starter); err != nil {
		return err
	}
	s.daily, err = s.items("daily", s.Daily)
	return err
}

func (s *GiftSettings) items(what, text string) ([]Item, error) {
	if text == "" {
		return nil, nil
	}
	items, err := ParseItems(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	for i := range items {
		if items[i].Group == GroupPattern && s.pattern(items[i].ID) == nil {
			return nil, fmt.Errorf("%s: there is no pattern %q", what, items[i].ID)
		}
	}
	return items, nil
}

// pattern returns the pattern of a name, nil when there is none.
func (s *GiftSettings) pattern(name string) *grid.Pattern {
	if p := s.parsed[name]; p != nil {
		return p
	}
	if t, ok := grid.FindTemplate(name); ok {
		return t.Pattern
	}
	return nil
}

// MailSettings is the file "mail" of the config folder. Its members that concern mails of players are these.
type MailSettings struct {
	SimpleDay int `json:"simple_day"` // simple mails that a player may send to others a day, 0 to 10,000
	ZoneHours int `json:"zone_hours"` // the zone of the times of mails as clients see them: hours east of UTC, -12 to 14
}

// DefaultMailSettings are the figures without a file: the zone is that of older clients.
func DefaultMailSettings() MailSettings { return MailSettings{SimpleDay: 10, ZoneHours: 8} }

func (s *MailSettings) complete() error {
	if s.SimpleDay < 0 || s.SimpleDay > 10_000 {
		return errors.New("simple_day must be 0 to 10000")
	}
	if s.ZoneHours < -12 || s.ZoneHours > 14 {
		return errors.New("zone_hours must be -12 to 14")
	}
	return nil
}

// FriendSettings is the file "friend" of the config folder.
type FriendSettings struct {
	Most       int `json:"most"`        // friends of a player in a world, 1 to 200
	RequestDay int `json:"request_day"` // friends that a player may ask for a day, 0 to 1000
}

// DefaultFriendSettings are the figures without a file.
func DefaultFriendSettings() FriendSettings { return FriendSettings{Most: 50, RequestDay: 6} }

func (s *FriendSettings) complete() error {
	if s.Most < 1 || s.Most > 200 {
		return errors.New("most must be 1 to 200")
	}
	if s.RequestDay < 0 || s.RequestDay > 1000 {
		return errors.New("request_day must be 0 to 1000")
	}
	return nil
}

// newSocial binds the settings of mails, gifts and friends.
func newSocial(c *Config) *social {
	return &social{seed: maphash.MakeSeed(), placing: make(map[string]bool),
		gifts:   config.Bind(c.Settings, "gift", DefaultGiftSettings(), (*GiftSettings).complete),
		mails:   config.Bind(c.Settings, "mail", DefaultMailSettings(), (*MailSettings).complete),
		friends: config.Bind(c.Settings, "friend", DefaultFriendSettings(), (*FriendSettings).complete),
	}
}
