package edge

import (
	"sync"
	"sync/atomic"
	"time"

	"gosper/grid/game"
	"gosper/protocol"
)

// Streams brings the frames of games to the sessions that watch them. It is the game.Sink of a node's host, and part of
// the engine's Config:
//
//	streams := edge.NewStreams()
//	host, err := game.NewHost(ctx, game.Config{…, Sink: streams})
//	streams.Serve(host)
//	engine, err := edge.Start(edge.Config{…, Streams: streams})
//
// A frame takes the way of a message: it becomes one entry in the mailbox of each loop that has watchers of its stream,
// and the loop writes the same bytes to all of them (streamshard.go). What a socket does not
// take waits as a reference to these bytes (streamflow.go). There is no queue of frames for a single watcher: who does not
// take what it got misses frames, and gets a snapshot when it has taken everything, in its turn (see watchState).
//
// All methods may be called from any goroutine.
type Streams struct {
	// atomic
	source atomic.Pointer[StreamSource]
	engine atomic.Pointer[Engine]

	// guarded by mu
	mu   sync.RWMutex
	open map[streamName]*stream
}

var _ game.Sink = (*Streams)(nil)

// StreamSource has the games whose streams sessions watch: a game.Host, or what knows the hosts of several nodes. Its methods
// may be called from any goroutine and keep the promises of those of game.Host. Watch may wait for another node, so it is never
// called on a loop; the others never block. Frames of a watched stream are given to Streams.Frame.
type StreamSource interface {
	Watch(id game.ID, s game.Stream) (game.Stream, error)
	Unwatch(id game.ID, s game.Stream)
	Want(id game.ID, s game.Stream)
}

// streamName names a stream among those of all games.
type streamName struct {
	game   game.ID
	stream game.Stream
}

// stream is one stream that sessions of this node watch.
type stream struct {
	// static after construction
	name    streamName
	streams *Streams

	// shards[i] is owned by loop i
	shards []streamShard

	loops atomic.Uint64 // bit i: loop i has watchers
	seq   uint32        // of the newest frame; owned by Frame, which is called for one frame of a game at a time
	refs  int           // guarded by Streams.mu: sessions that watch or are about to
}

// streamFrame is one frame on its way to the watchers. It is shared by all loops, and so are its bytes for each format,
// made by the first loop that needs them.
type streamFrame struct {
	*game.Frame
	stream *stream
	seq    uint32 // counts the frames of the stream from 1; never 0
	hole   bool   // no frame, but the place of some that are missing
	made   time.Time

	mu   sync.Mutex
	form [formats][]byte // guarded by mu until set, then read only
}

// NewStreams returns a Streams without games. Frames that come before an engine runs have no watchers and are dropped.
func NewStreams() *Streams { return &Streams{open: map[streamName]*stream{}} }

// Serve lets sessions watch the games of from. It is called once, before the engine starts.
func (st *Streams) Serve(from StreamSource) { st.source.Store(&from) }

// Notice does nothing: what a game tells beside frames goes to the clients over the bus.
func (st *Streams) Notice(*game.Notice) {}

// Frame hands a frame to the loops that have watchers of its stream. It does not block.
func (st *Streams) Frame(f *game.Frame) { st.deliver(f, false) }

// Hole says that frames of a stream are missing from here on: nobody who watches it gets one before the next snapshot, which
// they ask for as those do who fell behind. It takes the place of a frame: like Frame, it is called for one frame of a game at a
// time, and does not block.
func (st *Streams) Hole(id game.ID, s game.Stream) {
	st.deliver(&game.Frame{Game: id, Stream: s, Kind: game.FrameMark}, true)
}

func (st *Streams) deliver(f *game.Frame, hole bool) {
	st.mu.RLock()
	str := st.open[streamName{f.Game, f.Stream}]
	st.mu.RUnlock()
	e := st.engine.Load()
	if str == nil || e == nil {
		return
	}
	if str.seq++; str.seq == 0 {
		str.seq++
	}
	sf := &streamFrame{Frame: f, stream: str, seq: str.seq, hole: hole, made: time.Now()}
	bits := str.loops.Load()
	for i := 0; bits != 0; i, bits = i+1, bits>>1 {
		if bits&1 != 0 {
			e.loops[i].deliverFrame(sf)
		}
	}
}

// acquire registers one more watcher with the host and returns its stream. Each acquire needs one release.
func (st *Streams) acquire(id game.ID, s game.Stream) (*stream, error) {
	from, e := st.source.Load(), st.engine.Load()
	if from == nil || e == nil {
		return nil, game.ErrNoGame
	}
	s, err := (*from).Watch(id, s)
	if err != nil {
		return nil, err
	}
	name := streamName{id, s}
	st.mu.Lock()
	defer st.mu.Unlock()
	str := st.open[name]
	if str == nil {
		str = &stream{name: name, streams: st, shards: make([]streamShard, len(e.loops))}
		for i := range str.shards {
			str.shards[i] = streamShard{stream: str, at: notBegun}
		}
		st.open[name] = str
	}
	str.refs++
	return str, nil
}

func (str *stream) release() {
	st := str.streams
	st.mu.Lock()
	if str.refs--; str.refs == 0 {
		delete(st.open, str.name)
	}
	st.mu.Unlock()
	(*st.source.Load()).Unwatch(str.name.game, str.name.stream)
}

// want asks the game for a snapshot.
func (str *stream) want() { (*str.streams.source.Load()).Want(str.name.game, str.name.stream) }

func (str *stream) setLoop(i int, on bool) {
	if on {
		str.loops.Or(1 << i)
	} else {
		str.loops.And(^uint64(1 << i))
	}
}

// encoded returns the bytes for sessions of format f. They are read only.
func (sf *streamFrame) encoded(f Format) []byte {
	sf.mu.Lock()
	defer sf.mu.Unlock()
	if sf.form[f] == nil {
		sf.form[f] = sf.encode(f)
	}
	return sf.form[f]
}

func (sf *streamFrame) encode(f Format) []byte {
	if f == FormatEnvelope {
		b := make([]byte, 0, protocol.MaxFrameHeader+len(sf.Data))
		return append(protocol.AppendFrameHeader(b, protocol.OpBinary, true, len(sf.Data)), sf.Data...)
	}
	cmd := protocol.CmdDelta
	if sf.Kind == game.FrameSnapshot {
		cmd = protocol.CmdGrid
	}
	b := make([]byte, 0, protocol.MaxFrameHeader+protocol.CommandSize+len(sf.Data)+2)
	if f == FormatLine {
		return protocol.AppendLine(b, cmd, sf.Data)
	}
	b = protocol.AppendFrameHeader(b, protocol.OpText, true, protocol.CommandSize+len(sf.Data))
	return append(append(b, cmd.String()...), sf.Data...)
}
