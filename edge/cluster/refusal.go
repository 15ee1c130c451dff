package cluster

import (
	"encoding/json"
	"errors"
	"fmt"

	"gosper/broker"
	"gosper/grid/game"
)

var errNoLink = errors.New("no link to the node")

// refusals are the errors that keep their meaning on a link, the first that fits.
var refusals = []error{game.ErrNoGame, game.ErrNoGrid, game.ErrLimit, game.ErrInvalid, game.ErrGone, game.ErrFault, game.ErrClosed, broker.ErrBusy, game.ErrBusy}

// refusal is an error on a link.
type refusal struct {
	Text  string           `json:"text"`
	Kind  int              `json:"kind"` // in refusals; -1: none of them
	Limit *game.LimitError `json:"limit,omitempty"`
}

func appendRefusal(err error) []byte {
	r := refusal{Text: err.Error(), Kind: -1}
	for i, kind := range refusals {
		if errors.Is(err, kind) {
			r.Kind = i
			break
		}
	}
	errors.As(err, &r.Limit)
	b, err := json.Marshal(r)
	if err != nil {
		panic(err) // texts and numbers always encode
	}
	return b
}

// parseRefusal gives back the error, with the text and the meaning it had.
func parseRefusal(data []byte) error {
	var r refusal
	if err := json.Unmarshal(data, &r); err != nil {
		return fmt.Errorf("%w: %w", errFrame, err)
	}
	switch {
	case r.Limit != nil:
		return r.Limit
	case r.Kind >= 0 && r.Kind < len(refusals):
		return &told{r.Text, refusals[r.Kind]}
	}
	return errors.New(r.Text)
}

// told is an error of another node.
type told struct {
	text string
	is   error
}

func (t *told) Error() string { return t.text }
func (t *told) Unwrap() error { return t.is }
