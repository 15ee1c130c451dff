package module

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"gosper/grid/game"
	"gosper/protocol"
)

// Goal: a node without games says so. Method: every function on games.
func TestNodeWithoutGames(t *testing.T) {
	r := newRig(t, nil)
	r.table.tools.games = nil
	p := r.play("0", "Ann", "")
	for _, f := range r.table.Functions() {
		if !strings.HasPrefix(f.Route, "/game/") || f.Route == "/game/templates" {
			continue
		}
		if reply := p.call(f.Route, f.Example); reply.Status != protocol.StatusBusy || reply.Message != errNoGames.Error() {
			t.Errorf("%s: %d %s", f.Route, reply.Status, reply.Message)
		}
	}
	if reply, status := p.edit("0123456789/0 1,1 o!"); status != protocol.StatusBusy {
		t.Errorf("EDIT: %v %s", status, reply)
	}
}

// Goal: every refusal of games and grids has a status and a text. Method: the errors that package game names.
func TestGameFaults(t *testing.T) {
	for _, s := range gameStatuses {
		f, internal := faultOf(fmt.Errorf("wrapped: %w", s.err))
		if internal || f.Status != s.status || !strings.Contains(f.Message, s.err.Error()) {
			t.Errorf("%v: %+v, internal %v", s.err, f, internal)
		}
	}
	for _, l := range game.LimitsTable() {
		status := fmt.Sprint(int(limitStatus(l.Name)))
		if strings.HasPrefix(l.Code, "refused: ") && !strings.Contains(l.Code, status) {
			t.Errorf("limit %s gives %s, and its row says %q", l.Name, status, l.Code)
		}
	}
	if f, internal := faultOf(context.DeadlineExceeded); f != faultTimeout || !internal {
		t.Errorf("a timeout is %+v", f)
	}
}

// Goal: GAMES.md names no route and no error key that is not there, and every route of games. Method: what stands in
// backquotes against the table, the pushes and the keys.
func TestGamesDocument(t *testing.T) {
	text, err := os.ReadFile("GAMES.md")
	if err != nil {
		t.Fatal(err)
	}
	routes := map[string]bool{routeGameUsers: true, routeGameState: true, routeGameOwner: true}
	for _, f := range allFunctions() {
		routes[f.Route] = true
		if strings.HasPrefix(f.Route, "/game/") && !strings.Contains(string(text), "`"+f.Route+"`") {
			t.Errorf("%s is not described", f.Route)
		}
	}
	for _, m := range regexp.MustCompile("`(/[a-zA-Z]+/[a-zA-Z]+)`").FindAllStringSubmatch(string(text), -1) {
		if !routes[m[1]] {
			t.Errorf("%s is no route", m[1])
		}
	}
	keys := map[string]bool{}
	for _, s := range gameStatuses {
		keys[game.ErrorKey(s.err)] = true
	}
	for _, m := range regexp.MustCompile("\\| `(error\\.game\\.[a-zA-Z.]+)` \\| ([0-9]+) ").FindAllStringSubmatch(string(text), -1) {
		if !keys[m[1]] {
			t.Errorf("%s is no key of an error", m[1])
		}
		for _, s := range gameStatuses {
			if game.ErrorKey(s.err) == m[1] && s.err != game.ErrGone && fmt.Sprint(int(s.status)) != m[2] {
				t.Errorf("%s has status %d, not %s", m[1], int(s.status), m[2])
			}
		}
		delete(keys, m[1])
	}
	delete(keys, "error.unexpectedError")
	if len(keys) > 0 {
		t.Errorf("not described: %v", keys)
	}
}
