package edge

import (
	"golang.org/x/sys/unix"

	"gosper/grid/game"
	"gosper/protocol"
)

// watching is what a session knows of the streams it watches. A session has one only while it watches.
type watching struct {
	list []watch
	flow flow
	slow bool // in loopStreams.slow
}

// watch is one stream of a session.
type watch struct {
	stream *stream
	pos    int32 // in the stream's shard of this loop
}

// Watch sends the client a stream of a game, as text when it speaks lines: a snapshot, then every frame behind it. A
// session watches a grid in one way at a time: another Watch of the same grid takes the place of the one before, and with
// the same stream it gets a snapshot again. Frames may come before Watch returns. Errors: those of game.Host.Watch,
// game.ErrLimit for too many streams, and when the client has gone. It waits for the loop: never call it on one.
func (s *Session) Watch(id game.ID, want game.Stream) error {
	streams := s.loop.engine.config.Streams
	if streams == nil {
		return game.ErrNoGame
	}
	want.Text = s.format != FormatEnvelope
	str, err := streams.acquire(id, want)
	if err != nil {
		return err
	}
	if err := s.await(func() error { return s.watch(str) }); err != nil {
		str.release()
		return err
	}
	str.want()
	return nil
}

// watch joins the stream. On success what was acquired is kept.
func (s *Session) watch(str *stream) error {
	if i := s.watched(str.name.game, str.name.stream.Grid); i >= 0 {
		s.unwatchAt(i)
	}
	if s.watching == nil {
		s.watching = &watching{}
		// Without success the system keeps more.
		_ = unix.SetsockoptInt(s.conn.Fd(), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, s.loop.engine.limits.WatchSocket)
	}
	v, most := s.watching, s.loop.engine.limits.Watches
	if len(v.list) >= most {
		limitHit("watches")
		return &game.LimitError{Limit: "watches", Most: int64(most), Asked: int64(len(v.list) + 1)}
	}
	l := s.loop
	sh := &str.shards[l.index]
	sh.list = append(sh.list, watcher{s: s, slot: int32(len(v.list))})
	if len(sh.list) == 1 {
		str.setLoop(l.index, true)
	}
	v.list = append(v.list, watch{stream: str, pos: int32(len(sh.list) - 1)})
	streamWatchers.Inc()
	return nil
}

// watched returns the index of the session's watch of a grid, or -1.
func (s *Session) watched(id game.ID, index int) int {
	if s.watching == nil {
		return -1
	}
	for i := range s.watching.list {
		if name := s.watching.list[i].stream.name; name.game == id && name.stream.Grid == index {
			return i
		}
	}
	return -1
}

// Unwatch ends the stream of a grid. What is on its way to the client still comes. Any goroutine.
func (s *Session) Unwatch(id game.ID, index int) {
	s.loop.post(func() {
		if i := s.watched(id, index); i >= 0 {
			s.unwatchAt(i)
		}
	})
}

// unwatchAt ends the watch at slot. In both lists the last one moves to the place that becomes free.
func (s *Session) unwatchAt(slot int) {
	v, l := s.watching, s.loop
	gone := v.list[slot]
	sh := &gone.stream.shards[l.index]
	last := len(sh.list) - 1
	if int(gone.pos) != last {
		moved := sh.list[last]
		sh.list[gone.pos] = moved
		moved.s.watching.list[moved.slot].pos = gone.pos
	}
	sh.list[last] = watcher{}
	if sh.list = sh.list[:last]; last == 0 {
		sh.list = nil
		gone.stream.setLoop(l.index, false)
	}
	last = len(v.list) - 1
	if slot != last {
		v.list[slot] = v.list[last]
		moved := v.list[slot]
		moved.stream.shards[l.index].list[moved.pos].slot = int32(slot)
	}
	v.list[last] = watch{}
	if v.list = v.list[:last]; last == 0 {
		v.list = nil
	}
	streamWatchers.Dec()
	gone.stream.release()
}

// unwatchAll ends all watches.
func (s *Session) unwatchAll() {
	for s.watching != nil && len(s.watching.list) > 0 {
		s.unwatchAt(len(s.watching.list) - 1)
	}
}

// EditLine hands the payload of an EDIT line to the game. answer is called on the loop with what Dispatcher.EditLine
// gives. Loop only; payload must be the line's own memory.
func (s *Session) EditLine(payload []byte, answer func(s *Session, reply []byte, status protocol.Status)) {
	s.loop.engine.config.Dispatcher.EditLine(s.Who(), payload, func(reply []byte, status protocol.Status) {
		s.loop.post(func() {
			if s.flags&(flagClosed|flagClosing) != 0 {
				return
			}
			defer s.rescue()
			answer(s, reply, status)
			s.Flush()
		})
	})
}
