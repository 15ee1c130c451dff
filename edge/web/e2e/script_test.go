package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/coder/websocket"

	"gosper/edge/web"
)

// script is a node whose side of the talk a test plays by hand, so that it can do what a real one does only once in a
// blue moon. It serves the files of the page and an empty page at /blank.
type script struct {
	t     *testing.T
	url   string
	links chan *link
}

// link is one websocket that reached the script.
type link struct {
	t    *testing.T
	ctx  context.Context
	conn *websocket.Conn
	done chan struct{}
}

// request is what the page sends.
type request struct {
	Route   string          `json:"route"`
	MsgID   int             `json:"msgId"`
	Content json.RawMessage `json:"content"`
}

func newScript(t *testing.T) *script {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*patience) // of all links of the test
	s := &script{t: t, links: make(chan *link)}
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServerFS(web.FS))
	mux.HandleFunc("/blank", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, `<!doctype html><link rel="icon" href="/icon.svg"><title>blank</title>`)
	})
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		l := &link{t: t, ctx: ctx, conn: conn, done: make(chan struct{})}
		select {
		case s.links <- l:
			<-l.done
		case <-ctx.Done():
			_ = conn.CloseNow()
		}
	})
	server := httptest.NewServer(mux)
	s.url = server.URL
	t.Cleanup(func() {
		cancel()
		server.CloseClientConnections()
		server.Close()
	})
	return s
}

// open opens the empty page with the module in `m`, and a connection in `node` whose events pile up in `seen`. The
// connection is not opened yet.
func (s *script) open(options string, allowed ...string) *page {
	s.t.Helper()
	p := newPage(s.t, allowed...)
	p.run(chromedp.Navigate(s.url + "/blank"))
	p.eval(`
		window.m = await import('/gosper.js');
		window.seen = [];
		window.node = new m.Connection(`+options+`);
		for (const event of ['state', 'push', 'session', 'resumed', 'gap'])
			node.on(event, (detail) => seen.push(event === 'push' ? 'push ' + detail.content.text
				: event === 'state' ? 'state ' + detail.state : event === 'gap' ? 'gap ' + detail.subject
				: event === 'session' ? 'session ' + detail.token : event));`, nil)
	return p
}

// next waits for the next link and welcomes it.
func (s *script) next() *link {
	s.t.Helper()
	select {
	case l := <-s.links:
		s.t.Cleanup(l.end)
		l.send(`{"room":"main","route":"/welcome","status":0,"message":"OK","content":{}}`)
		return l
	case <-time.After(patience):
		s.t.Fatal("the page did not dial")
		return nil
	}
}

// end lets the link go without a close frame, as a cut cable would.
func (l *link) end() {
	select {
	case <-l.done:
	default:
		close(l.done)
		_ = l.conn.CloseNow()
	}
}

func (l *link) send(text string) {
	l.t.Helper()
	if err := l.conn.Write(l.ctx, websocket.MessageText, []byte(text)); err != nil {
		l.t.Fatalf("send: %v", err)
	}
}

// expect reads the next request, which must have this route.
func (l *link) expect(route string) request {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.ctx, patience)
	defer cancel()
	_, data, err := l.conn.Read(ctx)
	if err != nil {
		l.t.Fatalf("waiting for %s: %v", route, err)
	}
	var r request
	if err := json.Unmarshal(data, &r); err != nil || r.Route != route {
		l.t.Fatalf("got %s (%v), want a call of %s", data, err, route)
	}
	return r
}

func (l *link) reply(r request, content string) {
	l.t.Helper()
	l.send(fmt.Sprintf(`{"room":"main","route":%q,"msgId":%d,"status":0,"message":"OK","content":%s}`, r.Route, r.MsgID, content))
}

func (l *link) refuse(r request, status int, message string) {
	l.t.Helper()
	l.send(fmt.Sprintf(`{"room":"main","route":%q,"msgId":%d,"status":%d,"message":%q,"content":{"data":null}}`, r.Route, r.MsgID, status, message))
}

// push sends a chat push of chat.0.public.
func (l *link) push(epoch, offset uint64) {
	l.t.Helper()
	l.send(fmt.Sprintf(`{"room":"main","route":"/chat/public","status":0,"message":"OK","content":{"name":"Ada","text":"%d","time":1},`+
		`"position":{"subject":"chat.0.public","epoch":%d,"offset":%d}}`, offset, epoch, offset))
}

// login answers one call of /user/enterWorld that the page is made to send.
func (l *link) login(p *page, epoch, offset uint64) {
	l.t.Helper()
	p.eval(`node.call('/user/enterWorld', {world: '0', name: 'Ada'})`, nil)
	l.reply(l.expect("/user/enterWorld"), fmt.Sprintf(
		`{"session":"token-1","subjects":[{"subject":"chat.0.public","epoch":%d,"offset":%d,"recovered":true}]}`, epoch, offset))
	p.until(`node.session === 'token-1'`)
}

// events returns what the page's connection said, one word each.
func events(p *page) string {
	p.t.Helper()
	var seen []string
	p.eval(`return seen`, &seen)
	return strings.Join(seen, ", ")
}
