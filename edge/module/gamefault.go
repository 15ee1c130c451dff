package module

import (
	"errors"
	"strings"

	"gosper/broker"
	"gosper/grid"
	"gosper/grid/game"
	"gosper/protocol"
)

// gameStatuses are the statuses of what games and grids refuse, the first that fits. Statuses of limits stand in
// game.LimitsTable.
var gameStatuses = []struct {
	err    error
	status protocol.Status
}{
	{errNoGames, protocol.StatusBusy},
	{game.ErrBadID, protocol.StatusInvalid},
	{game.ErrNoGame, protocol.StatusInvalid},
	{game.ErrNoGrid, protocol.StatusInvalid},
	{game.ErrNoTemplate, protocol.StatusInvalid},
	{game.ErrColour, protocol.StatusInvalid},
	{game.ErrResolution, protocol.StatusInvalid},
	{game.ErrInvalid, protocol.StatusInvalid},
	{game.ErrGone, protocol.StatusGameOver},
	{game.ErrNotMember, protocol.StatusRefused},
	{game.ErrNotOwner, protocol.StatusRefused},
	{game.ErrFull, protocol.StatusRefused},
	{game.ErrRate, protocol.StatusRefused},
	{game.ErrStopped, protocol.StatusPrerequisite},
	{game.ErrRunning, protocol.StatusPrerequisite},
	{game.ErrFault, protocol.StatusPrerequisite},
	{game.ErrHistory, protocol.StatusRange},
	{game.ErrBusy, protocol.StatusBusy},
	{game.ErrClosed, protocol.StatusBusy},
	{game.ErrMoved, protocol.StatusBusy},
	{game.ErrMoving, protocol.StatusBusy},
	{game.ErrAway, protocol.StatusBusy},
	{game.ErrUnknown, protocol.StatusTimeout},
	{game.ErrUnavailable, protocol.StatusNotStored},
	{grid.ErrOutside, protocol.StatusRange},
	{grid.ErrOccupied, protocol.StatusInvalid},
	{grid.ErrDead, protocol.StatusInvalid},
	{grid.ErrBudget, protocol.StatusTooMuch},
	{grid.ErrOptions, protocol.StatusRange},
	{grid.ErrRule, protocol.StatusInvalid},
	{grid.ErrPatternTooLarge, protocol.StatusTooMuch},
}

// errNoGames is the answer of a node that runs no games.
var errNoGames = errors.New("this node runs no games")

// gameRefusal is the data of a refusal: the key that older clients translate (with ".title" and ".body" behind it), and the
// figures behind the message.
type gameRefusal struct {
	Key       string `json:"key"`
	Limit     string `json:"limit,omitempty"` // name in the table of limits
	Most      *int64 `json:"most,omitempty"`
	Asked     *int64 `json:"asked,omitempty"`
	Needed    *int64 `json:"needed,omitempty"` // bytes of memory
	Available *int64 `json:"available,omitempty"`
	X         *int   `json:"x,omitempty"` // the cell in question
	Y         *int   `json:"y,omitempty"`
	Refused   any    `json:"refused,omitempty"` // every refused cell of a call
}

// gameFault turns an error of games or grids into what the client sees; nil for any other.
func gameFault(err error) *Fault {
	var limit *game.LimitError
	var pattern *grid.PatternError
	switch {
	case errors.Is(err, broker.ErrDiskFull), errors.Is(err, broker.ErrTimeout):
		return nil
	case errors.As(err, &limit):
		message, _, more := strings.Cut(err.Error(), ": "+game.ErrLimit.Error()) // what says it better stands in front
		if !more {
			message += limitAdvice[limit.Limit]
		}
		return &Fault{Status: limitStatus(limit.Limit), Message: message, Data: refusalOf(err)}
	case errors.As(err, &pattern) && !errors.Is(err, grid.ErrPatternTooLarge):
		return &Fault{Status: protocol.StatusInvalid, Message: err.Error(), Data: refusalOf(err)}
	}
	for _, s := range gameStatuses {
		if errors.Is(err, s.err) {
			message := err.Error()
			if errors.Is(s.err, grid.ErrBudget) {
				message += ": make the grid smaller, or without owners and colours"
			}
			return &Fault{Status: s.status, Message: message, Data: refusalOf(err)}
		}
	}
	return nil
}

// refusalOf finds the figures in an error.
func refusalOf(err error) gameRefusal {
	r := gameRefusal{Key: game.ErrorKey(err)}
	var limit *game.LimitError
	var budget *grid.BudgetError
	var cell *grid.EditError
	switch {
	case errors.As(err, &limit):
		r.Limit, r.Most, r.Asked = limit.Limit, &limit.Most, &limit.Asked
	case errors.As(err, &budget):
		r.Needed, r.Available = &budget.Needed, &budget.Available
	case errors.As(err, &cell):
		r.X, r.Y = &cell.X, &cell.Y
	}
	return r
}

// limitStatus is the status that the table of limits names for one.
func limitStatus(name string) protocol.Status {
	for _, l := range game.LimitsTable() {
		if l.Name != name {
			continue
		}
		for _, s := range []protocol.Status{protocol.StatusTooMuch, protocol.StatusRange, protocol.StatusBusy} {
			number, _, _ := strings.Cut(s.String(), " ")
			if strings.Contains(l.Code, number) {
				return s
			}
		}
	}
	return protocol.StatusRefused
}

// limitAdvice says what to do about a limit, where that is not plain.
var limitAdvice = map[string]string{
	"games":            ": join one of the games there are",
	"games_user":       ": leave or end one of yours first",
	"users_game":       ": watch it instead",
	"edits_request":    ": send them in several calls",
	"cells_request":    ": send the pattern in pieces",
	"step_generations": ": step several times, or start the game",
	"views_game":       ": watch all cells instead",
	"text_cells":       ": watch it by websocket",
	"watches":          ": end another one first",
	"live_cells":       ": ask for a part of the grid",
}
