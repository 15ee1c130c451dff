package module

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"gosper/broker/memory"
	"gosper/grid/game"
	"gosper/protocol"
)

// BenchmarkEditLine draws one cell and kills it, by line.
func BenchmarkEditLine(b *testing.B) {
	r, who, id := benchGame(b)
	done := make(chan struct{}, 1)
	answer := func([]byte, protocol.Status) { done <- struct{}{} }
	lines := [2][]byte{[]byte(id + "/0 5,5 o!"), []byte(id + "/0 5,5 !o!")}
	b.ReportAllocs()
	for i := range b.N {
		r.EditLine(&who, lines[i&1], answer)
		<-done
	}
}

// BenchmarkCells draws 100 cells in one call.
func BenchmarkCells(b *testing.B) {
	table, who, id := benchGame(b)
	var cells []string
	for i := range 100 {
		cells = append(cells, fmt.Sprintf("[%d,%d]", i%60, i/60))
	}
	content := []byte(on(id, `,"policy":"overwrite","cells":[`+strings.Join(cells, ",")+`]`))
	done := make(chan Reply, 1)
	b.ReportAllocs()
	for b.Loop() {
		table.Call(&Call{Route: "/game/cells", Content: content, Who: who}, func(r Reply) { done <- r })
		if r := <-done; r.Status != protocol.StatusOK {
			b.Fatal(r.Message)
		}
	}
}

// benchGame is a table with a paused game and its owner, without rates.
func benchGame(b *testing.B) (*Table, Identity, string) {
	store, registry, bus, log := memory.NewStore(), memory.NewRegistry(), memory.NewBus(memory.BusOptions{}), memory.NewLog()
	limits := game.DefaultLimits()
	limits.EditsUser, limits.EditsGame = 1<<30, 1<<30
	host, err := game.NewHost(b.Context(), game.Config{Log: log, Store: store, Limits: limits, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	o := DefaultOptions()
	o.EditRate = Rate{}
	table, err := New(Config{Options: o, Store: store, Registry: registry, Bus: bus, Games: host, Secret: make([]byte, MinSecret), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		table.Close()
		host.Close()
		log.Close()
		bus.Close()
		registry.Close()
		store.Close()
	})
	who := Identity{Account: "a", World: "0", Name: "Ann", LoggedIn: true}
	g, err := host.Create(b.Context(), game.CreateRequest{Name: "x", User: "a", UserName: "Ann", Grids: []game.GridSpec{{Width: 64, Height: 64}}})
	if err != nil {
		b.Fatal(err)
	}
	return table, who, g.ID().String()
}
