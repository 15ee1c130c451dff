package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"gosper/broker"
	"gosper/protocol"
)

// eventsGreeting upgrades to a websocket of the events door.
type eventsGreeting struct {
	webGreeting
	query string
}

func (g *eventsGreeting) advance(in []byte) (int, []byte, bool, error) {
	if g.step == 0 {
		g.step++
		return 0, fmt.Appendf(nil, "GET /api/ws/events?%s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n", g.query, g.host, handshakeKey), false, nil
	}
	return g.upgraded(in)
}

// eventFan listens as browsers do, from a position on, and publishes as a service does.
func eventFan(s *node, since broker.Position) fanProtocol {
	query := fmt.Sprintf("types=%s&since=%d.%d", eventsType, since.Epoch, since.Offset)
	return fanProtocol{
		name:     "events",
		greet:    func(int) greeter { return &eventsGreeting{webGreeting{host: s.web}, query} },
		cut:      cutWeb(func(p []byte) bool { return bytes.Contains(p, []byte(fanMark)) }),
		answer:   pongs,
		pubAddr:  s.internal,
		pubGreet: func(int) greeter { return noGreeting{} },
		publish: func(dst, text []byte) []byte {
			body := fmt.Appendf(nil, `{"type":%q,"id":%q}`, eventsType, text)
			dst = fmt.Appendf(dst, "POST /api/events HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", s.internal, len(body))
			return append(dst, body...)
		},
	}
}

// runEvents measures how long an event takes from a service to many browsers, on a server of its own.
func runEvents(ctx context.Context, r *Run, listeners int) error {
	s, err := startServer(ctx, r, "--events-open")
	if err != nil {
		return err
	}
	defer s.stop()
	since, err := s.eventPosition(ctx)
	if err != nil {
		return fmt.Errorf("events: %w", err)
	}
	load, err := newFanLoad(ctx, s.web, listeners, 1, fanBytes, eventFan(s, since), func(n int) {
		r.Step(float64(n)/float64(listeners), "events: connecting %d of %d", n, listeners)
	})
	if err != nil {
		return fmt.Errorf("events: %w", err)
	}
	defer load.close()
	if _, err := load.one(burstPause, newLatencies()); err != nil { // until all have subscribed
		return fmt.Errorf("events: %w", err)
	}
	messages, lat := eventMessages, newLatencies()
	if r.Quick {
		messages = eventsQuick
	}
	for i := range messages {
		if ctx.Err() != nil {
			break
		}
		r.Step(float64(i)/float64(messages), "events: message %d of %d", i+1, messages)
		n, err := load.one(burstPause, lat)
		r.Balance(n.sent, n.received, n.sent-min(n.sent, n.received), n.doubled)
		if err != nil {
			return fmt.Errorf("events: %w", err)
		}
	}
	r.Figure("event_p50_ms", lat.quantile(0.5)/1000)
	r.Figure("event_p99_ms", lat.quantile(0.99)/1000)
	return nil
}

// eventPosition returns a position of the subject that the listeners follow: they ask for what came after it, so that none
// misses a message while it subscribes.
func (s *node) eventPosition(ctx context.Context) (at broker.Position, err error) {
	c, err := net.Dial("tcp", s.web)
	if err != nil {
		return at, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(readyTimeout)); err != nil {
		return at, err
	}
	_, hello, _, _ := (&eventsGreeting{webGreeting{host: s.web}, "types=" + eventsType + "&positions=1"}).advance(nil)
	if _, err := c.Write(hello); err != nil {
		return at, err
	}
	heard := make(chan error, 1)
	go func() { heard <- readPosition(bufio.NewReader(c), &at) }()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for { // the subscription may take a moment, and sees nothing of before
		if err := s.sendEvent(ctx); err != nil {
			return at, err
		}
		select {
		case err := <-heard:
			return at, err
		case <-again.C:
		case <-ctx.Done():
			c.Close()
			<-heard
			return at, ctx.Err()
		}
	}
}

// sendEvent publishes an event that is no part of the measurement.
func (s *node) sendEvent(ctx context.Context) error {
	l := chainLoad{url: "http://" + s.internal, client: s.http}
	return l.exchange(ctx, "POST", "/api/events", fmt.Appendf(nil, `{"type":%q,"id":"probe"}`, eventsType), nil)
}

// readPosition passes over the answer to a handshake and reads the position in the first message.
func readPosition(r *bufio.Reader, at *broker.Position) error {
	for line := "x"; line != "\r\n"; {
		var err error
		if line, err = r.ReadString('\n'); err != nil {
			return err
		}
	}
	var buf []byte
	for {
		h, n, err := protocol.ParseFrameHeader(buf)
		if err != nil {
			return err
		}
		if n > 0 && uint64(len(buf)-n) >= h.Length {
			var m struct{ Position broker.Position }
			err := json.Unmarshal(buf[n:n+int(h.Length)], &m)
			*at = m.Position
			return err
		}
		b, err := r.ReadByte()
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		} else if err != nil {
			return err
		}
		buf = append(buf, b)
	}
}
