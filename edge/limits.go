package edge

import (
	"fmt"
	"strconv"
	"time"

	"gosper/broker"
)

// Limits holds every bound of the client side of a node. DefaultLimits gives the defaults; LimitsTable describes each
// field: name, unit, meaning, what happens to who exceeds it. The zero value of a field means what its table row says.
type Limits struct {
	// Before authentication.
	AuthTimeout  time.Duration
	GuestTimeout time.Duration
	GuestIn      int
	GuestOut     int

	// Inbound.
	LineBytes    int
	MessageBytes int
	PingBytes    int
	HeldIn       int
	FrameTimeout time.Duration
	CallBacklog  int
	CallTimeout  time.Duration
	Strikes      int

	// Queue clients.
	JobBytes  int
	QueueHeld int

	// The gate.
	GateBytes      int
	GateReplyBytes int
	GateStrays     int
	GateTimeout    time.Duration
	GateJobs       int

	// Rates, per connection.
	ChatRate     int
	ChatBurst    int
	CallRate     int
	CallBurst    int
	ControlRate  int
	ControlBurst int

	// Outbound.
	OutBytes     int
	WriteTimeout time.Duration
	JoinBytes    int
	CloseTimeout time.Duration

	// Subscriptions.
	Subscriptions  int
	ResumeMessages int
	HeldMessages   int

	// Streams of games.
	Watches     int
	WatchBytes  int
	WatchSocket int
	WatchFlight int

	// Connections.
	Connections        int
	AddressConnections int
	DescriptorReserve  int
	Handshakes         int
	HandshakeTimeout   time.Duration
	Heartbeat          time.Duration
	HeartbeatMisses    int
	LineIdle           time.Duration
	KeepAlive          time.Duration
	DrainSpread        time.Duration
	LoopStall          time.Duration
}

// Limit describes one field of Limits for configuration, documentation and metrics. Name is the configuration key and
// the value of the label limit of gosper_limit_hits_total, which counts how often the limit was met.
type Limit struct {
	Name    string
	Unit    string // "bytes", "per second", "time", "count"
	Default string // as Limits.Get prints it
	Doc     string // one sentence
	Code    string // what happens to who exceeds it
	Min     int64  // smallest allowed value, in units or nanoseconds
	Max     int64  // largest allowed value

	field func(*Limits) any // *int or *time.Duration
	def   int64
}

func countLimit(name, unit string, def, min, max int, field func(*Limits) *int, doc, code string) Limit {
	return Limit{Name: name, Unit: unit, Default: strconv.Itoa(def), Doc: doc, Code: code, Min: int64(min), Max: int64(max),
		field: func(l *Limits) any { return field(l) }, def: int64(def)}
}

func timeLimit(name string, def, min, max time.Duration, field func(*Limits) *time.Duration, doc, code string) Limit {
	return Limit{Name: name, Unit: "time", Default: def.String(), Doc: doc, Code: code, Min: int64(min), Max: int64(max),
		field: func(l *Limits) any { return field(l) }, def: int64(def)}
}

const (
	maxBytes = 1 << 30
	maxCount = 1 << 20
	maxTime  = 24 * time.Hour
	tick     = 100 * time.Millisecond // resolution of every time limit
)

var limitTable = []Limit{
	timeLimit("auth_timeout", 5*time.Second, tick, maxTime, func(l *Limits) *time.Duration { return &l.AuthTimeout },
		"a new connection has to register (line) or to make its first call (websocket) within this time", "line: closed without a word; websocket: auth timeout"),
	timeLimit("guest_timeout", 10*time.Minute, tick, maxTime, func(l *Limits) *time.Duration { return &l.GuestTimeout },
		"a websocket that calls functions but does not log in is closed after this time", "auth timeout"),
	countLimit("guest_in", "bytes", 4096, 64, maxBytes, func(l *Limits) *int { return &l.GuestIn },
		"line: bytes a client may send before it is registered; websocket: largest message before login", "line: closed without a word; websocket: 1009"),
	countLimit("guest_out", "bytes", 4096, 64, maxBytes, func(l *Limits) *int { return &l.GuestOut },
		"unsent bytes kept for a client that is not logged in", "slow"),

	countLimit("line_bytes", "bytes", 8192, 64, maxBytes, func(l *Limits) *int { return &l.LineBytes },
		"longest command line, CR LF included", "closed without a word"),
	countLimit("message_bytes", "bytes", 65536, 128, maxBytes, func(l *Limits) *int { return &l.MessageBytes },
		"largest websocket message from a client, all fragments together", "1009"),
	countLimit("ping_bytes", "bytes", 64, 0, 4096, func(l *Limits) *int { return &l.PingBytes },
		"longest payload of a PING line", "closed without a word"),
	countLimit("held_in", "bytes", 256<<10, 4096, maxBytes, func(l *Limits) *int { return &l.HeldIn },
		"received bytes kept while earlier calls of the connection are answered, before login no more than guest_in", "rate"),
	timeLimit("frame_timeout", 10*time.Second, tick, maxTime, func(l *Limits) *time.Duration { return &l.FrameTimeout },
		"a line or frame that was begun has to be complete within this time", "line: closed without a word; websocket: 1008"),
	countLimit("call_backlog", "count", 64, 1, maxCount, func(l *Limits) *int { return &l.CallBacklog },
		"calls of a connection that wait for the one in work, before login only one; reading pauses when it is full", "held_in follows"),
	timeLimit("call_timeout", 30*time.Second, tick, maxTime, func(l *Limits) *time.Duration { return &l.CallTimeout },
		"the context of a call ends after this time", "the function's own answer"),
	countLimit("strikes", "count", 50, 1, 255, func(l *Limits) *int { return &l.Strikes },
		"invalid or refused messages of a connection, less one a second, before it is closed", "rate, or 1008 for invalid messages"),

	countLimit("job_bytes", "bytes", 65535, 1024, broker.MaxValue, func(l *Limits) *int { return &l.JobBytes },
		"largest job that a queue client may put", "JOB_TOO_BIG"),
	countLimit("queue_held", "bytes", 8<<20, 4096, maxBytes, func(l *Limits) *int { return &l.QueueHeld },
		"received bytes kept of a queue client while its earlier commands are answered", "cut"),

	countLimit("gate_bytes", "bytes", 64<<10, 256, maxBytes, func(l *Limits) *int { return &l.GateBytes },
		"longest request line of a gate client, CR LF included", "status -1"),
	countLimit("gate_reply_bytes", "bytes", 1<<20, 256, maxBytes, func(l *Limits) *int { return &l.GateReplyBytes },
		"longest reply line of a worker at the gate, CR LF included", "closed without a word"),
	countLimit("gate_strays", "per second", 1000, 1, maxCount, func(l *Limits) *int { return &l.GateStrays },
		"replies of a worker's connection for which nobody waits, before it is not read for the rest of the second", "held_in follows"),
	timeLimit("gate_timeout", 10*time.Second, time.Second, maxTime, func(l *Limits) *time.Duration { return &l.GateTimeout },
		"a request at the gate is answered within this time; half of it is the time to run of a job that a worker takes", "status -2"),
	countLimit("gate_jobs", "count", 16384, 1, maxCount, func(l *Limits) *int { return &l.GateJobs },
		"requests at the gate that wait for workers elsewhere", "status -2"),

	countLimit("chat_rate", "per second", 20, 0, maxCount, func(l *Limits) *int { return &l.ChatRate },
		"chat lines of a connection; 0 is no limit", "status 1010, then rate"),
	countLimit("chat_burst", "count", 60, 1, maxCount, func(l *Limits) *int { return &l.ChatBurst },
		"chat lines at once", "status 1010, then rate"),
	countLimit("call_rate", "per second", 100, 0, maxCount, func(l *Limits) *int { return &l.CallRate },
		"function calls of a connection; 0 is no limit", "status 1010, then rate"),
	countLimit("call_burst", "count", 400, 1, maxCount, func(l *Limits) *int { return &l.CallBurst },
		"function calls at once", "status 1010, then rate"),
	countLimit("control_rate", "per second", 20, 0, maxCount, func(l *Limits) *int { return &l.ControlRate },
		"websocket control frames of a connection; 0 is no limit", "rate"),
	countLimit("control_burst", "count", 200, 1, maxCount, func(l *Limits) *int { return &l.ControlBurst },
		"websocket control frames at once", "rate"),

	countLimit("out_bytes", "bytes", 1<<20, 4096, maxBytes, func(l *Limits) *int { return &l.OutBytes },
		"unsent bytes kept for a client", "slow"),
	timeLimit("write_timeout", 30*time.Second, tick, maxTime, func(l *Limits) *time.Duration { return &l.WriteTimeout },
		"a client has to take something of what is kept for it within this time", "slow"),
	countLimit("join_bytes", "bytes", 256<<10, 4096, maxBytes, func(l *Limits) *int { return &l.JoinBytes },
		"messages of one subject are joined to one write up to this size", "the rest goes in the next write"),
	timeLimit("close_timeout", 2*time.Second, tick, maxTime, func(l *Limits) *time.Duration { return &l.CloseTimeout },
		"what is queued for a connection that is being closed, and its answer to the close, may take this time", "cut"),

	countLimit("subscriptions", "count", 128, 1, maxCount, func(l *Limits) *int { return &l.Subscriptions },
		"subjects a connection may follow", "the call fails"),
	countLimit("resume_messages", "count", 1000, 1, maxCount, func(l *Limits) *int { return &l.ResumeMessages },
		"missed messages of a subject that are sent again on resume", "recovered false"),
	countLimit("held_messages", "count", 4096, 1, maxCount, func(l *Limits) *int { return &l.HeldMessages },
		"live messages kept for a connection while the missed ones are fetched", "slow"),

	countLimit("watches", "count", 16, 1, maxCount, func(l *Limits) *int { return &l.Watches },
		"grids of games a connection may watch", "the call fails: 1010"),
	countLimit("watch_bytes", "bytes", 64<<10, 1, maxBytes, func(l *Limits) *int { return &l.WatchBytes },
		"unsent bytes with which a watcher still gets the next frame", "it gets a snapshot when it has taken everything"),
	countLimit("watch_socket", "bytes", 64<<10, 4096, maxBytes, func(l *Limits) *int { return &l.WatchSocket },
		"bytes for a watcher that the system keeps and has not sent", "the rest is written when the client has taken some"),
	countLimit("watch_flight", "bytes", 16<<20, 1, maxBytes, func(l *Limits) *int { return &l.WatchFlight },
		"unsent bytes of frames of an event loop, to clients that take them, with which more watchers get a snapshot", "it waits for its turn"),

	countLimit("connections", "count", 0, 0, maxCount, func(l *Limits) *int { return &l.Connections },
		"client connections of the node; 0 is as many as descriptors allow", "closed at once"),
	countLimit("address_connections", "count", 0, 0, maxCount, func(l *Limits) *int { return &l.AddressConnections },
		"client connections of one address, an IPv6 one counted by its /64; 0 is a quarter of what the node takes, and private networks are not counted", "closed at once"),
	countLimit("descriptor_reserve", "count", 0, 0, maxCount, func(l *Limits) *int { return &l.DescriptorReserve },
		"file descriptors kept for stores, logs and links; 0 is a twentieth of the process's limit, at least 64", "closed at once"),
	countLimit("handshakes", "count", 512, 1, maxCount, func(l *Limits) *int { return &l.Handshakes },
		"TLS handshakes and PROXY headers under way", "closed at once"),
	timeLimit("handshake_timeout", 5*time.Second, tick, maxTime, func(l *Limits) *time.Duration { return &l.HandshakeTimeout },
		"a TLS handshake or PROXY header has to be complete within this time", "closed without a word"),
	timeLimit("heartbeat", 25*time.Second, tick, maxTime, func(l *Limits) *time.Duration { return &l.Heartbeat },
		"time between two pings to a websocket", "see heartbeat_misses"),
	countLimit("heartbeat_misses", "count", 2, 1, 100, func(l *Limits) *int { return &l.HeartbeatMisses },
		"pings in a row without any byte from the client before it is given up", "cut"),
	timeLimit("line_idle", 0, 0, maxTime, func(l *Limits) *time.Duration { return &l.LineIdle },
		"a line client has to send something within this time; 0 is no limit, dead peers are found by TCP keep-alive", "idle"),
	timeLimit("keepalive", time.Minute, time.Second, maxTime, func(l *Limits) *time.Duration { return &l.KeepAlive },
		"silence after which TCP probes a line client, three times, a third of this time apart", "cut"),
	timeLimit("drain_spread", 5*time.Second, 0, maxTime, func(l *Limits) *time.Duration { return &l.DrainSpread },
		"time over which a drain spreads the closing of its connections", "1001"),
	timeLimit("loop_stall", 10*time.Second, time.Second, maxTime, func(l *Limits) *time.Duration { return &l.LoopStall },
		"an event loop that does nothing for this time has failed: the engine stops with an error", "the process ends"),
}

// DefaultLimits returns the defaults of LimitsTable.
func DefaultLimits() Limits {
	var l Limits
	for _, row := range limitTable {
		row.put(&l, row.def)
	}
	return l
}

// LimitsTable lists every limit in the order of its groups. The caller owns the slice.
func LimitsTable() []Limit { return append([]Limit(nil), limitTable...) }

func (row *Limit) put(l *Limits, v int64) {
	switch p := row.field(l).(type) {
	case *int:
		*p = int(v)
	case *time.Duration:
		*p = time.Duration(v)
	}
}

func (row *Limit) value(l *Limits) int64 {
	switch p := row.field(l).(type) {
	case *int:
		return int64(*p)
	case *time.Duration:
		return int64(*p)
	}
	return 0
}

func findLimit(name string) (*Limit, error) {
	for i := range limitTable {
		if limitTable[i].Name == name {
			return &limitTable[i], nil
		}
	}
	return nil, fmt.Errorf("no limit named %q", name)
}

// Set gives the named limit a value in the text form of Get: a whole number, or a duration such as "5s".
func (l *Limits) Set(name, value string) error {
	row, err := findLimit(name)
	if err != nil {
		return err
	}
	var v int64
	want := "a whole number"
	if row.Unit == "time" {
		want = "a duration such as 5s"
		var d time.Duration
		d, err = time.ParseDuration(value)
		v = int64(d)
	} else {
		v, err = strconv.ParseInt(value, 10, 64)
	}
	if err != nil {
		return fmt.Errorf("%s: %q is not %s", name, value, want)
	}
	if err := row.check(v); err != nil {
		return err
	}
	row.put(l, v)
	return nil
}

// Get returns the named limit as text, "" for an unknown name.
func (l *Limits) Get(name string) string {
	row, err := findLimit(name)
	if err != nil {
		return ""
	}
	return row.text(row.value(l))
}

func (row *Limit) text(v int64) string {
	if row.Unit == "time" {
		return time.Duration(v).String()
	}
	return strconv.FormatInt(v, 10)
}

func (row *Limit) check(v int64) error {
	if v < row.Min || v > row.Max {
		return fmt.Errorf("%s: %s is outside %s to %s", row.Name, row.text(v), row.text(row.Min), row.text(row.Max))
	}
	return nil
}

// Validate returns an error that names the first limit out of its range.
func (l *Limits) Validate() error {
	for i := range limitTable {
		if err := limitTable[i].check(limitTable[i].value(l)); err != nil {
			return err
		}
	}
	return nil
}
