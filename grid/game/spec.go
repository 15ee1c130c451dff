package game

import (
	"fmt"
	"time"

	"gosper/grid"
	"gosper/protocol"
)

// Mode says what the cells of a grid carry.
type Mode uint8

// The modes. The zero value is Plain.
const (
	Plain    Mode = iota // nothing: a cell lives or not
	Owners               // the number of the user it descends from, the middle one of its parents'
	Blended              // a colour: the mean of the parents' colours as whole 24-bit numbers, rounded down
	Channels             // a colour: the mean of red, green and blue apart, each rounded down
)

var modeNames = [...]string{Plain: "plain", Owners: "owners", Blended: "blended", Channels: "channels"}

// String returns the name that ParseMode reads.
func (m Mode) String() string {
	if int(m) >= len(modeNames) {
		return fmt.Sprintf("mode(%d)", uint8(m))
	}
	return modeNames[m]
}

// ParseMode reads "plain", "owners", "blended" or "channels"; "" is Plain.
func ParseMode(s string) (Mode, error) {
	if s == "" {
		return Plain, nil
	}
	for m, name := range modeNames {
		if name == s {
			return Mode(m), nil
		}
	}
	return 0, fmt.Errorf("%w: colour mode %q: use plain, owners, blended or channels", ErrInvalid, s)
}

// GridSpec says what a grid of a game is. It never changes.
type GridSpec struct {
	Width, Height int
	Rule          grid.Rule // zero value: Life
	Topology      grid.Topology
	Mode          Mode
	Owners        int // mode Owners: how many users the grid can tell apart, 0 means DefaultOwners
}

// DefaultOwners is how many users a grid of mode Owners tells apart unless it says otherwise: four bits a cell.
const DefaultOwners = 16

// withDefaults fills zero fields.
func (s GridSpec) withDefaults() GridSpec {
	if s.Rule == (grid.Rule{}) {
		s.Rule = grid.Life
	}
	switch {
	case s.Mode != Owners:
		s.Owners = 0
	case s.Owners == 0:
		s.Owners = DefaultOwners
	}
	return s
}

// options are those of the grid engine.
func (s GridSpec) options() grid.Options {
	o := grid.Options{Width: s.Width, Height: s.Height, Rule: s.Rule, Topology: s.Topology, Owners: s.Owners}
	switch s.Mode {
	case Blended:
		o.Colours = grid.ColourWhole
	case Channels:
		o.Colours = grid.ColourChannels
	}
	return o
}

// State says what a game does. The zero value is Paused.
type State uint8

// The states.
const (
	Paused  State = iota // as made: edits and single steps, no ticks
	Running              // ticks
	Stopped              // over: no ticks and no edits until the owner starts it again
)

var stateNames = [...]string{Paused: "paused", Running: "running", Stopped: "stopped"}

// String returns "paused", "running" or "stopped".
func (s State) String() string {
	if int(s) >= len(stateNames) {
		return fmt.Sprintf("state(%d)", uint8(s))
	}
	return stateNames[s]
}

// User is somebody who joined a game. Users who left stay known, so that their cells keep a name and a colour, and so
// that they find their place when they come back.
type User struct {
	ID      string // the account
	Name    string // for display
	Colour  Colour // no other user of the game has it
	Number  uint8  // the owner number of the user's cells, 0…254
	Present bool   // false after leaving

	joined uint64 // place in the order of joining: the next owner is who came first
	left   uint64 // place in the order of leaving
}

// Info describes a game at one moment. Its slices are shared and read only.
type Info struct {
	ID         ID
	Name       string
	Owner      string // id of the user who owns it; "" when nobody does
	Users      []User
	Grids      []GridSpec
	Interval   time.Duration
	State      State
	Persistent bool // stays when its last user leaves
	Relaxed    bool // edits are answered when they are on the grid, before they are durable
	Created    time.Time
	Epoch      uint32 // changes when history was rewound or lost
	Generation uint64 // of all its grids
	Fault      string // why the game does not run, if an internal error is the reason
}

// User returns a user by id; false for one who never joined.
func (i *Info) User(id string) (User, bool) {
	for _, u := range i.Users {
		if u.ID == id {
			return u, true
		}
	}
	return User{}, false
}

// Present is the number of users who have not left.
func (i *Info) Present() int {
	n := 0
	for _, u := range i.Users {
		if u.Present {
			n++
		}
	}
	return n
}

// checkUser refuses ids and names that could not stand in lists and logs.
func checkUser(id, name string) error {
	if id == "" || len(id) > maxUserID {
		return fmt.Errorf("%w: a user id has 1 to %d bytes", ErrInvalid, maxUserID)
	}
	if !protocol.ValidDisplayName(name) {
		return fmt.Errorf("%w: a display name has 1 to %d printable characters", ErrInvalid, protocol.MaxDisplayName)
	}
	return nil
}

const maxUserID = 128
