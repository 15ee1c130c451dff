package module

import (
	"errors"
	"fmt"
	"time"

	"gosper/protocol"
)

// familyNewsKept is how many news of a family are kept and shown.
const familyNewsKept = 30

// Limits of figures in the file "family": what one record can hold.
const (
	familyMembersMax = 200  // members of one family
	familyTextMax    = 1000 // characters of notice and board
	hoursMax         = 24 * 366
)

// FamilySettings is the file "family" of the config folder. Members that are not named here are left to others.
type FamilySettings struct {
	General FamilyGeneral `json:"general"`
}

// FamilyGeneral are the figures of families. 0 of a daily number means never.
type FamilyGeneral struct {
	Members struct {
		Max int `json:"max"` // members of one family, 1 to 200
	} `json:"members"`
	PlayerLevel  int     `json:"player_level"`  // level that a player needs to found, ask and be invited
	DisbandHours float64 `json:"disband_hours"` // between the word and the end of a family; it can be taken back until then
	LeaveDays    float64 `json:"leave_days"`    // after leaving, before the next family
	Kicks        int     `json:"rmtimes"`       // members that a family removes a day
	Invites      int     `json:"itimes"`        // invitations of a family a day
	Notices      int     `json:"ntimes"`        // notices of a family a day
	Requests     int     `json:"jtimes"`        // requests of a player a day
	NameMin      int     `json:"name_min"`      // shortest name
	NoticeMax    int     `json:"notice_max"`    // characters of a notice, up to 1000
	BoardMax     int     `json:"board_max"`     // characters of the board, up to 1000
	InviteHours  float64 `json:"invite_hours"`  // how long an invitation or a request can be accepted
	CheckInExp   int     `json:"check_in_exp"`  // what a player earns by the daily check-in; the family earns 1
	RandomMax    int     `json:"random_max"`    // families that one search or random choice names
}

// DefaultFamilySettings are the figures without a file.
func DefaultFamilySettings() FamilySettings {
	s := FamilySettings{General: FamilyGeneral{DisbandHours: 24, Kicks: 5, Invites: 10, Notices: 5, Requests: 10,
		NameMin: 3, NoticeMax: 200, BoardMax: 1000, InviteHours: 7 * 24, CheckInExp: 10, RandomMax: 20}}
	s.General.Members.Max = 50
	return s
}

// complete says which figure cannot be.
func (s *FamilySettings) complete() error {
	g := &s.General
	for _, f := range []struct {
		name        string
		value       int
		least, most int
	}{
		{"members.max", g.Members.Max, 1, familyMembersMax}, {"player_level", g.PlayerLevel, 0, playerLevelMax}, {"rmtimes", g.Kicks, 0, 1000},
		{"itimes", g.Invites, 0, 1000}, {"ntimes", g.Notices, 0, 1000}, {"jtimes", g.Requests, 0, 1000},
		{"name_min", g.NameMin, 1, protocol.MaxName}, {"notice_max", g.NoticeMax, 1, familyTextMax}, {"board_max", g.BoardMax, 1, familyTextMax},
		{"check_in_exp", g.CheckInExp, 0, 1_000_000}, {"random_max", g.RandomMax, 1, 100},
	} {
		if f.value < f.least || f.value > f.most {
			return fmt.Errorf("general.%s must be between %d and %d", f.name, f.least, f.most)
		}
	}
	switch {
	case g.DisbandHours < 0 || g.DisbandHours > hoursMax:
		return fmt.Errorf("general.disband_hours must be between 0 and %d", hoursMax)
	case g.LeaveDays < 0 || g.LeaveDays > 366:
		return errors.New("general.leave_days must be between 0 and 366")
	case g.InviteHours <= 0 || g.InviteHours > hoursMax:
		return fmt.Errorf("general.invite_hours must be more than 0 and at most %d", hoursMax)
	}
	return nil
}

func (g *FamilyGeneral) disbandAfter() time.Duration { return hoursOf(g.DisbandHours) }
func (g *FamilyGeneral) inviteAge() time.Duration {
	return max(time.Second, hoursOf(g.InviteHours))
}
func (g *FamilyGeneral) rest() time.Duration { return hoursOf(24 * g.LeaveDays) }

func hoursOf(n float64) time.Duration {
	return time.Duration(n * float64(time.Hour)).Truncate(time.Millisecond)
}

// restOf returns how long a player has to wait for the next family.
func (g *FamilyGeneral) restOf(p *player, now time.Time) time.Duration {
	if p.Left == 0 {
		return 0
	}
	return max(0, time.UnixMilli(p.Left).Add(g.rest()).Sub(now))
}
