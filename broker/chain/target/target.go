package target

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"gosper/broker/chain"
)

// Options of a Gateway. The zero value of a figure means its default.
type Options struct {
	Services    func() *Services                  // the checked table that is in force; called for every request
	Secret      func(name string) (string, error) // secrets by name; nil: there are none
	Resolver    *net.Resolver                     // of names; nil: that of the system
	TLS         *tls.Config                       // root certificates and the like; nil: those of the system
	Concurrency int                               // calls of one service at a time. Default 32
	Answer      int                               // bytes of an answer's body. Default 256 KiB
	DialTimeout time.Duration                     // Default 5 s
	Idle        time.Duration                     // an unused connection is closed after it. Default 1 min
	Log         *slog.Logger
	Now         func() time.Time
}

// Gateway makes calls. It is a chain.Executor; its methods may be called from any goroutine.
type Gateway struct {
	o              Options
	public, within *http.Client // to public addresses only; to any
	queues         *links

	mu       sync.Mutex
	breakers map[string]*breaker // by origin
}

// New returns a gateway.
func New(o Options) *Gateway {
	if o.Concurrency == 0 {
		o.Concurrency = 32
	}
	if o.Answer == 0 {
		o.Answer = 256 << 10
	}
	if o.DialTimeout == 0 {
		o.DialTimeout = 5 * time.Second
	}
	if o.Idle == 0 {
		o.Idle = time.Minute
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	g := &Gateway{o: o, breakers: make(map[string]*breaker)}
	g.public, g.within = g.client(false), g.client(true)
	g.queues = newLinks(&g.o)
	return g
}

// Close ends idle connections, and AMQP connections at once. No call may be under way.
func (g *Gateway) Close() {
	g.public.CloseIdleConnections()
	g.within.CloseIdleConnections()
	g.queues.close()
}

// Do makes one call. See chain.Executor.
func (g *Gateway) Do(ctx context.Context, s chain.Step) chain.Outcome {
	p, err := g.o.Services().find(&s.Request)
	if err != nil {
		refusals.Inc()
		return refused("not allowed", err)
	}
	b := g.breaker(p)
	t, away, err := b.enter(ctx, g.o.Now())
	if err != nil {
		return failed("timeout", errors.New("no place for a call in time"))
	}
	if away > 0 {
		broken.Inc()
		out := failed("left alone", errors.New("the service has failed again and again, or too many calls wait for it"))
		out.After, out.Unmade = away, true
		return out
	}
	v := dead
	defer func() { b.leave(t, v, g.o.Now()) }() // after a panic too
	begun := g.o.Now()
	var out chain.Outcome
	blameless := false
	if s.Request.Type == chain.TypeAMQP {
		out, blameless = g.publish(ctx, &s, p)
	} else {
		out = g.request(ctx, &s, p)
	}
	if v = nothing; !blameless {
		v = judge(ctx, &out, g.o.Now().Sub(begun))
	}
	return out
}

// patience is how long a call must have lasted to say, by its end without an answer, that a service is not well: a
// message that gives its calls a millisecond tells nothing.
const patience = time.Second

func judge(ctx context.Context, out *chain.Outcome, took time.Duration) verdict {
	switch {
	case !out.Response.Error:
		return alive
	case errors.Is(ctx.Err(), context.Canceled), over(ctx) && took < patience, !out.Retry:
		return nothing
	}
	return dead
}

// over reports whether a call is wanted no longer. A connection that was given the deadline of the context may meet it a moment before the
// context does.
func over(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && !time.Now().Before(deadline)
}

// breaker returns the one of a service.
func (g *Gateway) breaker(p place) *breaker {
	g.mu.Lock()
	defer g.mu.Unlock()
	b := g.breakers[p.origin]
	most := p.service.Concurrency
	if most == 0 {
		most = g.o.Concurrency
	}
	if b == nil || cap(b.places) != most { // the table has changed; calls under way have the old one
		b = newBreaker(most)
		g.breakers[p.origin] = b
	}
	return b
}

// note is the metadata of an answer.
type note struct {
	Reason   string `json:"reason,omitempty"` // why there is no answer
	Detail   string `json:"detail,omitempty"`
	Status   int    `json:"status,omitempty"` // of HTTP
	Kind     string `json:"content_type,omitempty"`
	Encoding string `json:"encoding,omitempty"` // base64: the body was no UTF-8
	Millis   int64  `json:"ms"`
}

func (n note) String() string {
	b, _ := json.Marshal(n) // texts and numbers cannot fail to encode
	return string(b)
}

// refused is the outcome of a request that must not be made: it is not tried again.
func refused(reason string, err error) chain.Outcome {
	return chain.Outcome{Response: chain.Response{Error: true, Metadata: note{Reason: reason, Detail: err.Error()}.String()}}
}

// failed is the outcome of a call without an answer: the next may do better.
func failed(reason string, err error) chain.Outcome {
	out := refused(reason, err)
	out.Retry = true
	return out
}

var secretMark = regexp.MustCompile(`\{secret:([^{}]+)\}`)

var errNoSecrets = errors.New("this node keeps no secrets")

// secret returns a secret by its name.
func (g *Gateway) secret(name string) (string, error) {
	if g.o.Secret == nil {
		return "", errNoSecrets
	}
	return g.o.Secret(name)
}

// fill puts secrets where a text names them, and adds them to used.
func (g *Gateway) fill(text string, used *[]string) (string, error) {
	if !strings.Contains(text, "{secret:") {
		return text, nil
	}
	var first error
	text = secretMark.ReplaceAllStringFunc(text, func(mark string) string {
		value, err := g.secret(secretMark.FindStringSubmatch(mark)[1])
		if err != nil && first == nil {
			first = err
		}
		if value != "" {
			*used = append(*used, value)
		}
		return value
	})
	return text, first
}
