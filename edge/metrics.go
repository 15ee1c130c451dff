package edge

import (
	"fmt"
	"sync"

	"github.com/VictoriaMetrics/metrics"

	"gosper/broker"
	"gosper/grid/game"
	"gosper/protocol"
)

// Metrics lists the metrics of this package, which are in the default set of github.com/VictoriaMetrics/metrics. The
// caller owns the slice.
func Metrics() []broker.Metric { return append([]broker.Metric(nil), metricTable...) }

var metricTable = []broker.Metric{
	{Name: "gosper_connections", Help: "client connections on the event loops, by door"},
	{Name: "gosper_connections_opened_total", Help: "client connections that came to an event loop, by door"},
	{Name: "gosper_connections_trusted_total", Help: "connections whose client authenticated, by door"},
	{Name: "gosper_connections_refused_total", Help: "connections closed before they came to an event loop, by reason"},
	{Name: "gosper_accept_errors_total", Help: "errors of accepting connections; the listener goes on"},
	{Name: "gosper_closes_total", Help: "connections ended, by door and reason"},
	{Name: "gosper_received_bytes_total", Help: "bytes received from clients on the event loops"},
	{Name: "gosper_sent_bytes_total", Help: "bytes sent or queued to clients on the event loops"},
	{Name: "gosper_outbox_bytes", Help: "bytes queued for clients who do not take them, sampled every five seconds"},
	{Name: "gosper_frames_total", Help: "frames received, by command or kind"},
	{Name: "gosper_deliveries_total", Help: "messages handed to subscribers, one for each"},
	{Name: "gosper_fanout_writes_total", Help: "writes to subscribers; fewer than deliveries when messages are joined"},
	{Name: "gosper_fanout_seconds", Help: "time from the bus taking a message to the last write to a subscriber of a loop"},
	{Name: "gosper_loop_lag_seconds", Help: "time an event loop took to get to a tick"},
	{Name: "gosper_panics_total", Help: "panics caught at the border of a connection or of a loop"},
	{Name: "gosper_limit_hits_total", Help: "how often a limit was met, by limit"},
	{Name: "gosper_stream_watchers", Help: "streams of games that clients watch, one for each client"},
	{Name: "gosper_stream_frames_total", Help: "frames of games handed to watchers, one for each, by kind"},
	{Name: "gosper_stream_bytes_total", Help: "bytes of these frames, by kind"},
	{Name: "gosper_stream_skips_total", Help: "times a watcher fell behind and had to wait for a snapshot, by reason: it was slow, the loop was busy, or it has to wait for its turn"},
	{Name: "gosper_stream_dropped_total", Help: "frames that an event loop dropped for all watchers of a stream because more came than it can write"},
	{Name: "gosper_stream_seconds", Help: "time from a game making a frame to the last write to a watcher of a loop"},
	{Name: "gosper_stream_pass_bytes", Help: "bytes written to watchers, and the cost of the writes, in one pass of an event loop, for which its other clients wait"},
	{Name: "gosper_bus_gaps_total", Help: "times the bus said that messages may have been missed"},
	{Name: "gosper_bad_messages_total", Help: "messages of the bus that were no push and were not sent to clients"},
}

var (
	acceptErrors  = metrics.NewCounter("gosper_accept_errors_total")
	receivedBytes = metrics.NewCounter("gosper_received_bytes_total")
	sentBytes     = metrics.NewCounter("gosper_sent_bytes_total")
	deliveries    = metrics.NewCounter("gosper_deliveries_total")
	fanoutWrites  = metrics.NewCounter("gosper_fanout_writes_total")
	fanoutLatency = metrics.NewPrometheusHistogram("gosper_fanout_seconds")
	loopLag       = metrics.NewPrometheusHistogram("gosper_loop_lag_seconds")
	panics        = metrics.NewCounter("gosper_panics_total")
	gaps          = metrics.NewCounter("gosper_bus_gaps_total")
	badMessages   = metrics.NewCounter("gosper_bad_messages_total")
	outboxBytes   = metrics.NewGauge("gosper_outbox_bytes", nil)

	streamWatchers = metrics.NewGauge("gosper_stream_watchers", nil)
	streamDropped  = metrics.NewCounter("gosper_stream_dropped_total")
	streamLatency  = metrics.NewPrometheusHistogram("gosper_stream_seconds")
	passBytes      = metrics.NewPrometheusHistogramExt("gosper_stream_pass_bytes", []float64{16 << 10, 64 << 10, 256 << 10, passShare, 2 * passShare})

	refusedFull    = refusedCounter("connections")
	refusedAddress = refusedCounter("address_connections")
	refusedDrain   = refusedCounter("drain")
	refusedProxy   = refusedCounter("proxy")
	refusedTLS     = refusedCounter("tls")
	refusedBusy    = refusedCounter("handshakes")
	refusedError   = refusedCounter("error")
)

func refusedCounter(reason string) *metrics.Counter {
	return metrics.NewCounter(fmt.Sprintf(`gosper_connections_refused_total{reason=%q}`, reason))
}

var limitHits = func() map[string]*metrics.Counter {
	m := make(map[string]*metrics.Counter, len(limitTable))
	for i := range limitTable {
		name := limitTable[i].Name
		m[name] = metrics.NewCounter(fmt.Sprintf(`gosper_limit_hits_total{limit=%q}`, name))
	}
	return m
}()

// limitHit counts that the named limit was met.
func limitHit(name string) { limitHits[name].Inc() }

// LimitHit counts, for doors, that the named limit was met. Unknown names are a mistake and panic.
func LimitHit(name string) { limitHit(name) }

// Frame is the label of a received frame in gosper_frames_total.
type Frame uint8

// Frames beside the commands of the line door, whose numbers are their own labels.
const (
	FrameEnvelope Frame = 32 + iota
	FramePing
	FramePong
	FrameClose
	FrameBinary
	FrameIgnored
	FrameBad
	frameKinds
)

var frameNames = map[Frame]string{
	FrameEnvelope: "envelope", FramePing: "ws_ping", FramePong: "ws_pong", FrameClose: "ws_close", FrameBinary: "binary", FrameIgnored: "ignored", FrameBad: "bad",
}

var frameCounters = func() (c [frameKinds]*metrics.Counter) {
	name := func(f Frame, label string) {
		c[f] = metrics.NewCounter(fmt.Sprintf(`gosper_frames_total{command=%q}`, label))
	}
	for _, cmd := range protocol.Commands() {
		name(Frame(cmd), cmd.String())
	}
	for f, label := range frameNames {
		name(f, label)
	}
	return c
}()

// Count counts n received frames. Loop only.
func (s *Session) Count(f Frame, n int) { s.loop.stats.frames[f] += uint64(n) }

// Reasons why a watcher fell behind.
const (
	skipSlow = iota // its client does not take what is sent
	skipBusy        // the loop cannot write as much as the game makes
	skipTurn        // too many others get a snapshot already
	skipReasons
)

const streamKinds = game.FrameEnd // the last one has no bytes

var skipCounters = [skipReasons]*metrics.Counter{
	skipSlow: metrics.NewCounter(`gosper_stream_skips_total{reason="slow"}`),
	skipBusy: metrics.NewCounter(`gosper_stream_skips_total{reason="busy"}`),
	skipTurn: metrics.NewCounter(`gosper_stream_skips_total{reason="turn"}`),
}

func newStreamCounters() (frames, bytes [streamKinds]*metrics.Counter) {
	for k := range streamKinds {
		frames[k] = metrics.NewCounter(fmt.Sprintf(`gosper_stream_frames_total{kind=%q}`, k))
		bytes[k] = metrics.NewCounter(fmt.Sprintf(`gosper_stream_bytes_total{kind=%q}`, k))
	}
	return frames, bytes
}

var streamFrames, streamBytes = newStreamCounters()

// loopStats are counts of one loop, owned by it and added to the metrics on each tick, so that frames do not fight over
// cache lines.
type loopStats struct {
	bytesIn, bytesOut     uint64
	deliveries, fanWrites uint64
	frames                [frameKinds]uint64
	frameCount            [streamKinds]uint64
	frameBytes            [streamKinds]uint64
	frameDrops            uint64
	skips                 [skipReasons]uint64
	kept                  int64 // this loop's part of outboxBytes
}

func (st *loopStats) flush(l *loop) {
	move(receivedBytes, &st.bytesIn)
	move(sentBytes, &st.bytesOut)
	move(deliveries, &st.deliveries)
	move(fanoutWrites, &st.fanWrites)
	for f := range st.frames {
		if st.frames[f] > 0 {
			move(frameCounters[f], &st.frames[f])
		}
	}
	for k := range streamKinds {
		move(streamFrames[k], &st.frameCount[k])
		move(streamBytes[k], &st.frameBytes[k])
	}
	for i := range st.skips {
		move(skipCounters[i], &st.skips[i])
	}
	move(streamDropped, &st.frameDrops)
	if l.now%uint32(5*ticksPerSecond) == 0 {
		st.sample(l)
	}
}

func (st *loopStats) sample(l *loop) {
	kept := int64(0)
	for _, s := range l.sessions {
		if s.out.waiting {
			kept += int64(s.kept())
		}
	}
	outboxBytes.Add(float64(kept - st.kept))
	st.kept = kept
}

func move(c *metrics.Counter, n *uint64) {
	if *n > 0 {
		c.AddInt64(int64(*n))
		*n = 0
	}
}

// doorInfo is a door with its metrics. There is one for each door of an engine.
type doorInfo struct {
	Door
	beats   bool // its sessions are pinged
	metrics *doorMetrics
}

type doorMetrics struct {
	open    *metrics.Gauge
	opened  *metrics.Counter
	trusted *metrics.Counter

	mu     sync.Mutex
	closes map[string]*metrics.Counter // guarded by mu
}

func newDoorMetrics(door string) *doorMetrics {
	return &doorMetrics{
		open:    metrics.GetOrCreateGauge(fmt.Sprintf(`gosper_connections{door=%q}`, door), nil),
		opened:  metrics.GetOrCreateCounter(fmt.Sprintf(`gosper_connections_opened_total{door=%q}`, door)),
		trusted: metrics.GetOrCreateCounter(fmt.Sprintf(`gosper_connections_trusted_total{door=%q}`, door)),
		closes:  map[string]*metrics.Counter{},
	}
}

// count counts the end of a connection. Reasons are words of the code, never of the client.
func (d *doorInfo) count(reason string) {
	m := d.metrics
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.closes[reason]
	if c == nil {
		c = metrics.GetOrCreateCounter(fmt.Sprintf(`gosper_closes_total{door=%q,reason=%q}`, d.Name(), reason))
		m.closes[reason] = c
	}
	c.Inc()
}
