package node

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gosper/broker/chain"
)

// chainKills is how often TestKillBetweenSteps kills: what GOSPER_CRASH_KILLS says, at most 1,000, else 100 times.
func chainKills(t *testing.T) int {
	if text := os.Getenv("GOSPER_CRASH_KILLS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("GOSPER_CRASH_KILLS=%q is not a number of rounds", text)
		}
		return min(n, 1000)
	}
	if testing.Short() {
		return 3
	}
	return 100
}

const (
	killClients = 6
	killChains  = 20 // chains that one client submits at most before the next kill
)

// Goal: each chain that a node has accepted is completed once, whenever the node dies: no step is lost, none begins before
// the one before it was answered, and a repeated step carries the same key. Method: clients submit chains of two and three
// steps against a service that notes every call; the node, a process, is killed with SIGKILL when the service has had a
// random number of calls, before or after it answers the last of them. Each round goes on from the one before. At the end
// all chains are held against the calls, and the completion messages against the chains.
func TestKillBetweenSteps(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Log("seed", seed)
	k := &chainKill{t: t, rng: rand.New(rand.NewPCG(seed, 3)), data: t.TempDir(), accepted: map[string]int{}, keys: map[string]*killCalls{}}
	service := httptest.NewServer(http.HandlerFunc(k.called))
	defer service.Close()
	k.url = service.URL
	table := fmt.Sprintf(`{"services":{%q:{"private":true}}}`, service.URL)
	if err := os.MkdirAll(filepath.Join(k.data, "config"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(k.data, "config", "services.json"), []byte(table), 0o600); err != nil {
		t.Fatal(err)
	}
	kills := chainKills(t)
	for range kills {
		k.round()
	}
	k.start()
	k.finish()
	t.Logf("report: %d kills between the steps of chains, %d chains accepted, %d not completed, %d steps called, %d of them again with the same key, %d completion messages too few or too many",
		kills, len(k.accepted), k.lost, len(k.keys), k.repeated, k.wrongNews)
}

// chainKill is one data folder whose node is killed again and again.
type chainKill struct {
	t        *testing.T
	rng      *rand.Rand
	data     string
	url      string   // of the service
	node     *process // called reads it with mu held
	made     int      // chains so far
	lost     int
	repeated int

	wrongNews int

	mu       sync.Mutex
	accepted map[string]int // number of steps by hash
	keys     map[string]*killCalls
	clock    int // counts calls and answers
	left     int // calls until the node is killed; negative: never
	before   bool
}

// killCalls is what the service saw of one key.
type killCalls struct {
	calls    int
	body     string
	begun    int // when the first call came
	answered int // when the first call was answered; 0: never
}

// start starts the node on new ports: clients of a former one must not reach it.
func (k *chainKill) start() {
	node := launch(k.t, k.data, nil, "GOSPER_LOG_LEVEL=warn")
	k.mu.Lock()
	defer k.mu.Unlock()
	k.node = node // what a former one has left calls the service already
}

// called is the service: it answers with what it was sent.
func (k *chainKill) called(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the node is dead already
	}
	k.mu.Lock()
	k.clock++
	c := k.keys[r.Header.Get("Idempotency-Key")]
	if c == nil {
		c = &killCalls{begun: k.clock, body: string(body)}
		k.keys[r.Header.Get("Idempotency-Key")] = c
	}
	c.calls++
	if c.body != string(body) {
		k.t.Errorf("key %s carries %s and %s", r.Header.Get("Idempotency-Key"), c.body, body)
	}
	k.left--
	kill, before := k.left == 0, k.before
	node := k.node
	k.mu.Unlock()
	if kill && before {
		_ = node.cmd.Process.Signal(syscall.SIGKILL)
	}
	_, _ = w.Write(body)
	_ = http.NewResponseController(w).Flush() // the node may be dead
	k.mu.Lock()
	k.clock++
	if c.answered == 0 {
		c.answered = k.clock
	}
	k.mu.Unlock()
	if kill && !before {
		_ = node.cmd.Process.Signal(syscall.SIGKILL)
	}
}

// round runs the node until it is killed.
func (k *chainKill) round() {
	k.mu.Lock()
	k.left, k.before = 1+k.rng.IntN(killClients*killChains), k.rng.IntN(2) == 0
	k.mu.Unlock()
	k.start()
	var clients sync.WaitGroup
	for range killClients {
		first, most := k.made, 1+k.rng.IntN(killChains)
		k.made += most
		clients.Go(func() { k.submit(first, most) })
	}
	clients.Wait()
	// What is left of the calls may be more than there is to do: then the kill comes when everything is at rest.
	over := make(chan struct{})
	go func() { defer close(over); _ = k.node.cmd.Wait() }()
	select {
	case <-over:
	case <-time.After(20 * time.Millisecond):
		_ = k.node.cmd.Process.Signal(syscall.SIGKILL)
		<-over
	}
}

// submit sends chains until the node does not answer.
func (k *chainKill) submit(first, most int) {
	client := &http.Client{Timeout: patience, Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for number := first; number < first+most; number++ {
		w := k.work(number)
		response, err := client.Post("http://"+k.node.internal+"/work", "application/json", bytes.NewReader(chain.AppendWork(nil, &w)))
		if err != nil {
			return
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			return
		}
		if response.StatusCode != http.StatusAccepted {
			k.t.Errorf("chain %d: %d %s", number, response.StatusCode, body)
			return
		}
		k.mu.Lock()
		k.accepted[w.Hash] = len(w.Items)
		k.mu.Unlock()
	}
}

// work is a chain of two or three steps, each of which uses the answer of the one before.
func (k *chainKill) work(number int) (w chain.Work) {
	for order := range 2 + number%2 {
		payload := fmt.Sprintf("%d.%d", number, order)
		if order > 0 {
			payload = fmt.Sprintf("${%d.data}>", order-1) + payload
		}
		w.Items = append(w.Items, chain.Item{Order: order, Request: chain.Request{URL: k.url, Endpoint: "/step", Type: chain.TypeHTTP, Method: "POST", Payload: payload}})
	}
	w.Seal()
	return w
}

// finish waits for every chain and judges.
func (k *chainKill) finish() {
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	get := func(path string, out any) {
		k.t.Helper()
		response, err := client.Get("http://" + k.node.internal + path)
		if err != nil {
			k.t.Fatal(err)
		}
		defer response.Body.Close()
		if err := json.NewDecoder(response.Body).Decode(out); err != nil {
			k.t.Fatal(path, response.Status, err)
		}
	}
	for hash, steps := range k.accepted {
		var s chain.Status
		if get("/work/"+hash+"?wait=30", &s); s.State != chain.Completed || len(s.Items) != steps {
			k.lost++
			k.t.Errorf("chain %s is %s: %+v", hash, s.State, s.Items)
			continue
		}
		k.judge(&s)
	}
	k.news(get)
}

// judge holds a completed chain against the calls.
func (k *chainKill) judge(s *chain.Status) {
	k.mu.Lock()
	defer k.mu.Unlock()
	answer := ""
	for i, item := range s.Items {
		c := k.keys[fmt.Sprintf("%s-%d", s.Hash, i)]
		switch {
		case c == nil || c.answered == 0:
			k.t.Errorf("step %d of %s was never called", i, s.Hash)
			return
		case item.Response == nil || item.Response.Data != c.body || !strings.HasPrefix(c.body, answer):
			k.t.Errorf("step %d of %s sent %s and was answered %+v", i, s.Hash, c.body, item.Response)
		case i > 0 && c.begun < k.keys[fmt.Sprintf("%s-%d", s.Hash, i-1)].answered:
			k.t.Errorf("step %d of %s began before the one before it was answered", i, s.Hash)
		}
		answer = c.body + ">"
		k.repeated += c.calls - 1
	}
}

// news takes all completion messages: one for each chain. They come behind the ends of the chains.
func (k *chainKill) news(get func(string, any)) {
	seen := map[string]int{}
	for deadline := time.Now().Add(patience); ; {
		var page struct {
			Completions []struct {
				Message struct {
					Completion struct{ Hash string } `json:"completion_message"`
				}
			}
		}
		get("/completions?max=100&wait=1", &page)
		if len(page.Completions) == 0 && (k.all(seen) || time.Now().After(deadline)) {
			break
		}
		for _, c := range page.Completions {
			seen[c.Message.Completion.Hash]++
		}
	}
	for hash := range k.accepted {
		if seen[hash] != 1 {
			k.wrongNews++
			k.t.Errorf("chain %s has %d completion messages", hash, seen[hash])
		}
	}
}

// all says whether every accepted chain is among those seen.
func (k *chainKill) all(seen map[string]int) bool {
	for hash := range k.accepted {
		if seen[hash] == 0 {
			return false
		}
	}
	return true
}
