package chain

import (
	"errors"
	"fmt"
	"time"
)

// ErrBadWork is wrapped by every refusal of a work message, with what is wrong and where.
var ErrBadWork = errors.New("work message refused")

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrBadWork, fmt.Sprintf(format, args...))
}

// Types of requests.
const (
	TypeHTTPS = "HTTPS"
	TypeHTTP  = "HTTP" // only where the target package was told to allow it
	TypeAMQP  = "AMQP"
)

// Request is what one item asks of a service. For HTTPS the URL is scheme and host, Endpoint the path; for AMQP the URL is that
// of the broker, Endpoint the queue and Method "publish". Payload is opaque text, mostly JSON.
type Request struct {
	URL      string `json:"url"`
	Endpoint string `json:"endpoint"`
	Type     string `json:"type"`
	Method   string `json:"method"`
	Payload  string `json:"payload"`
}

// Response is the answer to one item. OK is the service's verdict; Error says that no verdict came: the service was not
// reached, timed out or answered outside of the rules. Data is the answer's body, Metadata a JSON object about the call.
type Response struct {
	Error    bool   `json:"error"`
	OK       bool   `json:"ok"`
	Data     string `json:"data"`
	Metadata string `json:"metadata"`
}

// OnFailure says what a failed item means for its chain.
type OnFailure string

// What a failed item can mean.
const (
	Stop       OnFailure = "stop"       // the default: later orders are skipped
	Continue   OnFailure = "continue"   // as if it had not failed
	Compensate OnFailure = "compensate" // later orders are skipped, done items with a Compensate request are undone, last first
)

// Item is one step of a chain. The zero value of an option means the engine's default.
type Item struct {
	Order   int
	Request Request
	Options ItemOptions
}

// ItemOptions are members that the original pattern does not have; messages without them are complete.
type ItemOptions struct {
	Timeout    time.Duration // of one attempt
	Attempts   int           // tries before the item has failed
	Backoff    time.Duration // a retry waits a random time up to Backoff doubled for each try
	MaxBackoff time.Duration
	OnFailure  OnFailure
	Compensate *Request // undoes the item; run only after it was done and a later one failed
	Await      bool     // the call only begins the work: the answer is that of a notification message
}

// Options of a whole chain.
type Options struct {
	Deadline time.Duration // from submission; steps after it are skipped. 0: the engine's default
	Webhook  string        // gets the completion message by POST, through the same gateway as items
}

// Work is a checked work message. Items are in ascending order; items of one order keep the order of the message.
type Work struct {
	Hash    string
	Items   []Item
	Options Options
}

// Limits of messages. The zero value of a field means its default.
type Limits struct {
	Message int  // bytes of a message. Default 1 MiB
	Items   int  // items of a chain. Default 100
	Payload int  // bytes of one payload. Default 256 KiB
	Lax     bool // takes any text of 1 to 64 characters as hash instead of checking it
}

// MaxOrder is the highest order of an item.
const MaxOrder = 1_000_000

// Longest texts of a request in bytes, and longest times of its options.
const (
	maxURL    = 2048
	maxHash   = 64
	maxTime   = 7 * 24 * time.Hour
	maxTries  = 100
	maxMethod = 16
)

// WithDefaults fills in the defaults.
func (l Limits) WithDefaults() Limits {
	if l.Message == 0 {
		l.Message = 1 << 20
	}
	if l.Items == 0 {
		l.Items = 100
	}
	if l.Payload == 0 {
		l.Payload = 256 << 10
	}
	return l
}

// check names the first item or option that cannot be.
func (w *Work) check(l Limits) error {
	if len(w.Items) == 0 {
		return refuse("items: at least one is needed")
	}
	if len(w.Items) > l.Items {
		return refuse("items: %d, at most %d", len(w.Items), l.Items)
	}
	for i := range w.Items {
		if err := w.Items[i].check(l); err != nil {
			return refuse("items[%d]: %s", i, err)
		}
	}
	if err := w.checkReferences(); err != nil {
		return err
	}
	if w.Options.Deadline < 0 || w.Options.Deadline > maxTime {
		return refuse("options.deadline_ms: must be 0 to %d", maxTime.Milliseconds())
	}
	if len(w.Options.Webhook) > maxURL {
		return refuse("options.webhook: longer than %d bytes", maxURL)
	}
	return nil
}

func (it *Item) check(l Limits) error {
	if it.Order < 0 || it.Order > MaxOrder {
		return fmt.Errorf("order: %d is not 0 to %d", it.Order, MaxOrder)
	}
	if err := it.Request.check(l); err != nil {
		return fmt.Errorf("request.%w", err)
	}
	o := &it.Options
	for _, t := range []struct {
		name string
		d    time.Duration
	}{{"timeout_ms", o.Timeout}, {"backoff_ms", o.Backoff}, {"max_backoff_ms", o.MaxBackoff}} {
		if t.d < 0 || t.d > maxTime {
			return fmt.Errorf("options.%s: must be 0 to %d", t.name, maxTime.Milliseconds())
		}
	}
	if o.Attempts < 0 || o.Attempts > maxTries {
		return fmt.Errorf("options.attempts: must be 0 to %d", maxTries)
	}
	switch o.OnFailure {
	case "", Stop, Continue, Compensate:
	default:
		return fmt.Errorf("options.on_failure: %q is not stop, continue or compensate", o.OnFailure)
	}
	if o.Compensate != nil {
		if err := o.Compensate.check(l); err != nil {
			return fmt.Errorf("options.compensate.%w", err)
		}
	}
	return nil
}

func (r *Request) check(l Limits) error {
	switch r.Type {
	case TypeHTTPS, TypeHTTP, TypeAMQP:
	default:
		return fmt.Errorf("type: %q is not HTTPS, HTTP or AMQP", r.Type)
	}
	switch {
	case len(r.URL) > maxURL:
		return fmt.Errorf("url: longer than %d bytes", maxURL)
	case len(r.Endpoint) > maxURL:
		return fmt.Errorf("endpoint: longer than %d bytes", maxURL)
	case len(r.Method) > maxMethod:
		return fmt.Errorf("method: longer than %d bytes", maxMethod)
	case len(r.Payload) > l.Payload:
		return fmt.Errorf("payload: %d bytes, at most %d", len(r.Payload), l.Payload)
	case r.Type == TypeAMQP && r.Method != "publish":
		return fmt.Errorf("method: %q is not publish", r.Method)
	case r.Type == TypeAMQP && r.Endpoint == "":
		return errors.New("endpoint: the name of a queue is missing")
	}
	return nil
}

// Result is one item's answer in a notification or completion message.
type Result struct {
	Order    int      `json:"order"`
	Response Response `json:"response"`
}
