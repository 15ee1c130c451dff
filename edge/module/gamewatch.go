package module

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gosper/broker"
	"gosper/grid"
	"gosper/grid/game"
	"gosper/protocol"
)

// gameWatchFunctions look at games.
func gameWatchFunctions() []Function {
	return []Function{
		defineTied(Function{Route: "/game/watch", Gate: "watch_game", Needs: NeedWorld | NeedConnection, Class: ClassRead,
			Doc: "Sends the stream of a grid from now on: a snapshot, then in mode cells every generation, in mode edits only edits and hashes, " +
				"in mode view what lies in a rectangle. Watching again changes the mode.",
			Example: `{"game":"0123456789","grid":0,"mode":"view","view":{"x":0,"y":0,"width":128,"height":128}}`}, tie[watchIn]{behind: tieWatch}, gameWatch),
		defineTied(Function{Route: "/game/unwatch", Gate: "unwatch_game", Needs: NeedWorld | NeedConnection, Class: ClassRead,
			Doc:     "Ends the stream of a grid; without grid, all of a game, and for who is no user of it its pushes too.",
			Example: `{"game":"0123456789","grid":0}`}, tie[unwatchIn]{after: tieUnwatch}, gameUnwatch),
		defineGame(Function{Route: "/game/history", Gate: "get_history_game", Needs: NeedWorld, Class: ClassRead,
			Doc:     "Tells which generations can be looked at, and what happened behind place after, oldest first.",
			Example: `{"game":"0123456789","after":0,"limit":50}`}, gameHistory),
		defineGame(Function{Route: "/game/look", Gate: "look_game", Needs: NeedWorld, Class: ClassLook,
			Doc:     "Gives a grid as it was at a past generation, as a binary snapshot frame in base64; nothing changes.",
			Example: `{"game":"0123456789","grid":0,"generation":100}`}, gameLook),
		defineGame(Function{Route: "/game/rewind", Gate: "rewind_game", Needs: NeedWorld, Class: ClassLook,
			Doc:     "Takes all grids back to a past generation; what came after it is gone. Only the owner may.",
			Example: `{"game":"0123456789","generation":100}`}, gameRewind),
		defineGame(Function{Route: "/game/stats", Gate: "get_stats_game", Needs: NeedWorld, Class: ClassRead,
			Doc:     "Describes a game and counts its cells, by user where cells have owners, all at one generation.",
			Example: `{"game":"0123456789"}`}, gameStats),
	}
}

// follow sends the pushes of a game to the call's connection, if it has one. undo takes that back, unless they came before.
func (t *Tools) follow(c *Call, id game.ID) (undo func(), err error) {
	undo = func() {}
	if c.Session == nil {
		return undo, nil
	}
	subject := id.Subject()
	before := slices.Contains(c.Session.Subscriptions(), subject)
	if _, _, err := c.Session.Subscribe(c.Context, subject, broker.Position{}); err != nil || before {
		return undo, err
	}
	return func() { c.Session.Unsubscribe(subject) }, nil
}

// unfollow ends the pushes of a game, unless the caller is a user of it.
func (t *Tools) unfollow(c *Call, id game.ID, o outcome) {
	if !o.member {
		c.Session.Unsubscribe(id.Subject())
	}
}

// isGame says whether subject is that of a game, which anybody in a world may look at.
func (t *Tools) isGame(subject string) bool {
	name, ok := strings.CutPrefix(subject, "game.")
	if !ok {
		return false
	}
	id, err := t.gameID(name)
	if err != nil {
		return false
	}
	_, err = t.games.Game(id)
	return err == nil || t.nodes != nil && t.nodes.Known(id)
}

type watchIn struct {
	inGame
	Grid int     `json:"grid"`
	Mode string  `json:"mode"` // "": cells, or view when there is one
	View *rectIn `json:"view"`
}

// stream is what package game calls it.
func (in *watchIn) stream() (s game.Stream, err error) {
	s.Grid = in.Grid
	switch {
	case in.Mode == protocol.WatchEdits.String():
		s.Mode = protocol.WatchEdits
	case in.Mode == protocol.WatchView.String(), in.Mode == "" && in.View != nil:
		s.Mode = protocol.WatchView
	case in.Mode != "" && in.Mode != protocol.WatchCells.String():
		return s, refuse(protocol.StatusInvalid, "mode must be cells, edits or view")
	}
	if (s.Mode == protocol.WatchView) != (in.View != nil) {
		return s, refuse(protocol.StatusMissing, "mode view wants a view of x, y, width and height, and only that mode has one")
	}
	if v := in.View; v != nil {
		if !v.some() {
			return s, refuse(protocol.StatusRange, "view must have x and y that are not negative, and a width and height of at least 1")
		}
		s.View = grid.Rect{X: int(v.X), Y: int(v.Y), Width: int(v.Width), Height: int(v.Height)}
	}
	return s, nil
}

type watchOut struct {
	Game gameOut `json:"game"`
	Grid int     `json:"grid"`
	Mode string  `json:"mode"`
}

func gameWatch(_ *Tools, _ *Call, g *game.Game, in *watchIn) (watchOut, error) {
	s, err := in.stream()
	info := g.Info()
	return watchOut{newGameOut(&info), s.Grid, s.Mode.String()}, err
}

// tieWatch brings pushes and the stream to the connection.
func tieWatch(t *Tools, c *Call, id game.ID, in *watchIn) error {
	s, err := in.stream()
	if err != nil {
		return err
	}
	undo, err := t.follow(c, id)
	if err != nil {
		return err
	}
	if err := c.Session.Watch(id, s); err != nil {
		undo()
		return err
	}
	return nil
}

type unwatchIn struct {
	inGame
	Grid *int `json:"grid"`
}

func gameUnwatch(*Tools, *Call, *game.Game, *unwatchIn) (empty, error) { return empty{}, nil }

// tieUnwatch ends streams, and the pushes of who is no user of the game.
func tieUnwatch(t *Tools, c *Call, id game.ID, in *unwatchIn, o outcome) {
	switch {
	case in.Grid != nil:
		c.Session.Unwatch(id, *in.Grid)
	default:
		t.unwatchAll(c, id)
		t.unfollow(c, id, o)
	}
}

// unwatchAll ends every stream of a game to the call's connection.
func (t *Tools) unwatchAll(c *Call, id game.ID) {
	for i := range t.games.Limits().GridsGame {
		c.Session.Unwatch(id, i)
	}
}

type gameHistoryIn struct {
	inGame
	After uint64 `json:"after"`
	Limit int    `json:"limit"` // 0: as many as allowed
}

type gameHistoryOut struct {
	Oldest uint64     `json:"oldest"` // generations
	Newest uint64     `json:"newest"`
	Points []pointOut `json:"points"` // generations that cost least to look at
	Events []eventOut `json:"events"`
}

type pointOut struct {
	Generation uint64 `json:"generation"`
	Time       int64  `json:"time"` // unix milliseconds
}

// eventOut is one line of the story of a game.
type eventOut struct {
	Seq        uint64 `json:"seq"` // place: after of the next page
	Generation uint64 `json:"generation"`
	Time       int64  `json:"time"` // unix milliseconds
	Kind       string `json:"kind"`
	User       string `json:"user,omitempty"`
	Grid       int    `json:"grid,omitempty"`
	Edits      int    `json:"edits,omitempty"`
}

func gameHistory(t *Tools, c *Call, g *game.Game, in *gameHistoryIn) (gameHistoryOut, error) {
	limit, err := t.page(in.Limit)
	if err != nil {
		return gameHistoryOut{}, err
	}
	past, err := g.Past(c.Context)
	if err != nil {
		return gameHistoryOut{}, err
	}
	events, err := g.Events(c.Context, in.After, limit)
	out := gameHistoryOut{Oldest: past.Oldest, Newest: past.Newest, Points: []pointOut{}, Events: []eventOut{}}
	for _, p := range past.Points {
		out.Points = append(out.Points, pointOut{p.Generation, unixMilli(p.Time)})
	}
	for _, e := range events {
		out.Events = append(out.Events, eventOut{Seq: e.Seq, Generation: e.Generation, Time: unixMilli(e.Time), Kind: e.Kind, User: e.User, Grid: e.Grid, Edits: e.Edits})
	}
	return out, err
}

// unixMilli is 0 for a time that is not known.
func unixMilli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

type gameLookIn struct {
	inGrid
	Generation *uint64 `json:"generation"`
}

type gameLookOut struct {
	Generation uint64 `json:"generation"`
	Hash       string `json:"hash"`
	Frame      []byte `json:"frame"` // base64: header and snapshot, as a watcher gets it
}

var errNoGeneration = refuse(protocol.StatusMissing, "generation is missing: /game/history tells which there are")

func gameLook(t *Tools, c *Call, g *game.Game, in *gameLookIn) (gameLookOut, error) {
	if in.Generation == nil {
		return gameLookOut{}, errNoGeneration
	}
	f, err := g.Look(c.Context, in.Grid, *in.Generation)
	if err != nil {
		return gameLookOut{}, err
	}
	if len(f.Data) > t.options.GameText {
		return gameLookOut{}, refuse(protocol.StatusTooMuch, fmt.Sprintf("the frame would have %d bytes and may have %d", len(f.Data), t.options.GameText))
	}
	return gameLookOut{f.Generation, hashText(f.Hash), f.Data}, nil
}

// hashText is 16 hex digits: JSON numbers of most languages cannot hold a hash.
func hashText(h uint64) string { return fmt.Sprintf("%016x", h) }

type gameRewindIn struct {
	inGame
	Generation *uint64 `json:"generation"`
}

func gameRewind(_ *Tools, c *Call, g *game.Game, in *gameRewindIn) (stateOut, error) {
	if in.Generation == nil {
		return stateOut{}, errNoGeneration
	}
	return stateOf(g, g.Rewind(c.Context, gameUser(&c.Who), *in.Generation))
}

type gameStatsOut struct {
	Game       gameOut        `json:"game"`
	Generation uint64         `json:"generation"`
	Grids      []gridStatsOut `json:"grids"`
}

type gridStatsOut struct {
	Population int64            `json:"population"`
	Births     int64            `json:"births"` // of the last generation
	Deaths     int64            `json:"deaths"`
	Hash       string           `json:"hash"`
	Owners     map[string]int64 `json:"owners,omitempty"` // live cells by id of user; of users nobody knows any more under ""
	Memory     int64            `json:"memory"`           // bytes
}

func gameStats(_ *Tools, c *Call, g *game.Game, _ *inGame) (gameStatsOut, error) {
	stats, err := g.Stats(c.Context)
	if err != nil {
		return gameStatsOut{}, err
	}
	info := g.Info()
	out := gameStatsOut{Game: newGameOut(&info), Grids: make([]gridStatsOut, len(stats))}
	for i, s := range stats {
		out.Generation = s.Generation
		out.Grids[i] = gridStatsOut{Population: s.Population, Births: s.Births, Deaths: s.Deaths, Hash: hashText(s.Hash), Owners: s.Owners, Memory: s.Memory}
	}
	return out, nil
}
