package edge

import (
	"time"

	"gosper/grid/game"
)

// streamShard holds the watchers of one stream on one loop, and the frames that are on their way to them. It is owned by
// that loop.
//
// The frames of queue go to the watchers one after the other, each from the end of list to its beginning, a part of them
// in each pass of the loop (loop.runStreams), so that neither sockets nor messages nor other streams wait for a large
// one. at is where the first frame of queue has got to. Between passes watchers may come and go: seen keeps one that is
// moved in the list from getting a frame twice, and one that came since has no need of a frame from before.
type streamShard struct {
	stream *stream
	list   []watcher
	queue  []*streamFrame
	bytes  int // of the frames in queue that wait
	load   int // of these, of frames that watchers in sync have to take
	at     int // watchers below this index have not got queue[0] yet; notBegun
	begun  time.Time
	active bool   // in loopStreams.active
	asking bool   // in loopStreams.asking
	hole   bool   // frames behind queue[0] were dropped: whoever is in sync is so no more after it
	rest   uint32 // tick before which no watcher that fell behind gets a snapshot
	whole  int    // bytes of the last snapshot
}

const notBegun = -1

// watcher is a session in a shard. slot is the index of the stream in the session's own list.
type watcher struct {
	s     *Session
	slot  int32
	seen  uint32 // seq of the last frame that was looked at for this watcher
	epoch uint32 // of the last frame it got
	state watchState
}

// watchState is how a watcher stands to its stream.
//
//	wanting ── snapshot ──▶ synced ── too much unsent, or the loop cannot keep up ──▶ behind
//	   ▲                                                                                │
//	   └───────────────────────── everything sent; a snapshot is asked for ─────────────┘
//
// A wanting watcher gets the next snapshot and nothing before it; a synced one gets every frame but snapshots of the
// epoch it is in; one that is behind gets nothing.
type watchState uint8

const (
	wanting watchState = iota
	synced
	behind
)

// Shares of a pass over streams, in bytes written. A write counts as writeCost bytes more than it holds, a look at a
// watcher as lookCost, so that the time of a pass is bound whatever the frames are.
const (
	passShare = 1 << 20 // about 1 ms
	turnShare = 128 << 10
	writeCost = 2 << 10
	lookCost  = 32
)

// What may wait in a shard beside the frame under way, when the loop was held up or cannot keep up. Small frames may wait
// however many watch, and large ones if few watch.
const (
	maxWaiting = 64       // frames; together at most watch_bytes. More may wait as long as
	maxBacklog = 64 << 20 // the cost of writing them to all watchers is not above this, and so are their bytes
)

// loopStreams is what a loop knows of streams. It is owned by the loop.
type loopStreams struct {
	active []*streamShard // with frames to send, in turns
	asking []*streamShard // scratch memory of catchUp
	slow   []*Session     // sessions with a watcher that is behind
	taken  []*streamFrame // the inbox being emptied, kept to be used again

	ready  []*Session // sessions with a flow whose sockets take bytes, in turns; the first fed of them had theirs
	fed    int
	untold bool       // the outlet may know more of them
	stuck  []*Session // sessions with a flow behind bytes that gnet keeps: each tick tries again
	flying []*Session // sessions with frames in their flow
	flight int        // bytes of those of flying whose clients take them, as of the last tick, and what came since
}

// deliverFrame hands a frame to the loop's watchers. Any goroutine.
func (l *loop) deliverFrame(f *streamFrame) {
	l.mu.Lock()
	l.frames = append(l.frames, f)
	l.wakeLocked()
}

// takeFrames sorts new frames into their shards.
func (l *loop) takeFrames(frames []*streamFrame) {
	for _, f := range frames {
		sh := &f.stream.shards[l.index]
		if len(sh.list) == 0 {
			continue
		}
		switch {
		case f.Kind == game.FrameEnd:
			sh.hole = false
		case sh.hole, sh.overfull(l.engine.limits.WatchBytes):
			if !sh.hole {
				sh.drop(1)
				sh.hole = true
			}
			l.stats.frameDrops++
			continue
		case f.Kind == game.FrameSnapshot:
			sh.whole = len(f.Data)
			if sh.hasSnapshot(f.Epoch) {
				continue
			}
		}
		sh.queue = append(sh.queue, f)
		sh.count(f, 1)
		if !sh.active {
			sh.active = true
			l.streams.active = append(l.streams.active, sh)
		}
	}
}

// count adds the bytes of a frame that waits or, with sign -1, takes them away. A snapshot is no load: watchers in sync
// pass over it, and for those who want it watch_flight is the bound.
func (sh *streamShard) count(f *streamFrame, sign int) {
	sh.bytes += sign * len(f.Data)
	if f.Kind != game.FrameSnapshot {
		sh.load += sign * len(f.Data)
	}
}

// overfull says that the loop cannot write the shard's frames as fast as they come.
func (sh *streamShard) overfull(watchBytes int) bool {
	waiting := len(sh.queue) - 1
	if waiting < 1 {
		return false
	}
	many := waiting > maxWaiting || sh.load > watchBytes
	return many && (sh.load+waiting*writeCost)*len(sh.list) > maxBacklog || sh.bytes > maxBacklog
}

// hasSnapshot says that a snapshot of the epoch waits that has not got to anybody yet. It serves those who asked for
// another, too: every frame behind it follows it without a hole.
func (sh *streamShard) hasSnapshot(epoch uint32) bool {
	for i := len(sh.queue) - 1; i >= 0; i-- {
		if f := sh.queue[i]; f.Kind == game.FrameSnapshot && f.Epoch == epoch {
			return i > 0 || sh.at == notBegun
		}
	}
	return false
}

// drop forgets the frames of queue from the nth on.
func (sh *streamShard) drop(n int) {
	for i := n; i < len(sh.queue); i++ {
		sh.count(sh.queue[i], -1)
		sh.queue[i] = nil
	}
	sh.queue = sh.queue[:min(n, len(sh.queue))]
}

// runStreams writes frames for the time of one pass. Shards with frames have turns, and so have clients who take bytes
// again; both take turns with each other. What is left waits for the next pass.
func (l *loop) runStreams(writable bool) {
	defer l.rescue("streams")
	st := &l.streams
	if writable || st.untold {
		st.untold = l.takeWritable()
	}
	defer st.compact()
	share := passShare
	for share > 0 && st.busy() {
		share -= l.feedReady(min(share, turnShare))
		if share > 0 && len(st.active) > 0 {
			share -= l.runShard(min(share, turnShare))
		}
	}
	if share < passShare {
		passBytes.Update(float64(passShare - share))
	}
}

// busy says that there is something to write now.
func (st *loopStreams) busy() bool { return len(st.active) > 0 || st.fed < len(st.ready) }

// runShard gives the first of the shards its turn.
func (l *loop) runShard(share int) (cost int) {
	sh := l.streams.active[0]
	cost, more := sh.turn(l, share)
	n := copy(l.streams.active, l.streams.active[1:])
	l.streams.active[n] = nil
	l.streams.active = l.streams.active[:n]
	if sh.active = more; more {
		l.streams.active = append(l.streams.active, sh)
	}
	return cost
}

// turn writes frames until about that many bytes are spent, and says whether there is more.
func (sh *streamShard) turn(l *loop, share int) (cost int, more bool) {
	for len(sh.queue) > 0 {
		f := sh.queue[0]
		if sh.at == notBegun {
			sh.at, sh.begun = len(sh.list), time.Now()
			sh.count(f, -1)
		}
		for sh.at > 0 {
			if cost >= share {
				return cost, true
			}
			if sh.at = min(sh.at, len(sh.list)) - 1; sh.at < 0 {
				break
			}
			cost += l.show(&sh.list[sh.at], f)
		}
		sh.done(l, f)
	}
	return cost + lookCost, false
}

// done ends the way of the frame under way.
func (sh *streamShard) done(l *loop, f *streamFrame) {
	now := time.Now()
	streamLatency.Update(now.Sub(f.made).Seconds())
	sh.at = notBegun
	sh.queue = append(sh.queue[:0], sh.queue[1:]...)
	if len(sh.queue) == 0 {
		sh.queue = keep(sh.queue)
	}
	if !sh.hole {
		return
	}
	// The loop has reached its limit. Half of its time from here on is for others.
	sh.hole = false
	sh.rest = l.after(now.Sub(sh.begun))
	for i := range sh.list {
		if w := &sh.list[i]; w.state != behind {
			l.fallBehind(w)
			l.stats.skips[skipBusy]++
		}
	}
}

// show gives a frame to a watcher, if it is for it, and returns what that cost.
func (l *loop) show(w *watcher, f *streamFrame) (cost int) {
	if w.seen == f.seq {
		return lookCost
	}
	w.seen = f.seq
	s := w.s
	switch {
	case f.Kind == game.FrameEnd:
		s.unwatchAt(int(w.slot))
		return writeCost
	case f.hole:
		if w.state != behind {
			l.fallBehind(w)
		}
		return lookCost
	case w.state == behind, w.state == wanting && f.Kind != game.FrameSnapshot,
		w.state == synced && f.Kind == game.FrameSnapshot && f.Epoch == w.epoch:
		return lookCost
	case s.kept() > l.engine.limits.WatchBytes:
		l.fallBehind(w)
		l.stats.skips[skipSlow]++
		return lookCost
	case w.state == wanting && l.streams.flight >= l.engine.limits.WatchFlight:
		l.fallBehind(w)
		l.stats.skips[skipTurn]++
		return lookCost
	}
	w.state, w.epoch = synced, f.Epoch
	b := f.encoded(s.format)
	l.stats.frameCount[f.Kind]++
	l.stats.frameBytes[f.Kind] += uint64(len(b))
	return s.sendFrame(b) + writeCost
}

// fallBehind takes a watcher out of sync until its client has taken everything.
func (l *loop) fallBehind(w *watcher) {
	w.state = behind
	if v := w.s.watching; !v.slow {
		v.slow = true
		l.streams.slow = append(l.streams.slow, w.s)
	}
}

// catchUp asks for snapshots for those watchers that fell behind and whose clients have taken everything: for as many as
// there is room for in flight, first who fell behind first. It runs on each tick.
func (l *loop) catchUp() {
	l.measureFlight()
	left := l.streams.slow[:0]
	room := l.engine.limits.WatchFlight - l.streams.flight
	for _, s := range l.streams.slow {
		if s.watching == nil || s.flags&(flagClosed|flagClosing) != 0 {
			continue
		}
		if room <= 0 || s.kept() > 0 {
			left = append(left, s)
			continue
		}
		cost, all := l.askFor(s)
		if room -= cost; !all {
			left = append(left, s)
			continue
		}
		s.watching.slow = false
	}
	clear(l.streams.slow[len(left):])
	l.streams.slow = left
	for i, sh := range l.streams.asking {
		sh.asking = false
		sh.stream.want()
		l.streams.asking[i] = nil
	}
	l.streams.asking = l.streams.asking[:0]
}

// askFor makes the watchers of a session that are behind wanting, and reports about how many bytes they will get, and
// whether that was possible for all.
func (l *loop) askFor(s *Session) (cost int, all bool) {
	all = true
	for i := range s.watching.list {
		at := &s.watching.list[i]
		sh := &at.stream.shards[l.index]
		w := &sh.list[at.pos]
		switch {
		case w.state != behind:
		case int32(l.now-sh.rest) < 0:
			all = false
		default:
			w.state = wanting
			cost += sh.whole
			if !sh.asking {
				sh.asking = true
				l.streams.asking = append(l.streams.asking, sh)
			}
		}
	}
	return cost, all
}
