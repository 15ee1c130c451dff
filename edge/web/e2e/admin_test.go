package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"gosper/broker/chain"
)

// request sends a request to the internal port and returns the answer's body.
func (s *server) request(method, path, body string) string {
	s.t.Helper()
	request, err := http.NewRequest(method, "http://"+s.internal+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode >= 300 {
		s.t.Fatalf("%s %s: %d %s %v", method, path, answer.StatusCode, b, err)
	}
	return string(b)
}

// serveWork starts a service that chains may call, and returns its URL and the flags of a node that allows it.
func serveWork(t *testing.T, handler http.HandlerFunc) (url string, flags []string) {
	t.Helper()
	service := httptest.NewServer(handler)
	t.Cleanup(service.Close)
	dir := t.TempDir()
	table := fmt.Sprintf(`{"services":{%q:{"private":true}}}`, service.URL)
	if err := os.WriteFile(filepath.Join(dir, "services.json"), []byte(table), 0o600); err != nil {
		t.Fatal(err)
	}
	return service.URL, []string{"--config-dir", dir}
}

// work returns a work message of one call to each endpoint, in this order, and its hash.
func work(url string, endpoints ...string) (message, hash string) {
	w := chain.Work{}
	for i, endpoint := range endpoints {
		w.Items = append(w.Items, chain.Item{Order: i + 1, Request: chain.Request{URL: url, Endpoint: endpoint, Type: chain.TypeHTTP, Method: "POST", Payload: `{"customer":7}`}})
	}
	w.Seal()
	return string(chain.AppendWork(nil, &w)), w.Hash
}

// Goal: a browser hears of a chain as from the reference: the list, then the chain; and of a lock. Method: a page of the public
// port with a token in the subprotocol, a chain whose only call fails and which is resumed, a lock.
func TestEventsInBrowser(t *testing.T) {
	url, flags := serveWork(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	s := newServer(t, flags...)
	var issued struct{ Token string }
	answer, err := http.Post("http://"+s.internal+"/issue_token", "application/x-www-form-urlencoded", strings.NewReader("uid=ann"))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(&issued); err != nil {
		t.Fatal(err)
	}
	p := newPage(t)
	p.run(chromedp.Navigate(s.url()))
	p.eval(`
		window.heard = [];
		window.socket = new WebSocket(location.origin.replace('http', 'ws') + '/api/ws/events', ['base64.bearer.token', `+quote(issued.Token)+`]);
		socket.onmessage = (message) => heard.push(message.data);
		await new Promise((open, fail) => { socket.onopen = open; socket.onerror = fail; });
		socket.send('__ping__');`, nil)
	p.until(`heard.includes('__pong__')`)
	p.eval(`if (socket.protocol !== 'base64.bearer.token') throw new Error(socket.protocol); heard.length = 0`, nil)
	message, hash := work(url, "/orders/api/stock/reserve")
	s.request("POST", "/work", message)
	s.request("GET", "/work/"+hash+"?wait=20", "")
	p.until(`heard.some((text) => text.includes(` + quote(hash) + `))`)
	var heard []string
	p.eval(`return heard`, &heard)
	list, itself := `{"name":"invalidateCache","value":{"type":"processes","id":"LIST"}}`, fmt.Sprintf(`{"name":"invalidateCache","value":{"type":"processes","id":%q}}`, hash)
	if len(heard) < 2 || heard[0] != list || heard[1] != itself {
		t.Errorf("heard %q, want the list and then the chain", heard)
	}
	p.eval(`heard.length = 0`, nil)
	s.request("PUT", "/api/settings/status", `{"global_lock":true}`)
	p.until(`heard.includes('{"name":"invalidateCache","value":{"type":"engineStatus"}}')`)
}

// life has a player with a game and a building under construction, and chains that end well, fail, and wait.
func (s *server) life(t *testing.T, url string) {
	t.Helper()
	ada := s.guest("Ada", "")
	ada.create("Evening pond", map[string]string{"width": "160", "height": "120", "interval": "100"})
	ada.eval(`
		const { ask, id } = await import('/play.js');
		await ask('/building/upgrade', { body_id: id + '/0', kind: 'shipyard', x: 40, y: 40 });`, nil)
	for _, chains := range [][]string{{"/orders/api/cart/close"}, {"/orders/api/cart/close", "/stock/api/shelf/take", "/post/api/parcel/send"},
		{"/stock/api/shelf/take", "/stock/api/shelf/no"}} {
		message, hash := work(url, chains...)
		s.request("POST", "/work", message)
		s.request("GET", "/work/"+hash+"?wait=20", "")
	}
}

// Goal: the operator's page shows what the node does, live, and moves it: a chain that comes and fails appears without a
// reload, its steps open, the engine is locked and unlocked, a tube is paused. Method: the page of a node without a token, by
// mouse and keyboard; then one with a token, which the page asks for.
func TestOperatorPage(t *testing.T) {
	url, flags := serveWork(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/no") {
			w.WriteHeader(http.StatusTeapot)
		}
		fmt.Fprint(w, `{"reserved":true}`)
	})
	s := newServer(t, flags...)
	p := newPage(t)
	p.view(1280, 900, "light")
	p.run(chromedp.Navigate("http://" + s.internal + "/admin"))
	p.until(`document.querySelector('#live').dataset.state === 'live'`)
	p.until(`document.querySelector('#engine').textContent.startsWith('running')`)
	s.life(t, url)
	_, failed := work(url, "/stock/api/shelf/take", "/stock/api/shelf/no")
	p.until(`document.querySelector('#chains').innerText.includes(` + quote(failed[:12]) + `)`)
	row := fmt.Sprintf(`[...document.querySelectorAll('#chains tbody tr')].find((r) => r.cells[0].title === %q)`, failed)
	p.until(row + `.cells[1].textContent === 'failed'`)
	p.eval(row+`.querySelector('button').focus(); document.activeElement.click()`, nil)
	p.until(row + `.nextSibling.innerText.includes('shelf/no')`)
	p.until(`document.activeElement.textContent === 'Hide'`) // what has focus is not drawn anew
	for _, table := range []string{"tubes", "timers", "games"} {
		p.until(`document.querySelectorAll('#` + table + ` tbody tr:not(.none)').length > 0`)
	}
	p.until(`document.querySelector('.tile dd').textContent !== '–'`)
	p.until(`[...document.querySelectorAll('.tile')].every((t) => t.querySelector('dd').textContent !== '–' && t.querySelector('.line').getAttribute('d'))`)
	p.click(`#lock`)
	p.until(`document.querySelector('#lock').getAttribute('aria-checked') === 'true' && document.querySelector('#engine').textContent.startsWith('paused')`)
	if got := s.request("GET", "/api/settings/status", ""); !strings.Contains(got, `"global_lock":true`) {
		t.Error(got)
	}
	p.click(`#lock`)
	p.until(`document.querySelector('#lock').getAttribute('aria-checked') === 'false'`)
	p.eval(`[...document.querySelectorAll('#tubes button')].find((b) => b.textContent === 'Pause').click()`, nil)
	p.until(`document.querySelector('#tubes').innerText.includes('Go on')`)
	p.eval(`[...document.querySelectorAll('#tubes button')].find((b) => b.textContent === 'Go on').click()`, nil)
	p.eval(`const s = document.querySelector('#state'); s.value = 'failed'; s.dispatchEvent(new Event('change'))`, nil)
	p.until(`[...document.querySelectorAll('#chains tbody tr:not(.steps, .none)')].every((r) => r.cells[1].textContent === 'failed')`)
	p.eval(`const s = document.querySelector('#state'); s.value = ''; s.dispatchEvent(new Event('change'))`, nil)
	p.until(`document.querySelector('#chains').innerText.includes('completed')`)
	if os.Getenv("GOSPER_SCREENSHOTS") == "1" {
		p.until(`document.querySelector('.tile .line').getAttribute('d').split('L').length > 8`)
		p.shoot("../screenshots/operator.png")
	}
	p.view(390, 844, "dark")
	var wide bool
	p.eval(`return document.documentElement.scrollWidth > document.documentElement.clientWidth`, &wide)
	if wide {
		t.Error("the page is wider than a phone")
	}
}

// Goal: with a token the page shows nothing before it has it, says when it is wrong, and is live with the right one. Method: a
// node with a token.
func TestOperatorPageWithToken(t *testing.T) {
	const token = "operators-only-2026"
	t.Setenv("GOSPER_INTERNAL_TOKEN", token)
	s := newServer(t)
	p := newPage(t, "401")
	p.run(chromedp.Navigate("http://" + s.internal + "/admin"))
	p.until(`!document.querySelector('#ask').hidden`)
	p.set(`#token`, "wrong")
	p.click(`#ask button`)
	p.until(`document.querySelector('#trouble').textContent.includes('not the right one')`)
	p.set(`#token`, token)
	p.click(`#ask button`)
	p.until(`document.querySelector('#live').dataset.state === 'live' && document.querySelector('#ask').hidden`)
	p.run(chromedp.Reload())
	p.until(`document.querySelector('#live').dataset.state === 'live' && document.querySelector('#ask').hidden`)
}
