package redis

import (
	"log/slog"
	"time"
)

// Limits of the package. Each has a code or an effect, and a metric.
const (
	// MaxQueue is how many messages wait in one publishing lane; more are refused with broker.ErrBusy.
	MaxQueue = 8192
	// MaxQueueBytes is how many bytes wait in all lanes together; more are refused with broker.ErrBusy.
	MaxQueueBytes = 64 << 20
	// MessagePatience is how long a message waits for a server that is away before done tells broker.ErrTimeout.
	MessagePatience = 5 * time.Second
	// CallPatience is how long a call of the Registry or of History waits for an answer; broker.ErrTimeout after it.
	CallPatience = 5 * time.Second

	batchMessages  = 256     // of one pipeline
	batchBytes     = 1 << 20 // of one pipeline: more wait for the next
	channelsAtOnce = 1000    // of one SUBSCRIBE
	echoPatience   = time.Second
	breakPatience  = 250 * time.Millisecond // for a link that is down, of calls; broker.ErrBusy after it
	closePatience  = 500 * time.Millisecond // for messages that wait when the bus is closed
	subjectAge     = time.Hour              // a subject that nobody published to for so long loses its history

	answerTimeout = 2 * time.Second // a connection without an answer for so long is lost: half-open or stopped
	pingEvery     = time.Second     // on a connection without traffic
	dialTimeout   = 2 * time.Second
	retryFirst    = 50 * time.Millisecond // waits between attempts to connect; doubled up to retryMost
	retryMost     = time.Second
	bufferSize    = 64 << 10 // bytes for reading, and for writing, of one connection
)

// Options say where Redis is. URL is needed; see the package documentation for its forms.
type Options struct {
	URL      string
	Password string       // when the URL has none
	Log      *slog.Logger // nil: none
}
