package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"gosper/edge"
	"gosper/edge/control"
	"gosper/edge/module"
	"gosper/grid"
	"gosper/grid/game"
)

// startGames brings back the games of the store, each with its cells, before anybody can ask for them.
func (n *Node) startGames(ctx context.Context) error {
	o := &n.options
	n.streams = edge.NewStreams()
	begin := time.Now()
	c := game.Config{Log: n.logs, Store: n.store, Budget: grid.NewBudget(o.GamesMemory), Limits: o.Games,
		Sink: &gameSink{module.NewGameSink(n.bus, n.frames()), n.events}, Workers: o.GameWorkers, Logger: n.log}
	n.shareGames(&c)
	host, err := game.NewHost(ctx, c)
	if err != nil {
		return fmt.Errorf("games: %w", err)
	}
	n.games = host
	n.streams.Serve(n.watchable())
	if some := host.List(0, 1); len(some) > 0 {
		n.log.Info("games are back", "took", time.Since(begin))
	}
	return nil
}

// bindGames describes the options of games, and their limits among those of clients.
func (o *Options) bindGames(b *binder) {
	b.group = "Games"
	b.long(&o.GamesMemory, "games-memory", "bytes that the grids of all games may take; a grid that does not fit is refused")
	b.number(&o.GameWorkers, "game-workers", "goroutines that compute games; 0 is one a CPU")
	o.bindCluster(b)
}

func (o *Options) bindGameLimits(b *binder) {
	for _, row := range game.LimitsTable() {
		name := "limit-" + strings.ReplaceAll(row.Name, "_", "-")
		help := row.Doc + " (" + row.Unit + "); beyond it: " + row.Code
		switch p := row.Field(&o.Games).(type) {
		case *int:
			b.number(p, name, help)
		case *time.Duration:
			b.time(p, name, help)
		}
	}
}

func (o *Options) checkGames() error {
	switch {
	case o.GamesMemory <= 0:
		return errors.New("games-memory: must be positive")
	case o.GameWorkers < 0 || o.GameWorkers > 1024:
		return errors.New("game-workers: must be 0 to 1024")
	}
	return o.checkCluster()
}

// listGames describes some games for operators.
func (n *Node) listGames(most int) []control.Game {
	list := []control.Game{}
	for _, g := range n.games.List(0, most) {
		list = append(list, control.Game{ID: g.ID.String(), Name: g.Name, Owner: g.Owner, Users: g.Present(), Grids: len(g.Grids), State: g.State.String(),
			Interval: g.Interval.Milliseconds(), Generation: g.Generation, Fault: g.Fault})
	}
	return list
}
