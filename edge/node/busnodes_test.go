package node

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"gosper/broker/redis/redistest"
)

// Goal: players of one world see each other whatever node they are on, come and go, until the other node ends. Method:
// a page on one process watches; players join and leave the other; that is told to end.
func TestTwoNodesPresence(t *testing.T) {
	a, b := pair(t, redistest.Start(t))
	page := a.websocket()
	page.call("/session/register", fmt.Sprintf(`{"nonce":%q}`, a.nonce("0", "Ann", "")), nil)
	page.call("/chat/presence", `{"watch":true}`, nil)
	b.register("0", "Ben", "")
	page.presence(`"joined":["Ben"]`)
	cleo := b.register("0", "Cleo", "")
	page.presence(`"joined":["Cleo"],"count":3`)
	var out struct {
		Count int
		Names []string
	}
	page.call("/chat/presence", `{}`, &out)
	if fmt.Sprint(out) != "{3 [Ann Ben Cleo]}" {
		t.Errorf("the page sees %v", out)
	}
	cleo.Close()
	page.presence(`"left":["Cleo"],"count":2`)
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	page.presence(`"left":["Ben"],"count":1`)
}

// presence reads pushes until one of a world's presence has the text.
func (w *wire) presence(text string) {
	w.t.Helper()
	for {
		if e := w.envelope(); e.Route == "/chat/presence" && strings.Contains(string(e.Content), text) {
			return
		}
	}
}
