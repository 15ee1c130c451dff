package e2e

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"gosper/protocol"
)

// bigEpoch does not fit a JavaScript number: it must come back digit by digit.
const bigEpoch = math.MaxUint64 - 2

// Goal: replies find their calls in any order, and a refused call says why. Method: two calls answered the other way
// round, one refusal, one call that is never answered, one that outlives its link, one without a link.
func TestCalls(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	p := s.open(`{callTimeout: 60000}`)
	p.eval(`
		window.outcome = {};
		window.attempt = (name, route, options) => node.call(route, {}, options)
			.then((content) => { outcome[name] = content.is; }, (error) => { outcome[name] = [error.status, error.message, error.data]; });
		await attempt('early', '/a');
		node.open();`, nil)
	l := s.next()
	p.eval(`await node.ready(); attempt('a', '/a'); attempt('b', '/b'); attempt('c', '/c'); attempt('d', '/d', {timeout: 50}); attempt('e', '/e')`, nil)
	a, b, c := l.expect("/a"), l.expect("/b"), l.expect("/c")
	l.expect("/d")
	l.expect("/e")
	l.reply(b, `{"is":"second"}`)
	l.reply(a, `{"is":"first"}`)
	l.send(fmt.Sprintf(`{"room":"main","route":"/c","msgId":%d,"status":1001,"message":"No such thing","content":{"data":"detail"}}`, c.MsgID))
	p.until(`outcome.d !== undefined`)
	l.end()
	p.until(`outcome.e !== undefined`)
	var got map[string]any
	p.eval(`node.close(); return outcome`, &got)
	want := map[string]string{
		"early": "[offline There is no connection just now. <nil>]",
		"a":     "first", "b": "second",
		"c": "[1001 No such thing detail]",
		"d": "[timeout The server did not answer in time. <nil>]",
		"e": "[lost The connection broke before the answer came. <nil>]",
	}
	for name, outcome := range want {
		if fmt.Sprint(got[name]) != outcome {
			t.Errorf("call %s: %v, want %s", name, got[name], outcome)
		}
	}
}

// Goal: after a broken link the page resumes where it was, and every push is handed out once, in order. Method: the
// link breaks twice; the script repeats the last push, sends what was missed before the reply and the next after it.
func TestResume(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	p := s.open(`{}`)
	p.eval(`node.open()`, nil)
	l := s.next()
	p.until(`node.state === 'open'`)
	l.login(p, bigEpoch, 5)
	l.push(bigEpoch, 6)
	l.push(bigEpoch, 7)
	p.until(`seen.includes('push 7')`)
	l.end()

	l = s.next()
	r := l.expect("/session/resume")
	want := fmt.Sprintf(`{"token":"token-1","positions":[{"subject":"chat.0.public","epoch":%d,"offset":7}]}`, uint64(bigEpoch))
	if string(r.Content) != want {
		t.Errorf("resume sent %s, want %s", r.Content, want)
	}
	l.push(bigEpoch, 7)
	l.push(bigEpoch, 8)
	l.end() // breaks before the reply: 8 was held back, so the next resume must ask for it again

	l = s.next()
	if r = l.expect("/session/resume"); string(r.Content) != want {
		t.Errorf("second resume sent %s, want %s", r.Content, want)
	}
	l.push(bigEpoch, 8)
	l.reply(r, fmt.Sprintf(`{"session":"token-2","subjects":[{"subject":"chat.0.public","epoch":%d,"offset":8,"recovered":true}]}`, uint64(bigEpoch)))
	l.push(bigEpoch, 9)
	p.until(`seen.includes('push 9')`)
	got := events(p)
	wantEvents := "state connecting, state open, session token-1, push 6, push 7, state waiting, state connecting, state waiting, " +
		"state connecting, session token-2, state open, push 8, resumed, push 9"
	if got != wantEvents {
		t.Errorf("events\n got %s\nwant %s", got, wantEvents)
	}
}

// Goal: a hole that the node cannot fill is announced before anything behind it is shown. Method: recovered:false with
// a new epoch, whose first push overtakes the reply.
func TestGap(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	p := s.open(`{}`)
	p.eval(`node.open()`, nil)
	l := s.next()
	p.until(`node.state === 'open'`)
	l.login(p, 1, 5)
	l.end()

	l = s.next()
	r := l.expect("/session/resume")
	l.push(2, 4)
	l.reply(r, `{"subjects":[{"subject":"chat.0.public","epoch":2,"offset":3,"recovered":false}]}`)
	p.until(`seen.includes('push 4')`)
	if got := events(p); !strings.HasSuffix(got, "state open, gap chat.0.public, push 4, resumed") {
		t.Errorf("events: %s", got)
	}
}

// Goal: a token that the node refuses is forgotten, while a passing trouble is tried again with the same token. Method:
// status 1300 (busy), then 1006 (expired).
func TestRefusedSession(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	p := s.open(`{session: 'old-token'}`)
	p.eval(`node.open()`, nil)
	l := s.next()
	l.refuse(l.expect("/session/resume"), int(protocol.StatusBusy), "busy")
	l = s.next()
	l.refuse(l.expect("/session/resume"), int(protocol.StatusExpired), "expired")
	p.until(`node.state === 'open'`)
	if got := events(p); !strings.HasSuffix(got, "session , state open") {
		t.Errorf("events: %s", got)
	}
}

// Goal: the page's table of close codes is the protocol's, and the connection keeps to it. Method: compare the tables,
// then end links with a code that says stay away and one that says come back.
func TestCloseCodes(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	p := s.open(`{}`)
	var table map[uint16]struct {
		Name      string
		Reconnect bool
	}
	p.eval(`return m.CLOSE_CODES`, &table)
	codes := protocol.CloseCodes()
	if len(table) != len(codes) {
		t.Errorf("the page knows %d close codes, the protocol %d", len(table), len(codes))
	}
	for _, info := range codes {
		if got := table[uint16(info.Code)]; got.Name != info.Name || got.Reconnect != info.Reconnect {
			t.Errorf("close code %d: page %+v, protocol %+v", info.Code, got, info)
		}
	}

	p.eval(`node.open()`, nil)
	l := s.next()
	p.until(`node.state === 'open'`)
	_ = l.conn.Close(websocket.StatusCode(protocol.CloseRestart), "restart")
	l = s.next()
	p.until(`node.state === 'open'`)
	_ = l.conn.Close(websocket.StatusCode(protocol.CloseReplaced), "replaced")
	p.until(`node.state === 'closed'`)
	p.eval(`node.open()`, nil) // the player asks for it
	s.next()
	p.until(`node.state === 'open'`)
}

// Goal: a link that died without a word is found out. Method: the browser reports that the network is back, the
// script never answers the trial call.
func TestSilentLink(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	p := s.open(`{}`)
	p.eval(`node.open()`, nil)
	l := s.next()
	p.eval(`await node.ready(); dispatchEvent(new Event('online'))`, nil)
	l.expect("/user/clientCode")
	s.next()
	p.until(`node.state === 'open'`)
}

// Goal: the back-off grows, ends, and spreads. Method: its formula at both ends of the random range.
func TestBackoff(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	p := s.open(`{}`)
	var got [][2]float64
	p.eval(`return [0, 1, 5, 6, 1000].map((n) => [m.backoff(n, () => 0), m.backoff(n, () => 1)])`, &got)
	want := [][2]float64{{125, 250}, {250, 500}, {4000, 8000}, {7500, 15000}, {7500, 15000}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("backoff: %v, want %v", got, want)
	}
}

// Goal: a feed shows every line once, in order, and knows what became of our own. Method: lines in random order with
// doubles; pending lines through a broken link with and without recovery.
func TestFeed(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	p := s.open(`{}`)
	var got struct {
		Sorted  bool
		Length  int
		Trimmed int
		Resend  []string
		Left    []string
		Waiting []string
	}
	p.eval(`
		const { Feed } = await import('/feed.js');
		const line = (offset, text = 'x') => ({ name: 'Ada', text, time: 1, epoch: '7', offset });
		const feed = new Feed();
		const order = [];
		for (let n = 1; n <= 400; n++) order.push(n, n);
		for (let n = order.length - 1; n > 0; n--) {
			const other = Math.floor(Math.random() * (n + 1));
			[order[n], order[other]] = [order[other], order[n]];
		}
		for (const offset of order) feed.add(line(offset));
		const sorted = feed.lines.every((l, n) => l.offset === n + 1);
		for (let n = 401; n <= 510; n++) feed.add(line(n));
		const trimmed = feed.trim();

		const own = new Feed();
		const arrived = own.write('arrived'), lost = own.write('lost'), queued = own.write('queued'), answered = own.write('answered');
		arrived.state = lost.state = 'unsure';
		own.add(line(1, 'arrived'));
		own.recognise(line(1, 'arrived'));
		own.accept(answered, { epoch: '7', offset: 2 });
		const waiting = own.pending.map(({ text }) => text);
		own.add(line(2, 'answered'));
		own.settle();
		const resend = own.resumed(true).map(({ text }) => text);
		const doubt = own.write('doubt');
		doubt.state = 'unsure';
		own.drop(queued);
		own.drop(lost);
		return { sorted, length: feed.lines.length, trimmed, resend, waiting, left: own.resumed(false).map(({ text }) => text) };`, &got)
	if !got.Sorted || got.Length != 500 || got.Trimmed != 10 {
		t.Errorf("feed: sorted %v, %d lines, %d trimmed", got.Sorted, got.Length, got.Trimmed)
	}
	if fmt.Sprint(got.Waiting, got.Resend, got.Left) != "[lost queued answered] [lost queued] []" {
		t.Errorf("pending: waiting %v, resend %v, left %v", got.Waiting, got.Resend, got.Left)
	}
}
