package module

import (
	"context"
	"encoding/json"
	"errors"

	"gosper/broker/worker"
	"gosper/grid"
	"gosper/grid/game"
	"gosper/protocol"
)

// Buildings on grids of games at other nodes.

// stampAsk asks the node of a game for a Stamper's work.
type stampAsk struct {
	Check  bool   `json:"check"` // look only
	Empire string `json:"empire"`
	Body   string `json:"body"`
	Runs   []byte `json:"runs"` // the pattern
	Width  int32  `json:"width"`
	Height int32  `json:"height"`
	X      int32  `json:"x"`
	Y      int32  `json:"y"`
}

// stampOut is its answer.
type stampOut struct {
	Status  protocol.Status `json:"status"` // 0: done
	Message string          `json:"message,omitempty"`
	ForGood bool            `json:"forGood,omitempty"` // another try cannot help
}

func newStampAsk(check bool, empire, body string, p *grid.Pattern, x, y int32) stampAsk {
	return stampAsk{check, empire, body, grid.AppendRunLine(nil, p), p.Width, p.Height, x, y}
}

// elsewhere says whether an error of find means that another node may have the game.
func (s gameStamper) elsewhere(err error) bool {
	return s.nodes != nil && errors.Is(err, game.ErrNoGame)
}

// ask has the node of the game do it.
func (s gameStamper) ask(ctx context.Context, body string, in stampAsk) error {
	id, _, err := s.parts(body)
	if err != nil {
		return err
	}
	content, err := json.Marshal(in)
	if err != nil {
		return err
	}
	q := question{kind: askStamp, call: Call{Content: content}}
	got := make(chan error, 1)
	until, _ := ctx.Deadline()
	s.nodes.Ask(id, q.append(nil), true, until, func(b []byte, err error) { // a stamp that overwrites may come twice
		var a answer
		if err == nil {
			a, err = parseAnswer(b)
		}
		if err == nil {
			err = a.stamped()
		}
		got <- err
	})
	select {
	case err := <-got:
		if errors.Is(err, game.ErrNoGame) && !in.Check {
			return worker.Permanent(err)
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stamped is the error that the answer tells of.
func (a *answer) stamped() error {
	var out stampOut
	switch {
	case a.status != protocol.StatusOK:
		return refuse(a.status, a.message)
	case json.Unmarshal(a.content, &out) != nil:
		return errWire
	case out.ForGood:
		return worker.Permanent(refuse(out.Status, out.Message))
	case out.Status != protocol.StatusOK:
		return refuse(out.Status, out.Message)
	}
	return nil
}

// stampFor answers another node's askStamp.
func (t *Tools) stampFor(ctx context.Context, content []byte) (stampOut, error) {
	in, err := decode[stampAsk](content)
	if err != nil {
		return stampOut{}, err
	}
	limits := t.games.Limits()
	p, err := grid.ParseRLE(in.Runs, grid.PatternLimits{Cells: limits.CellsRequest, Side: int32(limits.GridSide)})
	if err != nil {
		return stampOut{}, err
	}
	p.Width, p.Height = in.Width, in.Height
	here := gameStamper{games: t.games}
	if in.Check {
		err = here.Check(ctx, in.Empire, in.Body, p, in.X, in.Y)
	} else {
		err = here.Stamp(ctx, in.Empire, in.Body, p, in.X, in.Y)
	}
	if err == nil || errors.Is(err, game.ErrNoGame) || t.moved(err) {
		return stampOut{}, err
	}
	fault, _ := faultOf(err)
	return stampOut{Status: fault.Status, Message: fault.Message, ForGood: worker.IsPermanent(err)}, nil
}
