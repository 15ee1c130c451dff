package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"gosper/bench"
	"gosper/broker/redis/redistest"
	"gosper/edge/client"
)

// promise is how long players may have to wait for a game whose node has died. On a machine that does much else at the same
// time it is only reported; a run that is asked for by clusterKills holds it.
const promise = 5 * time.Second

// clusterKills names the variable that says how often the node of the game is killed.
const clusterKills = "GOSPER_CLUSTER_KILLS"

// kills is how often the test kills, and whether somebody has asked for it.
func kills(t *testing.T) (n int, asked bool) {
	text := os.Getenv(clusterKills)
	if text == "" {
		return 2, false
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q is not a number of kills", clusterKills, text)
	}
	return n, true
}

// balancer is one address for several nodes: it passes each connection on to the first of them that is there.
func balancer(t *testing.T, nodes []string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go pass(c, nodes)
		}
	}()
	return l.Addr().String()
}

// pass copies in both directions until one side ends.
func pass(c net.Conn, nodes []string) {
	defer c.Close()
	for _, addr := range nodes {
		to, err := net.DialTimeout("tcp", addr, time.Second)
		if err != nil {
			continue
		}
		defer to.Close()
		go func() {
			_, _ = io.Copy(to, c) // an end is all that is to be known
			to.Close()
		}()
		_, _ = io.Copy(c, to)
		return
	}
}

// startCluster starts three nodes and returns an address for each that leads elsewhere when that node is away.
func startCluster(t *testing.T) (c *bench.Cluster, fronts []*server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	c, err := bench.StartCluster(ctx, bench.ClusterOptions{Binary: gosper(t), Store: true, Flags: []string{"--log-level=warn", "--rate-edit=0", "--rate-write=0"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	var pages []string
	for _, n := range c.Nodes {
		pages = append(pages, n.Web())
	}
	for i, n := range c.Nodes {
		fronts = append(fronts, &server{t: t, http: balancer(t, slices.Concat(pages[i:], pages[:i])), line: n.Lines(), internal: n.Internal()})
	}
	return c, fronts
}

// painter draws blocks, which never change, side by side, and remembers those that were acknowledged.
type painter struct {
	*client.Client
	game string
	stop context.CancelFunc
	done chan struct{}

	mu    sync.Mutex
	acked [][2]int // guarded by mu
}

const (
	paintSide  = 512
	paintPause = 50 * time.Millisecond
)

// paint joins a game and draws until it is told to stop.
func (s *server) paint(game string) *painter {
	s.t.Helper()
	ctx, stop := context.WithCancel(s.t.Context())
	c, err := client.Dial(ctx, "ws://"+s.http+"/ws", client.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	p := &painter{Client: c, game: game, stop: stop, done: make(chan struct{})}
	s.t.Cleanup(func() {
		stop()
		c.Close()
	})
	if err := c.Register(ctx, s.nonce("0", "Kai", "")); err != nil {
		s.t.Fatal(err)
	}
	if err := c.Call(ctx, "/game/join", map[string]any{"game": game}, nil); err != nil {
		s.t.Fatal(err)
	}
	go p.draw(ctx)
	return p
}

func (p *painter) draw(ctx context.Context) {
	defer close(p.done)
	pause := time.NewTicker(paintPause)
	defer pause.Stop()
	const row = paintSide / 4
	for n := 0; n < row*row; n++ {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		x, y := 4*(n%row), 4*(n/row)
		err := p.Call(ctx, "/game/pattern", map[string]any{"game": p.game, "grid": 0, "x": x, "y": y, "text": "2o$2o!"}, nil)
		if err != nil {
			continue // refused, or nobody knows: it may be there or not
		}
		p.mu.Lock()
		p.acked = append(p.acked, [2]int{x, y})
		p.mu.Unlock()
	}
}

// places returns what was acknowledged so far.
func (p *painter) places() [][2]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.acked)
}

// clock makes the page note when it first was in step with each epoch of the game, and since when its link holds.
func (p *page) clock() {
	p.t.Helper()
	p.eval(`
		window.since = {};
		window.linked = 0;
		setInterval(() => {
			const r = gosper.report;
			linked = document.getElementById('state').dataset.state === 'open' ? linked || Date.now() : 0;
			if (r?.synced && !(r.epoch in since)) since[r.epoch] = Date.now();
		}, 10);`, nil)
}

// steady waits until the page's link has held for so long that the pauses before it dials again start anew.
func (p *page) steady() {
	p.t.Helper()
	p.until(`linked && Date.now() - linked > 5500`)
}

// epochs returns how many epochs the page has seen.
func (p *page) epochs() (n int) {
	p.t.Helper()
	p.eval(`return Object.keys(since).length`, &n)
	return n
}

// wentOn waits until the page is in step with one more epoch than so many, and returns when that was.
func (p *page) wentOn(seen int) time.Time {
	p.t.Helper()
	p.until(fmt.Sprintf(`Object.keys(since).length > %d`, seen))
	var ms int64
	p.eval(`return Math.max(...Object.values(since))`, &ms)
	return time.UnixMilli(ms)
}

// Goal: two players on two nodes share a game and a talk; whenever the node of the game dies, both go on, with everything
// that was acknowledged. Method: three nodes as processes, two pages and a painter, each behind an address that leads
// to another node when its own is away; the node of the game is killed again and again, comes back, and the game has
// moved on. In the end the pages have the same cells.
func TestClusterNodeDies(t *testing.T) {
	redistest.Need(t)
	rounds, asked := kills(t)
	c, fronts := startCluster(t)
	allowed := []string{"WebSocket", "ERR_", "Failed to load resource"}
	ada := fronts[0].guest("Ada", "", allowed...)
	id := ada.create("pond", map[string]string{"width": fmt.Sprint(paintSide), "height": fmt.Sprint(paintSide), "interval": "50"})
	bob := fronts[1].guest("Bob", "", allowed...)
	bob.enter(id)
	pages := []*page{ada, bob}
	for _, p := range pages {
		p.clock()
	}
	bob.click(`#run`)
	ada.until(`gosper.report.generation > 5`)
	kai := fronts[2].paint(id)
	var slowest time.Duration
	for round := range rounds {
		owner := ownerOf(t, c, id)
		ada.steady()
		bob.steady()
		seen := []int{ada.epochs(), bob.epochs()}
		before := len(kai.places())
		eventually(t, "the painter is at work", func() bool { return len(kai.places()) > before+5 })
		killed := time.Now()
		owner.Kill()
		for i, p := range pages {
			took := p.wentOn(seen[i]).Sub(killed)
			slowest = max(slowest, took)
			if took > promise && asked {
				t.Errorf("round %d: page %d went on %v after its game's node died", round, i, took)
			}
		}
		word := fmt.Sprint("round ", round)
		ada.say("world", word+" from Ada")
		bob.say("world", word+" from Bob")
		for _, p := range pages {
			p.heard("world", word+" from Ada")
			p.heard("world", word+" from Bob")
			p.all(kai.places())
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		if err := owner.Start(); err != nil {
			t.Fatal(err)
		}
		if err := owner.WaitReady(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
	kai.stop()
	<-kai.done
	bob.click(`#run`)
	for _, p := range pages {
		p.until(`document.getElementById('run').textContent === 'Start'`)
	}
	agree(t, ada, bob)
	for _, p := range pages {
		p.all(kai.places())
	}
	t.Logf("report: %d kills, the slowest page went on after %v, %d acknowledged edits, 0 lost", rounds, slowest.Round(time.Millisecond), len(kai.places()))
}

// all waits until the page has every block.
func (p *page) all(places [][2]int) {
	p.t.Helper()
	text := "["
	for _, at := range places {
		text += fmt.Sprintf("[%d,%d],", at[0], at[1])
	}
	p.until(text + `].every(([x, y]) => gosper.grid.alive(x, y) && gosper.grid.alive(x + 1, y + 1))`)
}

// ownerOf returns the node that has the game, once one says so.
func ownerOf(t *testing.T, c *bench.Cluster, game string) (owner *bench.ClusterNode) {
	t.Helper()
	eventually(t, "a node has the game", func() bool {
		var err error
		owner, err = c.Owner(t.Context(), game)
		return err == nil
	})
	return owner
}
