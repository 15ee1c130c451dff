package module

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"time"

	"gosper/broker"
	"gosper/broker/worker"
	"gosper/edge/config"
	"gosper/grid"
	"gosper/grid/game"
	"gosper/protocol"
)

// newBuildings returns what buildings need, nil on a node that has no timers.
func newBuildings(c *Config) (*buildings, error) {
	if c.Schedule == nil {
		return nil, nil
	}
	s := &buildings{schedule: c.Schedule, stamper: c.Stamper, seed: maphash.MakeSeed()}
	if s.stamper == nil {
		s.stamper = gameStamper{c.Games, c.Nodes}
	}
	kinds := c.Buildings
	if kinds == nil {
		kinds = DefaultBuildings()
	}
	if err := kinds.complete(); err != nil {
		return nil, err
	}
	s.kinds = config.Bind(c.Settings, buildingSettings, kinds, (*BuildingKinds).complete)
	return s, nil
}

// gameStamper brings buildings to the grids of games: a body is a grid of a game in which the empire plays.
type gameStamper struct {
	games *game.Host
	nodes GameNodes // nil: all games are here
}

func (s gameStamper) find(body string) (*game.Game, int, error) {
	n, index, err := s.parts(body)
	if err != nil {
		return nil, 0, err
	}
	g, err := s.games.Game(n)
	return g, index, err
}

// parts are the game and the grid of a body.
func (s gameStamper) parts(body string) (game.ID, int, error) {
	id, index, err := bodyParts(body)
	if err != nil {
		return 0, 0, err
	}
	if s.games == nil {
		return 0, 0, errNoGames
	}
	n, err := game.ParseID(id)
	return n, index, err
}

// Check implements Stamper.
func (s gameStamper) Check(ctx context.Context, empire, body string, p *grid.Pattern, x, y int32) error {
	g, index, err := s.find(body)
	if s.elsewhere(err) {
		return s.ask(ctx, body, newStampAsk(true, empire, body, p, x, y))
	}
	if err != nil {
		return err
	}
	info := g.Info()
	if index < 0 || index >= len(info.Grids) {
		return game.ErrNoGrid
	}
	if !slices.ContainsFunc(info.Users, func(u game.User) bool { return u.ID == empire }) {
		return game.ErrNotMember
	}
	spec := info.Grids[index]
	walled := spec.Topology == grid.Plane && (x < 0 || y < 0 || int(x)+int(p.Width) > spec.Width || int(y)+int(p.Height) > spec.Height)
	if walled || int(p.Width) > spec.Width || int(p.Height) > spec.Height {
		return refuse(protocol.StatusRange, fmt.Sprintf("the building, %d by %d, would not stand inside of the grid, %d by %d", p.Width, p.Height, spec.Width, spec.Height))
	}
	return nil
}

// Stamp implements Stamper. A building displaces what lives at its place.
func (s gameStamper) Stamp(ctx context.Context, empire, body string, p *grid.Pattern, x, y int32) error {
	g, index, err := s.find(body)
	if s.elsewhere(err) {
		return s.ask(ctx, body, newStampAsk(false, empire, body, p, x, y))
	}
	if err == nil {
		_, err = g.EditWait(ctx, empire, index, game.Edit{Kind: game.Stamp, X: x, Y: y, Pattern: p, Policy: game.Overwrite, Wrap: true})
	}
	for _, forGood := range []error{game.ErrNoGame, game.ErrNoGrid, game.ErrGone, game.ErrNotMember, grid.ErrOutside, game.ErrInvalid, game.ErrBadID} {
		if errors.Is(err, forGood) {
			return worker.Permanent(err)
		}
	}
	return err
}

// BuildingTube returns the workers that finish buildings; ok is false on a node without timers.
func (t *Table) BuildingTube() (tube worker.Tube, ok bool) {
	if t.tools.buildings == nil {
		return tube, false
	}
	finish := func(ctx context.Context, j *worker.Job) error { return t.tools.finishBuilding(ctx, j) }
	return worker.Tube{Name: buildingTube, Routes: worker.Routes{buildingFinish: finish}}, true
}

// finishBuilding ends a construction: pattern, record, then the news. A crash after the pattern stamps it again, one after
// the record tells the news again only if the job had not ended, so nothing is left out.
func (t *Tools) finishBuilding(ctx context.Context, j *worker.Job) error {
	var c finishContent
	if err := json.Unmarshal(j.Content, &c); err != nil {
		return worker.Permanent(err)
	}
	l := t.buildings.lock(c.Empire)
	l.Lock()
	defer l.Unlock()
	r, err := t.store.Get(ctx, buildingPrefix(c.Empire)+c.Building)
	if errors.Is(err, broker.ErrNotFound) {
		return nil // cancelled
	}
	if err != nil {
		return err
	}
	b, err := readBuilding(r)
	if err != nil {
		return worker.Permanent(err)
	}
	if b.Level < c.Level && b.Target == c.Level {
		levels := t.buildings.kinds.Get()[b.Kind]
		if c.Level > len(levels) {
			return worker.Permanent(errors.New("there is no such kind of building or level any more"))
		}
		if err := t.buildings.stamper.Stamp(ctx, b.Empire, b.Body, levels[c.Level-1].pattern, b.X, b.Y); err != nil {
			if worker.IsPermanent(err) {
				return errors.Join(err, t.failBuilding(ctx, b, err))
			}
			return err
		}
		b.Level, b.Target, b.Takes, b.Due = c.Level, 0, 0, time.Time{}
		if err := t.saveBuilding(ctx, b); err != nil {
			return err
		}
	} else if b.Level != c.Level {
		return nil // cancelled, or long past
	}
	return t.tellBuilding(ctx, b)
}

// upgradedOut is the content of the push /building/upgraded.
type upgradedOut struct {
	Building string `json:"building_id"`
	Body     string `json:"body_id"`
	Empire   string `json:"empire_id"`
	Level    int    `json:"level"`
}

// failedOut is the content of the push /building/failed.
type failedOut struct {
	upgradedOut
	Reason string `json:"reason"`
}

// failBuilding ends a construction that can never be stamped, its game being gone or its empire out of it: the building
// keeps the level it had, and its empire is told why.
func (t *Tools) failBuilding(ctx context.Context, b *building, why error) error {
	level := b.Target
	b.Target, b.Takes, b.Due = 0, 0, time.Time{}
	var err error
	if b.Level == 0 {
		err = t.store.Delete(ctx, b.key(), b.revision)
	} else {
		err = t.saveBuilding(ctx, b)
	}
	if err != nil {
		return err
	}
	return t.pushBuilding(ctx, b, buildingFailed, failedOut{upgradedOut{b.ID, b.Body, b.Empire, level}, why.Error()})
}

// tellBuilding publishes a finished level.
func (t *Tools) tellBuilding(ctx context.Context, b *building) error {
	return t.pushBuilding(ctx, b, buildingUpgrade, upgradedOut{b.ID, b.Body, b.Empire, b.Level})
}

// pushBuilding publishes news of a building: to every connection of the empire, and to services that follow buildings.
func (t *Tools) pushBuilding(ctx context.Context, b *building, route string, news any) error {
	content, err := json.Marshal(news)
	if err != nil {
		return err
	}
	push := protocol.AppendPush(nil, route, content)
	answers := make(chan error, 2)
	told := func(_ broker.Position, err error) { answers <- err }
	t.bus.Publish(protocol.UserSubject(b.Empire), push, buildingKeep, told)
	t.bus.Publish(buildingSubject, push, broker.Keep{}, told)
	for range cap(answers) {
		select {
		case answer := <-answers:
			err = errors.Join(err, answer)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}

// RepairBuildings sets timers of buildings under construction that a crash left without one. It is called at each start.
// A building whose job is under way gets a second one, which does nothing.
func (t *Table) RepairBuildings(ctx context.Context) error {
	s := t.tools.buildings
	if s == nil {
		return nil
	}
	for after := ""; ; {
		records, err := t.tools.store.List(ctx, "building/", after, 1000)
		if err != nil || len(records) == 0 {
			return err
		}
		for _, r := range records {
			b, err := readBuilding(r)
			if err != nil {
				return err
			}
			if b.Target == 0 {
				continue
			}
			_, err = s.schedule.Get(ctx, b.timer())
			if errors.Is(err, broker.ErrNotFound) {
				err = s.set(ctx, b)
			}
			if err != nil {
				return err
			}
		}
		after = records[len(records)-1].Key
	}
}
