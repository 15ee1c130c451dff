package client

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"gosper/protocol"
)

// writeTimeout bounds one write: a server that takes nothing for so long is gone.
const writeTimeout = 15 * time.Second

// missedHeartbeats is how many heartbeats may pass without a byte from the server.
const missedHeartbeats = 3

// link is one connection, from its handshake to its end. Its read loop runs on one goroutine of its own.
type link struct {
	// Static after construction.
	line   bool
	conn   net.Conn
	client *Client
	dead   chan struct{} // closed when the read loop has ended; err is set then
	ok     chan struct{} // 00000000OK of the line door
	away   atomic.Bool   // the next OK ends an absence: a gap is announced before what follows it

	// Owned by the read loop.
	first []byte // bytes that came with the handshake
	ws    protocol.Assembler
	bye   *CloseError // what the server said before it closed

	wmu sync.Mutex // serialises writes

	// Guarded by mu.
	mu      sync.Mutex
	next    int64
	pending map[int64]chan protocol.Envelope
	err     error
}

// connect makes a link and starts its read loop.
func (c *Client) connect(ctx context.Context) (*link, error) {
	conn, err := c.opts.Dial(ctx, "tcp", c.target.addr)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	conn, first, err := c.target.handshake(ctx, conn, c.opts.Origin)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	l := &link{line: c.target.line, conn: conn, client: c, first: first, dead: make(chan struct{}), ok: make(chan struct{}, 1),
		pending: map[int64]chan protocol.Envelope{}, ws: protocol.Assembler{Max: c.opts.MaxMessage}}
	go l.run()
	return l, nil
}

// run is the read loop, with the heartbeat beside it.
func (l *link) run() {
	stop := context.AfterFunc(l.client.ctx, l.goodbye)
	beating := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(beating)
		l.beat(ended)
	}()
	err := l.read()
	close(ended)
	l.conn.Close() // wakes a heartbeat that waits in a write
	<-beating
	stop()
	l.end(err)
}

// beat sends pings until ended is closed.
func (l *link) beat(ended <-chan struct{}) {
	t := time.NewTicker(l.client.opts.Heartbeat)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			l.write(l.ping())
		case <-ended:
			return
		}
	}
}

// read takes messages until the link breaks.
func (l *link) read() error {
	buf := append(make([]byte, 0, 4096), l.first...)
	for {
		n, err := l.cut(buf)
		if err != nil {
			return err
		}
		buf = append(buf[:0], buf[n:]...)
		if cap(buf)-len(buf) < 2048 {
			buf = append(make([]byte, 0, 2*cap(buf)), buf...)
		}
		_ = l.conn.SetReadDeadline(time.Now().Add(missedHeartbeats * l.client.opts.Heartbeat))
		m, err := l.conn.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+m]
		if err != nil && m == 0 {
			return err
		}
	}
}

// cut handles every whole message in buf and returns how many bytes they were.
func (l *link) cut(buf []byte) (used int, err error) {
	for {
		n, err := 0, error(nil)
		if l.line {
			n, err = l.cutLine(buf[used:])
		} else {
			n, err = l.cutFrame(buf[used:])
		}
		if n == 0 || err != nil {
			return used, err
		}
		used += n
	}
}

func (l *link) cutLine(buf []byte) (int, error) {
	cmd, payload, n, err := protocol.CutLine(buf, l.client.opts.MaxMessage)
	if err != nil || n == 0 {
		return 0, err
	}
	switch cmd {
	case protocol.CmdOK:
		if l.away.Swap(false) {
			l.client.gap(Gap{Reason: "the line was away"})
		}
		select {
		case l.ok <- struct{}{}:
		default:
		}
	case protocol.CmdReply, protocol.CmdPush:
		return n, l.envelope(payload)
	case protocol.CmdGrid, protocol.CmdDelta:
		return n, l.client.gridLine(payload, cmd == protocol.CmdGrid)
	case protocol.CmdPublic, protocol.CmdFamily:
		return n, l.chatLine(cmd, payload)
	case protocol.CmdClose:
		code, reason, err := protocol.ParseCloseLine(payload)
		if err != nil {
			return n, err
		}
		l.bye = &CloseError{code, reason}
	}
	return n, nil
}

// chatLine gives a chat line of the line door the form of the websocket's push.
func (l *link) chatLine(cmd protocol.Command, payload []byte) error {
	name, text, err := protocol.ParseChatLine(payload)
	if err != nil {
		return err
	}
	p := Push{Route: protocol.RouteChatPublic, Content: protocol.AppendChat(nil, name, text, time.Now().UnixMilli())}
	if cmd == protocol.CmdFamily {
		p.Route = protocol.RouteChatFamily
	}
	l.client.push(p)
	return nil
}

func (l *link) cutFrame(buf []byte) (int, error) {
	ev, n, err := l.ws.Next(buf)
	if err != nil || n == 0 || !ev.Complete {
		return n, err
	}
	switch ev.Op {
	case protocol.OpText:
		return n, l.envelope(ev.Payload)
	case protocol.OpBinary:
		return n, l.client.frame(ev.Payload)
	case protocol.OpPing:
		l.write(protocol.AppendMaskedFrame(nil, protocol.OpPong, newMask(), ev.Payload))
	case protocol.OpClose:
		code, reason, err := protocol.ParseClose(ev.Payload)
		if err != nil {
			return n, err
		}
		l.bye = &CloseError{code, reason}
		l.write(protocol.AppendMaskedFrame(nil, protocol.OpClose, newMask(), ev.Payload))
		return n, io.EOF
	}
	return n, nil
}

// envelope handles a reply or a push.
func (l *link) envelope(b []byte) error {
	e, err := protocol.ParseEnvelope(b)
	if err != nil {
		return err
	}
	e.Content = append([]byte(nil), e.Content...)
	if id, ok := e.MsgID.Int(); ok {
		l.mu.Lock()
		answer := l.pending[id]
		delete(l.pending, id)
		l.mu.Unlock()
		// Positions count from here on: before the next push is looked at.
		if e.Status == protocol.StatusOK {
			l.client.learn(e.Content)
		}
		if answer != nil {
			answer <- e
		}
		return nil
	}
	if e.Route != protocol.RouteWelcome && e.Status == protocol.StatusOK {
		l.client.push(Push{Route: e.Route, Content: json.RawMessage(e.Content), Position: e.Position})
	}
	return nil
}

// end fails what waits for answers.
func (l *link) end(err error) {
	if l.bye != nil {
		err = l.bye
	}
	if err == nil {
		err = io.EOF
	}
	l.mu.Lock()
	l.err = err
	l.pending = nil
	l.mu.Unlock()
	close(l.dead)
}

func (l *link) cause() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// call sends a request and waits for its reply.
func (l *link) call(ctx context.Context, route string, content []byte) (protocol.Envelope, error) {
	answer := make(chan protocol.Envelope, 1)
	l.mu.Lock()
	if l.pending == nil {
		l.mu.Unlock()
		return protocol.Envelope{}, ErrDisconnected
	}
	l.next++
	id := l.next
	l.pending[id] = answer
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.pending, id)
		l.mu.Unlock()
	}()
	l.write(l.request(route, id, content))
	select {
	case e := <-answer:
		return e, nil
	case <-ctx.Done():
		return protocol.Envelope{}, ctx.Err()
	case <-l.dead:
	}
	select { // the answer may have been the last thing that came
	case e := <-answer:
		return e, nil
	default:
	}
	return protocol.Envelope{}, fmt.Errorf("%w: %w", ErrDisconnected, l.cause())
}

func (l *link) request(route string, id int64, content []byte) []byte {
	if l.line {
		return protocol.AppendCallLine(nil, route, protocol.NewMsgID(id), "", content)
	}
	return protocol.AppendMaskedFrame(nil, protocol.OpText, newMask(), protocol.AppendRequest(nil, route, protocol.NewMsgID(id), "", content))
}

// registerLine opens a line session. The line door answers a bad nonce by closing.
func (l *link) registerLine(ctx context.Context, nonce string) error {
	if err := checkLineText(nonce); err != nil {
		return err
	}
	l.write(protocol.AppendLine(nil, protocol.CmdRegister, []byte(nonce)))
	select {
	case <-l.ok:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-l.dead:
	}
	select { // the OK may have come right before the end
	case <-l.ok:
		return nil
	default:
		return fmt.Errorf("%w: %w", ErrRefused, l.cause())
	}
}

// write sends b whole. An error closes the connection, which the read loop notices: so callers need not look.
func (l *link) write(b []byte) {
	l.wmu.Lock()
	defer l.wmu.Unlock()
	_ = l.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := l.conn.Write(b); err != nil {
		l.conn.Close()
	}
}

func (l *link) ping() []byte {
	if l.line {
		return protocol.AppendLine(nil, protocol.CmdPing)
	}
	return protocol.AppendMaskedFrame(nil, protocol.OpPing, newMask(), nil)
}

// goodbye ends the link from this side.
func (l *link) goodbye() {
	if l.line {
		l.write(protocol.AppendLine(nil, protocol.CmdExit))
	} else {
		var code [2]byte
		code[0], code[1] = byte(protocol.CloseNormal>>8), byte(protocol.CloseNormal&0xff)
		l.write(protocol.AppendMaskedFrame(nil, protocol.OpClose, newMask(), code[:]))
	}
	l.conn.Close()
}

var errLineEnd = errors.New("a line cannot hold CR or LF")

func checkLineText(s string) error {
	for _, c := range []byte(s) {
		if c == '\r' || c == '\n' {
			return errLineEnd
		}
	}
	return nil
}

// newMask draws a mask nobody can foresee, as RFC 6455 wants it.
func newMask() (m [4]byte) {
	_, _ = rand.Read(m[:]) // never fails
	return m
}
