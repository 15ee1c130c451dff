package module

import (
	"encoding/json"
	"sync"
	"time"

	"gosper/broker"
	"gosper/grid/game"
	"gosper/protocol"
)

// FrameSink takes the frames of games: the streams of the edge.
type FrameSink interface{ Frame(*game.Frame) }

// GameSink takes what games tell: frames go to the streams, everything else becomes pushes on the bus, on the subject of
// the game. Of each kind of push a game sends one at once and then the newest after noticeRest, so that a few users who
// come and go cannot flood thousands of watchers. It does not block. Its methods may be called from any goroutine.
type GameSink struct {
	bus    broker.Bus
	frames FrameSink

	mu   sync.Mutex // guards rest
	rest map[noticeName]*game.Notice
}

// noticeName is a kind of push of a game that was sent a moment ago. The newest notice since then waits under it, nil for
// none.
type noticeName struct {
	game game.ID
	kind game.NoticeKind
}

// noticeRest is the time between two pushes of a kind.
const noticeRest = 200 * time.Millisecond

// NewGameSink returns the sink for a game.Host. frames may be nil: then nobody watches.
func NewGameSink(bus broker.Bus, frames FrameSink) *GameSink {
	return &GameSink{bus: bus, frames: frames, rest: map[noticeName]*game.Notice{}}
}

// Frame hands a frame on.
func (s *GameSink) Frame(f *game.Frame) {
	if s.frames != nil {
		s.frames.Frame(f)
	}
}

// Routes of the pushes of games.
const (
	routeGameUsers = "/game/users"
	routeGameState = "/game/state"
	routeGameOwner = "/game/ownershipChanged"
)

// usersPush tells that users came, went, or changed.
type usersPush struct {
	Game  game.ID   `json:"game"`
	Owner string    `json:"owner"`
	Users []userOut `json:"users"`
}

// statePush tells what the game does now. State is also "ended", the last push of a game.
type statePush struct {
	Game       game.ID `json:"game"`
	Name       string  `json:"name"`
	State      string  `json:"state"`
	Interval   float64 `json:"interval"`
	Persistent bool    `json:"persistent"`
	Epoch      uint32  `json:"epoch"`
	Generation uint64  `json:"generation"`
	Fault      string  `json:"fault,omitempty"`
}

// ownerPush tells that the game passed to another user.
type ownerPush struct {
	Game     gameOut `json:"game"`
	Previous string  `json:"previous"`
}

// Notice publishes a push, now or in a moment.
func (s *GameSink) Notice(n *game.Notice) {
	name := noticeName{n.Info.ID, n.Kind}
	s.mu.Lock()
	if n.Kind == game.NoticeEnd {
		for kind := range game.NoticeEnd {
			delete(s.rest, noticeName{name.game, kind})
		}
		s.mu.Unlock()
		s.publish(n)
		return
	}
	_, resting := s.rest[name]
	if resting {
		s.rest[name] = n
	} else {
		s.rest[name] = nil
	}
	s.mu.Unlock()
	if !resting {
		s.publish(n)
		time.AfterFunc(noticeRest, func() { s.rested(name) })
	}
}

// rested publishes what came meanwhile.
func (s *GameSink) rested(name noticeName) {
	s.mu.Lock()
	n := s.rest[name]
	if n == nil {
		delete(s.rest, name)
	} else {
		s.rest[name] = nil
	}
	s.mu.Unlock()
	if n != nil {
		s.publish(n)
		time.AfterFunc(noticeRest, func() { s.rested(name) })
	}
}

func (s *GameSink) publish(n *game.Notice) {
	route, content := pushOf(n)
	b, err := json.Marshal(content)
	if err != nil {
		return // texts and numbers always encode
	}
	s.bus.Publish(n.Info.ID.Subject(), protocol.AppendPush(nil, route, b), broker.Keep{}, nil)
}

// pushOf is what clients get of a notice.
func pushOf(n *game.Notice) (route string, content any) {
	info := n.Info
	state := statePush{info.ID, info.Name, info.State.String(), milliseconds(info.Interval), info.Persistent, info.Epoch, info.Generation, info.Fault}
	switch n.Kind {
	case game.NoticeUsers:
		return routeGameUsers, usersPush{info.ID, info.Owner, newUsersOut(info.Users)}
	case game.NoticeOwner:
		return routeGameOwner, ownerPush{newGameOut(info), n.Previous}
	case game.NoticeEnd:
		state.State = "ended"
	}
	return routeGameState, state
}
