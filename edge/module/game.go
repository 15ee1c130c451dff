package module

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"gosper/grid/game"
	"gosper/protocol"
)

// What a caller may do with a game depends on who they are in it:
//
//	anybody in a world   list, templates, watch, unwatch, history, look, stats, pattern (to read), join
//	a user of the game   start (but one that was stopped), pause, step, cells, kill, template, pattern (to draw), color, leave
//	its owner            stop, start again, rewind, configure, remove, end, pattern with replace
//
// A user stays one until /game/leave: a lost connection, a logout or a restart of the node changes nothing. Joining again
// is right at any time; it brings the connection back to the pushes of the game. Package game says how ownership passes on.

// gameFunctions are games: who plays what, and what happens in it.
func gameFunctions() []Function {
	return []Function{
		define(Function{Route: "/game/list", Gate: "get_all_game", Needs: NeedWorld, Class: ClassRead,
			Doc:     "Lists the games of this node by id; after is the last id of the page before, mine leaves out those one has not joined.",
			Example: `{"after":"","limit":50,"mine":false}`}, gameList),
		define(Function{Route: "/game/create", Gate: "create_game", Needs: NeedWorld, Class: ClassWrite,
			Doc: "Makes a paused game with the caller as owner and first user. interval is in milliseconds; without grids it is the classic " +
				"board, 321 by 321 cells for a resolution of 10.",
			Example: `{"name":"pond","color":"3cfaa0","interval":500,"persistent":false,"grids":[{"width":320,"height":320,"rule":"B3/S23","topology":"torus","mode":"owners","owners":16}]}`}, gameCreate),
		defineGame(Function{Route: "/game/join", Gate: "join_game", Needs: NeedWorld, Class: ClassWrite,
			Doc:     "Joins a game, or comes back to it, and gets its pushes from now on. A color that is taken gives another one.",
			Example: `{"game":"0123456789","color":"3cfaa0"}`}, gameJoin),
		defineGame(Function{Route: "/game/leave", Gate: "leave_game", Needs: NeedWorld, Class: ClassWrite,
			Doc:     "Leaves a game. The owner's game passes to who is in it longest; without users it ends, unless it is persistent.",
			Example: `{"game":"0123456789"}`}, gameLeave),
		defineGame(Function{Route: "/game/start", Gate: "start_game", Needs: NeedWorld, Class: ClassWrite,
			Doc:     "Lets a game run. Users may; after a stop only the owner.",
			Example: `{"game":"0123456789"}`}, gameStart),
		defineGame(Function{Route: "/game/pause", Gate: "pause_game", Needs: NeedWorld, Class: ClassWrite,
			Doc:     "Pauses a game: no ticks, but edits and steps. Users may.",
			Example: `{"game":"0123456789"}`}, gamePause),
		defineGame(Function{Route: "/game/step", Gate: "step_game", Needs: NeedWorld, Class: ClassWrite,
			Doc:     "Computes generations of a paused game, one if no number is given. Users may.",
			Example: `{"game":"0123456789","generations":1}`}, gameStep),
		defineGame(Function{Route: "/game/stop", Gate: "stop_game", Needs: NeedWorld, Class: ClassWrite,
			Doc:     "Stops a game: no ticks and no edits until its owner starts it again. Only the owner may.",
			Example: `{"game":"0123456789"}`}, gameStop),
		defineGame(Function{Route: "/game/configure", Gate: "configure_game", Needs: NeedWorld, Class: ClassWrite,
			Doc:     "Changes name, interval (milliseconds) or persistence of a game. Only the owner may.",
			Example: `{"game":"0123456789","name":"lake","interval":250,"persistent":true}`}, gameConfigure),
		defineGame(Function{Route: "/game/color", Gate: "set_color_game", Needs: NeedWorld, Class: ClassWrite,
			Doc:     "Takes another color in a game, or one like it when it is taken.",
			Example: `{"game":"0123456789","color":"ff8800"}`}, gameColor),
		defineGame(Function{Route: "/game/remove", Gate: "remove_game", Needs: NeedWorld, Class: ClassWrite,
			Doc:     "Sends a user out of a game, as if they left. Only the owner may.",
			Example: `{"game":"0123456789","user":"4f1c2d3e5a6b"}`}, gameRemove),
		defineGame(Function{Route: "/game/end", Gate: "end_game", Needs: NeedWorld, Class: ClassWrite,
			Doc:     "Ends a game for everybody and forgets it. Only the owner may.",
			Example: `{"game":"0123456789"}`}, gameEnd),
	}
}

// inGame is content that names a game. Inputs of functions on a game embed it.
type inGame struct {
	Game string `json:"game"`
}

func (in inGame) named() string { return in.Game }

// defineGame makes a table entry from a function on one game.
func defineGame[In interface{ named() string }, Out any](f Function, run func(*Tools, *Call, *game.Game, *In) (Out, error)) Function {
	return define(f, func(t *Tools, c *Call, in *In) (out Out, err error) {
		g, err := t.game((*in).named())
		if err != nil {
			return out, err
		}
		return run(t, c, g, in)
	})
}

// game returns the game of an id.
func (t *Tools) game(id string) (*game.Game, error) {
	if t.games == nil {
		return nil, errNoGames
	}
	if id == "" {
		return nil, refuse(protocol.StatusMissing, "game is missing: name it by its id")
	}
	n, err := game.ParseID(id)
	if err != nil {
		return nil, err
	}
	return t.games.Game(n)
}

// gameUser is who a caller is in games: the account, or for a name that a service vouches for, world and name. The two
// cannot be the same, since accounts have no slash.
func gameUser(who *Identity) string {
	if who.Account != "" {
		return who.Account
	}
	const longest = 128 // of an id in a game
	if id := who.World + "/" + who.Name; len(id) <= longest {
		return id
	}
	sum := sha256.Sum256([]byte(who.Name))
	return who.World + "/" + hex.EncodeToString(sum[:])
}

type gameJoinIn struct {
	inGame
	Color string `json:"color"` // "": the one from before, or any
}

func gameJoin(t *Tools, c *Call, g *game.Game, in *gameJoinIn) (gameUserOut, error) {
	colour, err := game.ParseColour(in.Color)
	if err != nil {
		return gameUserOut{}, err
	}
	if err := t.follow(c, g.ID()); err != nil {
		return gameUserOut{}, err
	}
	u, err := g.Join(c.Context, gameUser(&c.Who), c.Who.Name, colour)
	if err != nil {
		t.unfollow(c, g)
		return gameUserOut{}, err
	}
	return newGameUserOut(g, u.ID), nil
}

func gameLeave(t *Tools, c *Call, g *game.Game, _ *inGame) (empty, error) {
	err := g.Leave(c.Context, gameUser(&c.Who))
	if err == nil || errors.Is(err, game.ErrGone) {
		t.unwatchAll(c, g)
		t.unfollow(c, g)
	}
	return empty{}, err
}

// stateOut is what a game does after a call that changed it.
type stateOut struct {
	State      string `json:"state"`
	Generation uint64 `json:"generation"`
}

func stateOf(g *game.Game, err error) (stateOut, error) {
	info := g.Info()
	return stateOut{info.State.String(), info.Generation}, err
}

func gameStart(_ *Tools, c *Call, g *game.Game, _ *inGame) (stateOut, error) {
	return stateOf(g, g.Start(c.Context, gameUser(&c.Who)))
}

func gamePause(_ *Tools, c *Call, g *game.Game, _ *inGame) (stateOut, error) {
	return stateOf(g, g.Pause(c.Context, gameUser(&c.Who)))
}

func gameStop(_ *Tools, c *Call, g *game.Game, _ *inGame) (stateOut, error) {
	return stateOf(g, g.Stop(c.Context, gameUser(&c.Who)))
}

type gameStepIn struct {
	inGame
	Generations *int `json:"generations"`
}

func gameStep(_ *Tools, c *Call, g *game.Game, in *gameStepIn) (stateOut, error) {
	n := 1
	if in.Generations != nil {
		n = *in.Generations
	}
	generation, err := g.Step(c.Context, gameUser(&c.Who), n)
	out, err := stateOf(g, err)
	out.Generation = generation
	return out, err
}

type gameConfigureIn struct {
	inGame
	Name       *string  `json:"name"`
	Interval   *float64 `json:"interval"`
	Persistent *bool    `json:"persistent"`
}

func gameConfigure(_ *Tools, c *Call, g *game.Game, in *gameConfigureIn) (gameOut, error) {
	s := game.Settings{Name: in.Name, Persistent: in.Persistent}
	if in.Interval != nil {
		d, err := interval(*in.Interval)
		if err != nil {
			return gameOut{}, err
		}
		s.Interval = &d
	}
	err := g.Configure(c.Context, gameUser(&c.Who), s)
	info := g.Info()
	return newGameOut(&info), err
}

func gameColor(_ *Tools, c *Call, g *game.Game, in *gameJoinIn) (userOut, error) {
	colour, err := game.ParseColour(in.Color)
	if err != nil {
		return userOut{}, err
	}
	u, err := g.Recolour(c.Context, gameUser(&c.Who), colour)
	return newUserOut(u), err
}

type gameRemoveIn struct {
	inGame
	User string `json:"user"`
}

func gameRemove(_ *Tools, c *Call, g *game.Game, in *gameRemoveIn) (empty, error) {
	return empty{}, g.Remove(c.Context, gameUser(&c.Who), in.User)
}

func gameEnd(_ *Tools, c *Call, g *game.Game, _ *inGame) (empty, error) {
	return empty{}, g.End(c.Context, gameUser(&c.Who))
}
