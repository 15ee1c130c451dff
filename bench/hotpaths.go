package bench

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// hotPath is a way through the server that is gone most often, and a load that goes it.
type hotPath struct {
	Path   string  `json:"path"`
	Unit   string  `json:"unit"`  // what is counted
	Work   string  `json:"work"`  // who does what
	Reads  float64 `json:"reads"` // system calls of one unit that no server can do without
	Writes float64 `json:"writes"`

	// load starts a server and calls measure with it and with the work.
	load func(ctx context.Context, r *Run, measure func(*node, profileWork) error) error
}

const (
	profileGames      = 200
	profileGamesQuick = 20
	// A chain is submitted in one request, calls its service once a step, and its end is told to a request that waits.
	chainExchanges = 2 + chainStepsEach
)

var hotPaths = []hotPath{
	{"line echo", "message", fmt.Sprintf("%d connections send a line and wait for the answer", echoConns), 1, 1,
		echoPath(lineEcho, func(s *node) string { return s.line }, func(_ *node, nonce string) greeter { return &lineGreeting{nonce: nonce} })},
	{"websocket echo", "message", fmt.Sprintf("%d connections send a frame and wait for the answer", echoConns), 1, 1,
		echoPath(webEcho, func(s *node) string { return s.web }, func(s *node, nonce string) greeter {
			return &webGreeting{host: s.web, sub: subLine, nonce: nonce}
		})},
	{"fan-out", "delivery", fmt.Sprintf("one message after another to %d websockets, each written to disk first", fanSubscribers), 0, 1, fanPath},
	{"games", "tick", fmt.Sprintf("%d games of %d² at 10 Hz with a websocket that watches each", profileGames, gamesSide), 0, 1, gamesPath},
	{"queue put", "put", fmt.Sprintf("%d producers put durable jobs of %d bytes, one after another each", queueMany, queueBody), 1, 1, putPath},
	{"chain", "chain", fmt.Sprintf("%d chains of %d steps under way", chainWorkers, chainStepsEach), chainExchanges, chainExchanges, chainPath},
}

// echoPath is a load of messages that come back, one at a time on each connection.
func echoPath(script func() echoScript, addr func(*node) string, greet func(s *node, nonce string) greeter) func(context.Context, *Run, func(*node, profileWork) error) error {
	return func(ctx context.Context, r *Run, measure func(*node, profileWork) error) error {
		s, err := startServer(ctx, r)
		if err != nil {
			return err
		}
		defer s.stop()
		nonces, err := s.nonces(ctx, echoConns, "bench")
		if err != nil {
			return err
		}
		load, err := newEchoLoad(ctx, addr(s), echoConns, script(), func(i int) greeter { return greet(s, nonces[i]) })
		if err != nil {
			return err
		}
		defer load.close()
		return measure(s, func(d time.Duration) (uint64, error) {
			n, err := load.saturate(ctx, 1, d)
			r.balanceOf(n)
			return n.received, err
		})
	}
}

func fanPath(ctx context.Context, r *Run, measure func(*node, profileWork) error) error {
	s, err := startServer(ctx, r)
	if err != nil {
		return err
	}
	defer s.stop()
	nonces, err := fanPlayers(ctx, s, fanSubscribers, 1, fanWorld)
	if err != nil {
		return err
	}
	load, err := newFanLoad(ctx, s.web, fanSubscribers, 1, fanBytes, envelopeFan(s, nonces), nil)
	if err != nil {
		return err
	}
	defer load.close()
	return measure(s, func(d time.Duration) (uint64, error) {
		n, err := load.single(ctx, d, newLatencies())
		r.Balance(n.sent, n.received, n.sent-min(n.sent, n.received), n.doubled)
		return n.received, err
	})
}

func gamesPath(ctx context.Context, r *Run, measure func(*node, profileWork) error) error {
	count := profileGames
	if r.Quick {
		count = profileGamesQuick
	}
	return withGames(ctx, r, func(ctx context.Context, b *gamesBench) error {
		watches, rng := make([]string, count), rand.New(rand.NewPCG(4, 4))
		for i := range watches {
			id, err := b.create(ctx, gamesSide, crowdInterval)
			if err == nil {
				err = b.draw(ctx, id, rng, gamesSoup, gamesSoup, 0)
			}
			if err == nil {
				err = b.start(ctx, id)
			}
			if err != nil {
				return err
			}
			watches[i] = watchMessage(id, "cells")
		}
		crowd, err := b.watchers(ctx, watches)
		if err != nil {
			return err
		}
		defer crowd.close()
		if err := crowd.settle(ctx, b.warmUp()); err != nil {
			return err
		}
		return measure(b.node, func(d time.Duration) (uint64, error) {
			crowd.begin()
			err := crowd.run(ctx, d)
			r.Balance(crowd.frames, crowd.frames, 0, crowd.doubled) // holes between two runs are nobody's
			return crowd.frames, err
		})
	})
}

func putPath(ctx context.Context, r *Run, measure func(*node, profileWork) error) error {
	s, err := startServer(ctx, r)
	if err != nil {
		return err
	}
	defer s.stop()
	body := bytes.Repeat([]byte("x"), queueBody)
	load, err := newQueueLoad(ctx, s.queue, queueMany, func(int) queueSpeech { return newPutSpeech(body) })
	if err != nil {
		return err
	}
	defer load.close()
	return measure(s, func(d time.Duration) (uint64, error) {
		q, err := load.run(ctx, d)
		r.Balance(q.done, q.done, 0, 0) // each was answered, or the run has failed
		return q.done, err
	})
}

func chainPath(ctx context.Context, r *Run, measure func(*node, profileWork) error) error {
	var cl closers
	defer cl.close()
	s, load, err := openChains(ctx, r, &cl)
	if err != nil {
		return err
	}
	return measure(s, func(d time.Duration) (uint64, error) {
		m, err := load.flat(ctx, d, s.pid())
		r.Balance(m.sent, m.completed, m.sent-min(m.sent, m.completed), load.service.doubled())
		return m.completed, err
	})
}
