package apidoc

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"gosper/broker"
	"gosper/broker/memory"
	"gosper/broker/post"
	"gosper/edge/module"
	"gosper/grid"
	"gosper/grid/game"
	"gosper/protocol"
)

// caller calls functions of a table in memory as a player who is in a world, and checks every good answer.
type caller struct {
	t       *testing.T
	table   *module.Table
	schemas map[string]*jsonschema.Schema // of the content of answers, by route
	who     module.Identity
	checked map[string]bool
}

func newCaller(t *testing.T) *caller {
	store, registry, bus := memory.NewStore(), memory.NewRegistry(), memory.NewBus(memory.BusOptions{})
	queue := memory.NewQueue(broker.QueueOptions{})
	schedule := memory.NewSchedule(queue)
	games, err := game.NewHost(context.Background(), game.Config{Log: memory.NewLog(), Store: store, Budget: grid.NewBudget(64 << 20), Limits: game.DefaultLimits(),
		Sink: module.NewGameSink(bus, nil), Workers: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	office, err := post.Open(post.Options{Root: t.TempDir(), Store: store})
	if err != nil {
		t.Fatal(err)
	}
	table, err := module.New(module.Config{Options: module.DefaultOptions(), Store: store, Registry: registry, Bus: bus, Games: games, Jobs: queue, Schedule: schedule, Post: office,
		Secret: make([]byte, module.MinSecret), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		table.Close()
		if err := errors.Join(office.Close(), games.Close(), schedule.Close(), queue.Close(), bus.Close(), registry.Close(), store.Close()); err != nil {
			t.Error(err)
		}
	})
	c := &caller{t: t, table: table, schemas: make(map[string]*jsonschema.Schema), checked: make(map[string]bool)}
	d := parse(t, "asyncapi", AsyncAPI(Site{Functions: module.Functions()}))
	compiler := d.compiler()
	for _, f := range module.Functions() {
		c.schemas[f.Route] = d.compile(compiler, "components", "messages", "reply_"+operationID(f.Route), "payload", "properties", "content")
	}
	return c
}

// call calls a function and checks its answer, which it returns when it is a good one.
func (c *caller) call(route, content string) map[string]any {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	replies := make(chan module.Reply, 1)
	c.table.Call(&module.Call{Context: ctx, Route: route, Door: "http", Content: []byte(content), Who: c.who, Received: time.Now()}, func(r module.Reply) { replies <- r })
	r := <-replies
	if r.Status != protocol.StatusOK {
		return nil
	}
	if err := c.schemas[route].Validate(value(c.t, r.Content)); err != nil {
		c.t.Errorf("%s: %s: %v", route, r.Content, err)
	}
	c.checked[route] = true
	var out map[string]any
	if err := json.Unmarshal(r.Content, &out); err != nil {
		c.t.Fatal(err)
	}
	return out
}

// Goal: what functions answer is what the documents say. Method: a player logs in, makes a game and a family and looks at
// everything; then every function is called with its example. Each good answer is checked against its schema.
func TestRepliesFitTheirSchemas(t *testing.T) {
	c := newCaller(t)
	c.call("/user/clientCode", `{}`)
	login := c.call("/user/loginUnique", `{"unique_id":"device-1"}`)
	if login == nil {
		t.Fatal("no login")
	}
	session, _ := login["session"].(string)
	who, err := c.table.Authenticate(context.Background(), session)
	if err != nil {
		t.Fatal(err)
	}
	c.who = who
	c.call("/user/enterWorld", `{"world":"0","name":"Ann"}`)
	c.who.World, c.who.Name = "0", "Ann"
	c.call("/user/createPlayer", `{"gn":"Ann"}`)
	made := c.call("/game/create", `{"name":"garden","grids":[{"width":64,"height":64}]}`)
	if made == nil {
		t.Fatal("no game")
	}
	made, _ = made["game"].(map[string]any)
	id, _ := made["id"].(string)
	for _, order := range [][2]string{
		{"/game/pause", `{"game":"G"}`}, {"/game/template", `{"game":"G","grid":0,"name":"block","x":4,"y":4}`},
		{"/game/cells", `{"game":"G","grid":0,"cells":[[1,2],[2,2],[3,2]]}`},
		{"/game/step", `{"game":"G","generations":2}`}, {"/game/stats", `{"game":"G"}`}, {"/game/history", `{"game":"G"}`},
		{"/game/look", `{"game":"G","grid":0,"generation":1}`}, {"/game/rewind", `{"game":"G","generation":1}`},
		{"/building/upgrade", `{"body_id":"G/0","kind":"house","x":8,"y":8}`}, {"/building/list", `{}`},
	} {
		c.call(order[0], strings.ReplaceAll(order[1], "G", id))
	}
	for _, f := range module.Functions() {
		if f.Needs&module.NeedConnection == 0 && f.Route != "/game/end" && f.Route != "/game/leave" && f.Route != "/user/logout" {
			c.call(f.Route, strings.ReplaceAll(f.Example, "0123456789", id))
			c.call(f.Route, `{}`)
		}
	}
	var rest []string
	for _, f := range module.Functions() {
		if !c.checked[f.Route] {
			rest = append(rest, f.Route)
		}
	}
	t.Logf("%d of %d functions answered; not: %s", len(c.checked), len(module.Functions()), strings.Join(rest, " "))
	if len(c.checked) < 40 {
		t.Error("too few answers were checked")
	}
}
