package node

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"gosper/protocol"
)

// Goal: a building that a node has accepted is built when that node is killed, on the game that another has taken over. Method: the
// game is made by the node that dies, before the building is due; the account comes back at the other node.
func TestBuildingOutlivesNode(t *testing.T) {
	s := newSite(t)
	a := s.node()
	b := s.node()
	web, session, _ := a.enter("Ann")
	var created struct{ Game struct{ ID string } }
	web.call("/game/create", `{"name":"pond","color":"3cfaa0","interval":500,"persistent":true,"grids":[{"width":32,"height":32,"rule":"B3/S23","topology":"torus","mode":"owners","owners":16}]}`, &created)
	var made struct {
		ID string `json:"building_id"`
	}
	web.call("/building/upgrade", fmt.Sprintf(`{"body_id":"%s/0","kind":"house","x":5,"y":6}`, created.Game.ID), &made)
	a.kill()
	web = b.websocket()
	pushes := web.call("/session/resume", fmt.Sprintf(`{"token":%q}`, session), nil)
	built := func(e protocol.Envelope) bool {
		return e.Route == "/building/upgraded" && strings.Contains(string(e.Content), made.ID)
	}
	for {
		var list struct{ Buildings []struct{ Level int } }
		pushes = append(pushes, web.call("/building/list", `{}`, &list)...)
		if slices.ContainsFunc(pushes, built) || len(list.Buildings) == 1 && list.Buildings[0].Level == 1 {
			return // without the push, the news came while nobody of the account was here
		}
		pushes = []protocol.Envelope{web.envelope()}
	}
}
