package node

import (
	"encoding/json"
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"

	"gosper/grid/game"
	"gosper/protocol"
)

// attempt calls a function until its status is good, and returns how long that took. Others than those of a game that moves, or of
// a node that was lost, end the test.
func (w *wire) attempt(route, content string, out any) time.Duration {
	w.t.Helper()
	for begin := time.Now(); ; {
		e := w.reply(route, content)
		switch {
		case e.Status == protocol.StatusOK:
			if out != nil {
				if err := json.Unmarshal(e.Content, out); err != nil {
					w.t.Fatal(err)
				}
			}
			return time.Since(begin)
		case e.Status != protocol.StatusBusy && e.Status != protocol.StatusTimeout && e.Message != "timed out", time.Since(begin) > patience:
			w.t.Fatalf("%s: %d %s", route, e.Status, e.Message)
		}
		<-time.After(rest)
	}
}

// rest between two tries keeps them within the rates.
const rest = 100 * time.Millisecond

// reply calls a function and returns its reply, whatever that is.
func (w *wire) reply(route, content string) protocol.Envelope {
	w.t.Helper()
	request := fmt.Sprintf(`{"route":%q,"msgId":1,"content":%s}`, route, content)
	w.send(string(protocol.AppendMaskedFrame(nil, protocol.OpText, [4]byte{1, 2, 3, 4}, []byte(request))))
	e := w.envelope()
	for e.Route != route || e.MsgID == (protocol.MsgID{}) {
		e = w.envelope()
	}
	return e
}

// Goal: players of a game are at several nodes, and go on with every answered edit when the node of the game dies: those who are at
// other nodes keep their connections. Method: three processes; two browsers and a phone play at two nodes what the third runs; it is
// killed, then the next is told to end.
func TestGameOutlivesNode(t *testing.T) {
	s := newSite(t)
	s.env = append(s.env, "GOSPER_CLUSTER_LEASE=6s") // so that a machine with much to do takes nobody for dead
	a, b, c := s.node("GOSPER_NODE=a"), s.node("GOSPER_NODE=b"), s.node("GOSPER_NODE=c")
	maker, _, _ := c.enter("Cleo")
	var made struct{ Game struct{ ID string } }
	maker.call("/game/create", `{"name":"pond","persistent":true,"grids":[{"width":64,"height":64}]}`, &made)
	id := made.Game.ID
	named := fmt.Sprintf(`{"game":%q,"grid":0}`, id)

	ann, _, _ := a.enter("Ann")
	ben, _, _ := b.enter("Ben")
	phone := b.register("0", "Dora", "")
	for _, w := range []*wire{ann, ben} {
		w.attempt("/game/join", named, nil)
		w.attempt("/game/watch", named, nil)
	}
	(&caller{t, phone}).must("/game/join", named, nil)
	ann.attempt("/game/template", fmt.Sprintf(`{"game":%q,"name":"Glider","x":10,"y":10}`, id), nil)
	var views [2]mirror
	both := func(population int64) {
		t.Helper()
		views[0].follow(ann, population)
		views[1].follow(ben, population)
		if views[0].Hash() != views[1].Hash() || views[0].head.Epoch != views[1].head.Epoch {
			t.Errorf("one browser has %+v, the other %+v", views[0].head, views[1].head)
		}
	}
	both(5)
	phone.send("000000EDIT" + id + "/0 30,30 3o!\r\n")
	phone.expectAll("000000EDIT" + id + "/0 2 0\r\n")
	both(8)
	listed(t, ben, id)

	before := views[0].head.Epoch
	c.kill()
	var drawn struct{ Seq uint64 }
	took := ann.attempt("/game/cells", fmt.Sprintf(`{"game":%q,"policy":"overwrite","cells":[[40,40],[41,40]]}`, id), &drawn)
	t.Logf("the game went on %v after its node was killed", took)
	if drawn.Seq != 4 {
		t.Errorf("the edit after the kill has place %d: 2 were answered before", drawn.Seq)
	}
	both(10)
	if views[0].head.Epoch <= before {
		t.Errorf("epoch %d behind %d", views[0].head.Epoch, before)
	}
	phone.send("000000EDIT" + id + "/0 50,50 o!\r\n")
	phone.expectAll("000000EDIT" + id + "/0 5 0\r\n")
	both(11)
	listed(t, ann, id)

	// The node that has it now is told to end, and hands it over. Its players come to the other one.
	if err := a.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := a.cmd.Wait(); err != nil {
		t.Error("exit:", err)
	}
	ben.attempt("/game/cells", fmt.Sprintf(`{"game":%q,"policy":"overwrite","cells":[[1,1]]}`, id), &drawn)
	if drawn.Seq != 6 {
		t.Errorf("the edit after the end of a node has place %d, want 6", drawn.Seq)
	}
	views[1].follow(ben, 12)
	back, _, _ := b.enter("Ann")
	back.call("/game/watch", named, nil)
	views[0] = mirror{}
	views[0].follow(back, 12)
	if views[0].Hash() != views[1].Hash() {
		t.Errorf("one browser has %+v, the other %+v", views[0].head, views[1].head)
	}
}

// listed checks that a game is on the list of a node.
func listed(t *testing.T, w *wire, id string) {
	t.Helper()
	var list struct{ Games []struct{ ID string } }
	w.call("/game/list", `{}`, &list)
	if len(list.Games) != 1 || list.Games[0].ID != id {
		t.Errorf("the list has %+v, want %s", list.Games, id)
	}
}

// Goal: while the store is away, a game ticks, is watched from another node, and refuses edits with the reason; one of relaxed
// durability takes them, and has them when the store is back and its node has died. Method: two processes; their NATS server is stopped
// and started again with its folder.
func TestGameWhileStoreIsAway(t *testing.T) {
	s := newSite(t)
	dir := t.TempDir()
	server := natsServer(t, dir, 0)
	port := server.Addr().(*net.TCPAddr).Port
	s.env = append(s.env, "GOSPER_STORE="+server.ClientURL(), "GOSPER_CLUSTER_LEASE=6s")
	a, b := s.node("GOSPER_NODE=a"), s.node("GOSPER_NODE=b")
	ann, _, _ := a.enter("Ann")
	ben, _, _ := b.enter("Ben")
	type made struct{ Game struct{ ID string } }
	var strict, relaxed made
	for out, durability := range map[*made]string{&strict: "strict", &relaxed: "relaxed"} {
		ann.attempt("/game/create", fmt.Sprintf(`{"name":"pond","persistent":true,"durability":%q,"interval":200,"grids":[{"width":64,"height":64}]}`, durability), out)
		ann.attempt("/game/start", fmt.Sprintf(`{"game":%q}`, out.Game.ID), nil)
		ben.attempt("/game/join", fmt.Sprintf(`{"game":%q}`, out.Game.ID), nil)
	}
	ben.attempt("/game/watch", fmt.Sprintf(`{"game":%q}`, strict.Game.ID), nil)
	var view mirror
	view.follow(ben, 0)

	stopNATS(server)
	cells := fmt.Sprintf(`{"game":%q,"policy":"overwrite","cells":[[3,3]]}`, strict.Game.ID)
	for begin := time.Now(); ; {
		reply := ben.reply("/game/cells", cells)
		if reply.Status == protocol.StatusBusy && reply.Message == game.ErrAway.Error() {
			break
		}
		if time.Since(begin) > patience {
			t.Fatalf("while the store is away: %d %s", reply.Status, reply.Message)
		}
		<-time.After(rest)
	}
	var drawn struct{ Seq uint64 }
	for i := range 3 {
		ben.attempt("/game/cells", fmt.Sprintf(`{"game":%q,"policy":"overwrite","cells":[[%d,5]]}`, relaxed.Game.ID, 2*i), &drawn)
	}
	for from := view.head.Generation; view.head.Generation < from+5; {
		view.next(ben)
	}

	natsServer(t, dir, port)
	ben.attempt("/game/cells", cells, nil)
	ben.attempt("/game/pause", fmt.Sprintf(`{"game":%q}`, relaxed.Game.ID), nil) // behind what is still to be written
	a.kill()
	var after struct{ Seq uint64 }
	ben.attempt("/game/cells", fmt.Sprintf(`{"game":%q,"policy":"overwrite","cells":[[9,9]]}`, relaxed.Game.ID), &after)
	if after.Seq != drawn.Seq+1 {
		t.Errorf("the edit after the kill has place %d, %d were answered while the store was away", after.Seq, drawn.Seq)
	}
}
