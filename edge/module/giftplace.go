package module

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"gosper/broker"
	"gosper/grid"
	"gosper/grid/game"
	"gosper/protocol"
)

// A pattern goes from an inventory to a grid, which are two logs without a common commit. So it is first taken out and
// noted as on its way, then laid, and then the note is dropped: with nothing when it was laid, with the pattern given back
// when the grid refused it. A note that a crash left behind gives the pattern back, also in the short moment between the
// grid's log and the note: a player never loses one.

const (
	placingPatience = time.Minute      // after which a note that nobody works on is one of a crash
	placingSettle   = 10 * time.Second // to drop a note, also when the caller has gone
)

type placeGiftIn struct {
	inGrid
	layIn
	Pattern string `json:"pattern"`
}

// placeGiftOut is the answer to a pattern that lies on the grid.
type placeGiftOut struct {
	Pattern    string `json:"pattern"`
	Left       int64  `json:"left"` // of the pattern
	Seq        uint64 `json:"seq"`
	Generation uint64 `json:"generation"`
	Changed    int    `json:"changed"`
}

func placeGift(t *Tools, c *Call, in *placeGiftIn) (placeGiftOut, error) {
	id, err := t.gameID(in.Game)
	if err != nil {
		return placeGiftOut{}, err
	}
	if _, err := t.games.Game(id); err != nil && (t.nodes == nil || !t.nodes.Known(id)) {
		return placeGiftOut{}, err
	}
	name := fold(strings.TrimSpace(in.Pattern))
	settings := t.social.gifts.Get()
	p := settings.pattern(name)
	if p == nil || !validPatternName(name) {
		return placeGiftOut{}, fmt.Errorf("%w: %q", game.ErrNoTemplate, clip(in.Pattern))
	}
	e, err := in.stamp(p)
	if err != nil {
		return placeGiftOut{}, err
	}
	note, err := t.takePattern(c.Context, &c.Who, name)
	if err != nil {
		return placeGiftOut{}, err
	}
	answer := make(chan laid, 1)
	t.lay(c, id, in, e, func(ack game.Ack, err error) {
		if err == nil {
			err = ack.Err()
		}
		answer <- laid{ack, err}
	})
	select {
	case a := <-answer:
		return t.finishPlacing(&c.Who, &note, name, a)
	case <-c.Context.Done():
		who := c.Who
		go func() { // a game answers every edit, at the latest when it ends
			if _, err := t.finishPlacing(&who, &note, name, <-answer); err != nil {
				t.log.Info("a pattern was laid too late for its caller, or not", "error", err)
			}
		}()
		return placeGiftOut{}, c.Context.Err()
	}
}

// lay brings a pattern to a grid, here or at the node of its game, where it is a call of /game/pattern.
func (t *Tools) lay(c *Call, id game.ID, in *placeGiftIn, e game.Edit, done func(game.Ack, error)) {
	there := func(err error) {
		if t.nodes == nil {
			done(game.Ack{}, err)
			return
		}
		t.layThere(c, id, in, e.Pattern, done)
	}
	g, err := t.games.Game(id)
	if err != nil {
		there(err)
		return
	}
	g.Edit(gameUser(&c.Who), in.Grid, []game.Edit{e}, func(ack game.Ack, err error) {
		if t.moved(err) {
			there(err)
			return
		}
		done(ack, err)
	})
}

func (t *Tools) layThere(c *Call, id game.ID, in *placeGiftIn, p *grid.Pattern, done func(game.Ack, error)) {
	text, err := grid.Append(nil, p, grid.FormatRLE)
	if err != nil {
		done(game.Ack{}, err)
		return
	}
	content, err := json.Marshal(patternIn{inGrid: in.inGrid, layIn: in.layIn, Text: string(text)})
	if err != nil {
		done(game.Ack{}, err)
		return
	}
	there := &Call{Route: routeGamePattern, Door: c.Door, Content: content, Who: c.Who, Context: c.Context}
	t.forward(there, id, false, func(r Reply, _ bool, err error) {
		var out patternOut
		switch {
		case err != nil:
		case r.Status != protocol.StatusOK:
			err = refuse(r.Status, r.Message)
		default:
			err = json.Unmarshal(r.Content, &out)
		}
		done(game.Ack{Seq: out.Seq, Generation: out.Generation, Changed: out.Changed}, err)
	})
}

// laid is what a game said about a pattern.
type laid struct {
	ack game.Ack
	err error
}

// takePattern takes a pattern out of the inventory and notes that it is on its way.
func (t *Tools) takePattern(ctx context.Context, who *Identity, name string) (placing, error) {
	item := Item{Group: GroupPattern, ID: name, Count: 1}
	note := placing{ID: newAccountID(), Item: item.key(), Time: t.now().UTC()}
	t.social.setPlacing(note.ID, true)
	err := t.changeInventory(ctx, who.World, who.Account, func(inv *inventory) ([]broker.Op, error) {
		if len(inv.Placing) >= placingMost {
			return nil, refuse(protocol.StatusBusy, "too many patterns are on their way to grids: wait a moment")
		}
		inv.Placing = append(inv.Placing, note)
		return nil, inv.take([]Item{item})
	})
	if err != nil {
		t.social.setPlacing(note.ID, false)
	}
	return note, err
}

// finishPlacing drops the note, and gives the pattern back when it was not laid.
func (t *Tools) finishPlacing(who *Identity, note *placing, name string, a laid) (placeGiftOut, error) {
	out := placeGiftOut{Pattern: name, Seq: a.ack.Seq, Generation: a.ack.Generation, Changed: a.ack.Changed}
	ctx, cancel := context.WithTimeout(context.Background(), placingSettle)
	defer cancel()
	err := t.changeInventory(ctx, who.World, who.Account, func(inv *inventory) ([]broker.Op, error) {
		inv.dropNote(note.ID, a.err != nil)
		out.Left = inv.Items[note.Item]
		return nil, nil
	})
	if err != nil {
		// The note stays, and with it the mark that this node knows better than to give the pattern back; after a restart
		// it is given back.
		t.log.Error("a pattern on its way to a grid was not noted as settled", "laid", a.err == nil, "error", err)
	}
	if err == nil || a.err != nil {
		t.social.setPlacing(note.ID, false)
	}
	return out, a.err
}

// dropNote drops a note, and gives its pattern back when asked to.
func (i *inventory) dropNote(id string, back bool) {
	at := slices.IndexFunc(i.Placing, func(p placing) bool { return p.ID == id })
	if at < 0 {
		return
	}
	if back {
		i.Items[i.Placing[at].Item]++ // it was there before, so there is room
	}
	i.Placing = slices.Delete(i.Placing, at, at+1)
}

// dropLost gives back what a crash left on its way.
func (s *social) dropLost(i *inventory, now time.Time) {
	for k := len(i.Placing) - 1; k >= 0; k-- {
		note := &i.Placing[k]
		if now.Sub(note.Time) > placingPatience && !s.isPlacing(note.ID) {
			i.dropNote(note.ID, true)
		}
	}
}

func (s *social) setPlacing(id string, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if on {
		s.placing[id] = true
	} else {
		delete(s.placing, id)
	}
}

func (s *social) isPlacing(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.placing[id]
}
