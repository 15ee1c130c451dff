package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"gosper/broker"
	"gosper/broker/jobs"
	"gosper/broker/pebble"
	"gosper/broker/redis/redistest"
	"gosper/edge/client"
	"gosper/edge/node"
)

// natsAt runs a NATS server until the test ends and returns its address.
func natsAt(t *testing.T) string {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("the NATS server does not start")
	}
	return "nats://" + s.Addr().String()
}

// player is a client of a node with an account.
type player struct {
	t *testing.T
	n *node.Node
	*client.Client
	pushes chan string // routes
}

func newPlayer(t *testing.T, n *node.Node) *player {
	t.Helper()
	p := &player{t: t, n: n, pushes: make(chan string, 100)}
	c, err := client.Dial(t.Context(), "ws://"+n.Addr("http").String()+"/ws", client.Options{OnPush: func(m client.Push) { p.pushes <- m.Route }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	p.Client = c
	return p
}

func (p *player) must(route string, in map[string]any, out any) {
	p.t.Helper()
	if err := p.Call(p.t.Context(), route, in, out); err != nil {
		p.t.Fatalf("%s: %v", route, err)
	}
}

// box reads the mailbox of a player at the internal port.
func (p *player) box(uid string) string {
	p.t.Helper()
	answer, err := http.PostForm("http://"+p.n.Addr("internal").String()+"/all", url.Values{"world": {"0"}, "uid": {uid}})
	if err != nil {
		p.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(text)
}

// frame is what gosper watch shows of a game: generation, population and hash. A node that begins has to take the game over first.
func (p *player) frame(game string) string {
	p.t.Helper()
	for end := time.Now().Add(time.Minute); ; {
		code, out, errs := runWith(p.t.Context(), "", "watch", "--internal-addr="+p.n.Addr("internal").String(), "--url=ws://"+p.n.Addr("http").String()+"/ws", "--frames", "1", game)
		if code == exitOK {
			return out
		}
		if time.Now().After(end) {
			p.t.Fatal(errs)
		}
	}
}

// Goal: what a node has kept is there when it is one of many: the account logs in, the game has the same cells, timers fire,
// jobs stand as they stood, mail is read, a nonce is good. Method: a node with all of it is stopped; gosper migrate,
// first as a rehearsal, then in earnest, then once more; a node starts on the servers.
func TestMigrate(t *testing.T) {
	redis := redistest.Start(t)
	data, mail := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "mail")
	nats := natsAt(t)

	kinds := filepath.Join(t.TempDir(), "buildings.json")
	if err := os.WriteFile(kinds, []byte(`{"house":[{"seconds":2,"pattern":"block"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	before := testNode(t, func(o *node.Options) { o.Data, o.BuildingsFile = data, kinds })
	ann := newPlayer(t, before)
	ann.must("/user/loginUnique", map[string]any{"unique_id": "device"}, nil)
	ann.must("/user/enterWorld", map[string]any{"world": "0", "name": "Ann"}, nil)
	var pond, site struct{ Game struct{ ID string } }
	ann.must("/game/create", map[string]any{"name": "pond", "persistent": true, "grids": []map[string]any{{"width": 64, "height": 64}}}, &pond)
	ann.must("/game/template", map[string]any{"game": pond.Game.ID, "name": "Glider", "x": 10, "y": 10}, nil)
	ann.must("/game/create", map[string]any{"name": "site", "persistent": true, "interval": 500, "grids": []map[string]any{{"width": 32, "height": 32, "mode": "owners", "owners": 16}}}, &site)
	ann.must("/building/upgrade", map[string]any{"body_id": site.Game.ID + "/0", "kind": "house", "x": 5, "y": 6}, nil)
	sent := `{"world":"0","uid":"7","mail":{"type":"0","from":"Ben","subj":"hello","body":"it came along"}}`
	answer, err := http.Post("http://"+before.Addr("internal").String()+"/send", "application/json", strings.NewReader(sent))
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatal(answer, err)
	}
	answer.Body.Close()
	code, nonce, errs := runWith(t.Context(), "", "nonce", "--world", "0", "--name", "Cleo")
	if code != exitOK {
		t.Fatal(errs)
	}
	frame := ann.frame(pond.Game.ID)
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	addWork(t, data)

	args := []string{"migrate", "--from", data, "--mail-to", mail, "--store", nats, "--registry", redis.URL()}
	if code, out, errs := runWith(t.Context(), "", append(args, "--dry-run")...); code != exitOK || !strings.Contains(out, "records") {
		t.Fatalf("%d, %s %s", code, out, errs)
	}
	code, out, errs := runWith(t.Context(), "", args...)
	if code != exitOK || strings.Count(out, "the same\n") != 6 || !strings.Contains(out, "--secret-file") {
		t.Fatalf("%d, %s %s", code, out, errs)
	}
	t.Log(out)
	if code, out, errs := runWith(t.Context(), "", args...); code != exitOK || !strings.Contains(out, "nothing was done") {
		t.Errorf("%d, %s %s", code, out, errs)
	}

	after := testNode(t, func(o *node.Options) {
		o.Store, o.Bus, o.Registry, o.SecretFile, o.Post.Dir, o.BuildingsFile = nats, nats, redis.URL(), filepath.Join(data, "secret"), mail, kinds
	})
	ann = newPlayer(t, after)
	ann.must("/user/loginUnique", map[string]any{"unique_id": "device"}, nil)
	ann.must("/user/enterWorld", map[string]any{"world": "0", "name": "Ann"}, nil)
	if again := ann.frame(pond.Game.ID); again != frame {
		t.Errorf("the game is %q, was %q", again, frame)
	}
	if box := ann.box("7"); !strings.Contains(box, "it came along") {
		t.Errorf("the mailbox: %s", box)
	}
	cleo := newPlayer(t, after)
	if err := cleo.Register(t.Context(), strings.TrimSpace(nonce)); err != nil {
		t.Errorf("the nonce: %v", err)
	}
	eventually(t, "the building is done", func() bool {
		var stats struct{ Grids []struct{ Population int } }
		ann.must("/game/stats", map[string]any{"game": site.Game.ID}, &stats)
		return len(stats.Grids) == 1 && stats.Grids[0].Population == 4
	})
	internal := "--internal-addr=" + after.Addr("internal").String()
	eventually(t, "the timer fires", func() bool {
		_, out, _ := runWith(t.Context(), "", "queue", "list", "late", "ready", internal)
		return strings.Contains(out, "the timer was due")
	})
	for state, body := range map[string]string{"ready": "at hand", "delayed": "tomorrow", "buried": "too hard"} {
		if code, out, errs := runWith(t.Context(), "", "queue", "list", "parcels", state, internal); code != exitOK || !strings.Contains(out, body) {
			t.Errorf("%s: %s %s", state, out, errs)
		}
	}
}

// addWork adds jobs and timers to the data of a stopped node, by a clock that stands still.
func addWork(t *testing.T, data string) {
	t.Helper()
	db, err := pebble.Open(node.StoreFolder(data), pebble.Options{Jobs: broker.QueueOptions{Now: jobs.Frozen}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	put := func(body string, o broker.PutOptions) {
		t.Helper()
		db.Queue().Put("parcels", []byte(body), o, func(_ uint64, err error) { done <- err })
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	put("too hard", broker.PutOptions{})
	db.Queue().Reserve(broker.Reservation{Owner: 1, Tubes: []string{"parcels"}, Wait: -1, Got: func(j broker.Job, err error) {
		if err != nil {
			done <- err
			return
		}
		go db.Queue().Bury(j.ID, j.Lease, 5, "too hard for anybody", func(err error) { done <- err })
	}})
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	put("at hand", broker.PutOptions{Priority: 3, Unique: "one"})
	put("tomorrow", broker.PutOptions{Delay: 100 * 365 * 24 * time.Hour}) // from 1970 on
	err = db.Schedule().Set(t.Context(), broker.Timer{Key: "test", Tube: "late", Body: []byte("the timer was due"), Due: time.Now()})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	end := time.After(time.Minute)
	for !holds() {
		select {
		case <-again.C:
		case <-end:
			t.Fatalf("never true: %s", what)
		}
	}
}

// Goal: what cannot be moved is told in one line, and nothing is made. Method: table.
func TestMigrateRefuses(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	none := filepath.Join(t.TempDir(), "none")
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{exitUsage, "store: says where", []string{"--from", none}},
		{exitUsage, "unexpected argument", []string{"--from", none, "--dry-run", "x"}},
		{exitUsage, "store: ", []string{"--from", none, "--store", "http://x"}},
		{exitUsage, "registry: ", []string{"--from", none, "--dry-run", "--registry", "http://x"}},
		{exitError, "no node's data", []string{"--from", none, "--dry-run"}},
	} {
		code, _, errs := runWith(ctx, "", append([]string{"migrate"}, c.args...)...)
		if code != c.code || !strings.Contains(errs, c.want) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%v: code %d, %q", c.args, code, errs)
		}
	}
	if _, err := os.Stat(none); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was made: %v", err)
	}
}
