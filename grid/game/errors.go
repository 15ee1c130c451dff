package game

import (
	"errors"

	"gosper/broker"
	"gosper/grid"
)

// Errors of games. Callers test with errors.Is; the text says what to do. Beside these come grid.ErrBudget (with needed
// and available bytes), grid.ErrOutside, grid.ErrOccupied, grid.ErrDead, grid.ErrRule and grid.ErrOptions, and of the log
// broker.ErrDiskFull and broker.ErrTimeout.
var (
	ErrNoGame      = errors.New("there is no such game: list the games to see which there are")
	ErrNoGrid      = errors.New("the game has no such grid: grids are counted from 0")
	ErrNotMember   = errors.New("only users of the game may do this: join it first")
	ErrNotOwner    = errors.New("only the owner of the game may do this")
	ErrFull        = errors.New("the game has as many users as it can have")
	ErrStopped     = errors.New("the game is stopped: its owner can start it again")
	ErrRunning     = errors.New("the game is running: pause it first")
	ErrInvalid     = errors.New("a value is not valid")
	ErrColour      = errors.New("malformed colour: want six hex digits such as 3cfaa0")
	ErrResolution  = errors.New("invalid resolution: it must be greater than 0")
	ErrLimit       = errors.New("a limit of the games was met")
	ErrRate        = errors.New("too many edits in too short a time: slow down")
	ErrBusy        = errors.New("the game has too much to do: try again in a moment")
	ErrFault       = errors.New("the game was paused by an internal error: start it to reload it from its log")
	ErrUnavailable = errors.New("the game could not be loaded from its log")
	ErrGone        = errors.New("the game has ended")
	ErrMoved       = errors.New("another node runs the game now: try again")
	ErrMoving      = errors.New("the game moves to another node: nothing was done, try again in a moment")
	ErrUnknown     = errors.New("the node that runs the game was lost: this was done, or it was not")
	ErrAway        = errors.New("the store of the games cannot be reached: nothing was done, the game goes on without edits; try again in a moment")
	ErrClosed      = errors.New("the node is going down: the game comes back with it")
	ErrHistory     = errors.New("that generation is not kept any more, or not reached yet")
)

// errorKeys are the names that older clients translate, as title and body ("<key>.title", "<key>.body").
var errorKeys = []struct {
	err error
	key string
}{
	{grid.ErrOutside, "error.game.cellsGrid.cellAtInvalidPosition"},
	{grid.ErrOccupied, "error.game.cellsGrid.cellCantBeOverride"},
	{grid.ErrDead, "error.game.cellsGrid.canNotRemoveCellThatDoesNotExists"},
	{ErrResolution, "error.game.cellsGrid.invalidResolution"},
	{ErrColour, "error.game.cellsGrid.malformedColor"},
	{ErrNotMember, "error.game.users.userDoesntExists"},
	{ErrNoGame, "error.game.user.invalidGameForUser"},
	{ErrGone, "error.game.user.invalidGameForUser"},
	{ErrNoTemplate, "error.game.gridTemplate.wrongCellsTemplate"},
	{broker.ErrExists, "error.game.save.alreadyExists"},
}

// ErrorKey returns the stable name of an error for clients that show texts of their own, "error.unexpectedError" for
// one that has none.
func ErrorKey(err error) string {
	for _, k := range errorKeys {
		if errors.Is(err, k.err) {
			return k.key
		}
	}
	return "error.unexpectedError"
}
