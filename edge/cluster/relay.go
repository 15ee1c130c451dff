package cluster

import (
	"encoding/json"

	"gosper/grid/game"
	"gosper/protocol"
)

// relay is a stream of a game here that another node watches, for all who watch it there.
type relay struct {
	// static after construction
	link   *link
	number uint32 // the other node's name for it
	name   streamName

	// guarded by link.mu
	synced  bool   // the other node has a snapshot and every frame behind it
	round   uint32 // grows when what is queued is dropped
	waiting int    // bytes in link.streams
	starved bool   // in link.starved
}

// watchRequest is the data of askWatch; the answer is the stream as the game names it.
type watchRequest struct {
	Number uint32             `json:"number"`
	Grid   int                `json:"grid"`
	Mode   protocol.WatchMode `json:"mode"`
	View   [4]int             `json:"view"`
	Text   bool               `json:"text"`
}

func newWatchRequest(number uint32, s game.Stream) watchRequest {
	v := s.View
	return watchRequest{number, s.Grid, s.Mode, [4]int{v.X, v.Y, v.Width, v.Height}, s.Text}
}

func (w *watchRequest) stream() game.Stream {
	s := game.Stream{Grid: w.Grid, Mode: w.Mode, Text: w.Text}
	s.View.X, s.View.Y, s.View.Width, s.View.Height = w.View[0], w.View[1], w.View[2], w.View[3]
	return s
}

// serveWatch lets the node at the other end of l watch a stream.
func (c *Cluster) serveWatch(l *link, f *frame) {
	var in watchRequest
	if err := json.Unmarshal(f.data, &in); err != nil {
		l.close()
		return
	}
	token := c.host.Token(f.game)
	s, err := c.host.Watch(f.game, in.stream())
	if notHere(err) {
		l.send(frame{kind: kindAnswer, call: f.call, code: codeNotHere})
		return
	}
	if err != nil {
		l.send(frame{kind: kindAnswer, call: f.call, code: codeRefused, data: appendRefusal(err)})
		return
	}
	data, err := json.Marshal(newWatchRequest(in.Number, s))
	if err != nil {
		panic(err) // numbers always encode
	}
	r := &relay{link: l, number: in.Number, name: streamName{f.game, s}}
	if !c.streams.addRelay(r, frame{kind: kindAnswer, call: f.call, code: codeOK, data: data}) {
		c.host.Unwatch(f.game, s)
	} else if c.host.Token(f.game) != token { // it left in between, and may be back
		c.streams.gameLeft(f.game)
	}
}

// offer queues a frame of the stream, unless the other node has to wait for a snapshot. When the link has no room, all that
// waits of the stream is dropped.
func (r *relay) offer(f *game.Frame) {
	l := r.link
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	ends := f.Kind == game.FrameEnd
	if !r.synced && f.Kind != game.FrameSnapshot && !ends {
		return
	}
	size := len(f.Data) + linkOverhead
	if !ends && (l.waiting > 0 && l.waiting+size > l.cluster.options.StreamBytes || len(f.Data)+frameSize > l.cluster.options.FrameBytes) {
		r.drop(frame{kind: kindHole, number: r.number})
		framesDropped.Inc()
		return
	}
	r.synced = r.synced || f.Kind == game.FrameSnapshot
	framesOut.Inc()
	r.push(frame{kind: kindFrame, number: r.number, frame: f.Kind, epoch: f.Epoch, generation: f.Generation, hash: f.Hash, data: f.Data})
}

// drop forgets what waits and says so. REQUIRES: link.mu.
func (r *relay) drop(why frame) {
	r.link.waiting -= r.waiting
	r.waiting = 0
	r.round++
	r.synced = false
	r.push(why)
}

// push queues one frame behind the others. REQUIRES: link.mu.
func (r *relay) push(f frame) {
	l := r.link
	size := len(f.data) + linkOverhead
	if f.kind != kindFrame {
		size = 0
	}
	l.streams = append(l.streams, relayed{relay: r, frame: f, round: r.round, size: size})
	l.waiting += size
	r.waiting += size
	l.more.Signal()
}

// gone tells the other node that the game is not here any more.
func (r *relay) gone() {
	r.link.mu.Lock()
	defer r.link.mu.Unlock()
	if !r.link.closed {
		r.drop(frame{kind: kindGone, number: r.number})
	}
}

// wanted asks the game for a snapshot, now or when the link has room.
func (r *relay) wanted() {
	l := r.link
	l.mu.Lock()
	full := l.waiting > l.cluster.options.StreamBytes/2
	if full && !r.starved {
		r.starved = true
		l.starved = append(l.starved, r)
	}
	l.mu.Unlock()
	if !full {
		r.want()
	}
}

func (r *relay) want() { r.link.cluster.host.Want(r.name.game, r.name.stream) }
