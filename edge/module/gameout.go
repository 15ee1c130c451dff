package module

import (
	"math"
	"time"

	"gosper/grid/game"
	"gosper/protocol"
)

// gameOut describes a game.
type gameOut struct {
	ID         game.ID   `json:"id"`
	Name       string    `json:"name"`
	Owner      string    `json:"owner"` // id of a user
	Users      []userOut `json:"users"`
	Grids      []gridOut `json:"grids"`
	Interval   float64   `json:"interval"` // milliseconds
	State      string    `json:"state"`    // "paused", "running", "stopped"
	Persistent bool      `json:"persistent"`
	Durability string    `json:"durability,omitempty"` // "relaxed"; missing: strict
	Created    int64     `json:"created"`              // unix milliseconds
	Epoch      uint32    `json:"epoch"`                // changes when the game was rewound or set back
	Generation uint64    `json:"generation"`
	Fault      string    `json:"fault,omitempty"`
}

// userOut is a user of a game.
type userOut struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Color   string `json:"color"`
	Number  uint8  `json:"number"`  // owner number of the cells
	Present bool   `json:"present"` // false: has left, but owns cells
}

// gridOut is a grid of a game.
type gridOut struct {
	Width    int    `json:"width"`
	Height   int    `json:"height"`
	Rule     string `json:"rule"`
	Topology string `json:"topology"` // "torus" or "plane"
	Mode     string `json:"mode"`     // "plain", "owners", "blended" or "channels"
	Owners   int    `json:"owners,omitempty"`
}

func newUserOut(u game.User) userOut {
	return userOut{ID: u.ID, Name: u.Name, Color: u.Colour.String(), Number: u.Number, Present: u.Present}
}

func newUsersOut(users []game.User) []userOut {
	out := make([]userOut, len(users))
	for i, u := range users {
		out[i] = newUserOut(u)
	}
	return out
}

func newGameOut(info *game.Info) gameOut {
	out := gameOut{
		ID: info.ID, Name: info.Name, Owner: info.Owner, Users: newUsersOut(info.Users), Grids: make([]gridOut, len(info.Grids)),
		Interval: milliseconds(info.Interval), State: info.State.String(), Persistent: info.Persistent,
		Created: info.Created.UnixMilli(), Epoch: info.Epoch, Generation: info.Generation, Fault: info.Fault,
	}
	if info.Relaxed {
		out.Durability = durabilityRelaxed
	}
	for i, s := range info.Grids {
		out.Grids[i] = gridOut{Width: s.Width, Height: s.Height, Rule: s.Rule.String(), Topology: s.Topology.String(), Mode: s.Mode.String(), Owners: s.Owners}
	}
	return out
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// interval reads milliseconds; what no duration can hold becomes one that is refused for being too long.
func interval(ms float64) (time.Duration, error) {
	if ms <= 0 {
		return 0, refuse(protocol.StatusRange, "interval must be a positive number of milliseconds")
	}
	return time.Duration(min(ms*float64(time.Millisecond), math.MaxInt64/2)), nil
}

// durabilityRelaxed is the word for edits that are answered before they are durable.
const durabilityRelaxed = "relaxed"

// parseDurability reads "strict" or "relaxed"; "" is strict.
func parseDurability(word string) (relaxed bool, err error) {
	switch word {
	case "", "strict":
		return false, nil
	case durabilityRelaxed:
		return true, nil
	}
	return false, refuse(protocol.StatusInvalid, "durability must be strict or relaxed")
}
