package bench

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/panjf2000/gnet/v2"
)

// PeerArg is the hidden word after "bench" with which this binary starts as a peer: `gosper bench peer-process gnet`.
const PeerArg = "peer-process"

// PeerMain runs a peer until ctx ends. It prints "host:port version" on out when it is ready. args are the words
// after PeerArg.
func PeerMain(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		return errors.New("which peer?")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	loops := flags.Int("loops", 0, "event loops")
	dir := flags.String("dir", "", "folder of a peer with data")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	switch args[0] {
	case "gnet":
		return gnetMain(ctx, *loops, out)
	case "nats":
		return natsMain(ctx, out)
	case "jetstream":
		return jetstreamMain(ctx, *dir, out)
	case natsServerPeer:
		return natsServerMain(ctx, *dir, flags.Args(), out)
	case crowdPeer:
		return crowdMain(ctx, *dir, flags.Args(), out)
	case gateWorkerPeer:
		return gateWorkerMain(ctx, flags.Args(), out)
	case "floor":
		return floorMain(ctx, *dir, out)
	}
	return fmt.Errorf("no peer %q", args[0])
}

// gnetEcho is the least an event loop can do for a message: one read, one write. It has the options the edge uses.
type gnetEcho struct {
	gnet.BuiltinEventEngine
	booted chan gnet.Engine
}

func (e *gnetEcho) OnBoot(eng gnet.Engine) gnet.Action {
	e.booted <- eng
	return gnet.None
}

func (e *gnetEcho) OnTraffic(c gnet.Conn) gnet.Action {
	b, err := c.Next(-1)
	if err != nil {
		return gnet.Close
	}
	if _, err := c.Write(b); err != nil {
		return gnet.Close
	}
	return gnet.None
}

// quiet drops gnet's log: it would go to standard output, where the address is expected.
type quiet struct{}

func (quiet) Debugf(string, ...any) {}
func (quiet) Infof(string, ...any)  {}
func (quiet) Warnf(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(string, ...any) {}

func gnetMain(ctx context.Context, loops int, out io.Writer) error {
	e := &gnetEcho{booted: make(chan gnet.Engine, 1)}
	ended := make(chan error, 1)
	options := []gnet.Option{gnet.WithReuseAddr(true), gnet.WithReusePort(true), gnet.WithTCPNoDelay(gnet.TCPNoDelay),
		gnet.WithLogger(quiet{})}
	if loops > 0 {
		options = append(options, gnet.WithNumEventLoop(loops))
	} else {
		options = append(options, gnet.WithMulticore(true))
	}
	addr, err := quietAddr() // with SO_REUSEPORT every loop has a listener, so port 0 would give each another port
	if err != nil {
		return err
	}
	go func() { ended <- gnet.Run(e, "tcp://"+addr, options...) }()
	var eng gnet.Engine
	select {
	case err := <-ended:
		return fmt.Errorf("gnet: %w", err)
	case eng = <-e.booted:
	}
	fmt.Fprintln(out, addr, moduleVersion("github.com/panjf2000/gnet/v2"))
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	return eng.Stop(stopping)
}

func natsMain(ctx context.Context, out io.Writer) error {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true})
	if err != nil {
		return fmt.Errorf("nats-server: %w", err)
	}
	return serveNATS(ctx, s, out)
}

// serveNATS runs a NATS server until ctx ends, and prints its address and version when it is ready.
func serveNATS(ctx context.Context, s *server.Server, out io.Writer) error {
	go s.Start()
	if !s.ReadyForConnections(readyTimeout) {
		return errors.New("nats-server is not ready in time")
	}
	fmt.Fprintf(out, "%s %s\n", s.Addr(), "v"+server.VERSION)
	<-ctx.Done()
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}

// loopsArg is the argument that gives a peer as many event loops as the server under test has; 0 leaves it its default.
func loopsArg(loops int) []string {
	if loops <= 0 {
		return nil
	}
	return []string{"--loops", strconv.Itoa(loops)}
}
