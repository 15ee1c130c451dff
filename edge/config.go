package edge

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"

	"gosper/broker"
	"gosper/edge/module"
	"gosper/protocol"
)

// Listener is one address on which clients connect straight to an event loop.
type Listener struct {
	Name string // for Engine.Addr; errors name the option Name-addr: "line"
	Addr string // host:port; port 0 chooses a free one
	Door Door
	// TLS, if set, makes this a TLS listener.
	TLS *tls.Config
	// ProxyFrom lists the addresses of balancers. Who connects from one of them must begin with a PROXY protocol header
	// (version 1 or 2); from any other address such a header is an error of the client's protocol.
	ProxyFrom []netip.Prefix
	// ReusePort lets several processes of a machine listen on Addr; the kernel shares out connections among them.
	ReusePort bool
}

// Config is what an engine needs. Bus and Dispatcher are required.
type Config struct {
	Loops      int // event loops, 1 to 64; 0 means one a CPU
	Listeners  []Listener
	Limits     Limits // DefaultLimits() unless set
	Bus        broker.Bus
	Dispatcher module.Dispatcher
	Streams    *Streams     // of the node's games; nil: there is nothing to watch
	Log        *slog.Logger // nil means none
}

// MaxLoops is how many event loops an engine may have.
const MaxLoops = 64 // one bit each in subject.loops

func (c *Config) complete() error {
	if c.Loops == 0 {
		c.Loops = min(runtime.GOMAXPROCS(0), MaxLoops)
	}
	if c.Loops < 1 || c.Loops > MaxLoops {
		return fmt.Errorf("loops: %d is outside 1 to %d", c.Loops, MaxLoops)
	}
	if c.Bus == nil || c.Dispatcher == nil {
		return errors.New("bus and dispatcher are required")
	}
	if c.Limits == (Limits{}) {
		c.Limits = DefaultLimits()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	for i := range c.Listeners {
		if c.Listeners[i].Door == nil {
			return fmt.Errorf("listener %q has no door", c.Listeners[i].Name)
		}
	}
	return c.Limits.Validate()
}

// AdoptInfo tells what is known of a connection that was opened elsewhere.
type AdoptInfo struct {
	Remote      netip.Addr // the client; zero means the peer of the socket
	Subprotocol string     // chosen in the websocket handshake, "" for none
	Leftover    []byte     // bytes of the client that were read behind the handshake; kept until they are handled
	Welcome     []byte     // content of the first message, a JSON object; nil means the door's own
	Acquired    bool       // the caller's Engine.Acquire is handed over: the connection has its place already
	Listening   *Listening // for the events door: what the connection hears; it belongs to the connection from now on
}

// Listening says what a connection of the events door hears.
type Listening struct {
	First    func() []byte      // makes what is sent first, once the listener hears; called off the loop, until it stays the same; nil for nothing. A JSON text
	Refusal  []byte             // sent instead of everything, before the end; nil for a listener that is welcome. A JSON text
	Code     protocol.CloseCode // ends a listener that is refused, now or later
	Subjects []string
	Since    []broker.Position // of each subject: what came after it is sent first. Empty, or a zero one: it begins now
	Placed   bool              // each message has a member "position" more, and the first one tells where the listener begins
	// Still returns what to send before the end to a listener that may hear no more, nil to one that may. It is asked at
	// every ping, off the loop. nil: for ever.
	Still func() (refusal []byte)
}
