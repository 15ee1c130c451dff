package edge_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gosper/edge"
)

// stormEnv makes the test binary a server under a lowered descriptor limit instead of running tests.
const stormEnv = "GOSPER_TEST_STORM"

func stormServer() {
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 300, Max: 300}); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	limits := edge.DefaultLimits()
	if os.Getenv(stormEnv) == "greedy" { // the cap is beyond the limit: accept meets EMFILE
		limits.DescriptorReserve = 1
	}
	bus := newBus()
	e, err := edge.Start(edge.Config{
		Loops: 2, Limits: limits, Bus: bus, Dispatcher: &fakeModule{bus: bus},
		Listeners: []edge.Listener{{Name: "line", Addr: "127.0.0.1:0", Door: lineDoor}},
	})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(e.Addr("line"))
	bufio.NewReader(os.Stdin).ReadByte() // until the test is over
	select {
	case <-e.Done():
		os.Exit(2)
	default:
		e.Close()
		os.Exit(0)
	}
}

// With the descriptor limit at 300 a storm of connections, many more than there are descriptors, is refused beyond the
// cap. Those who are in stay served, and after the storm new ones come in. Once with the cap, once with a cap so large
// that accept itself fails.
func TestDescriptorStorm(t *testing.T) {
	for _, mode := range []string{"capped", "greedy"} {
		t.Run(mode, func(t *testing.T) {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), stormEnv+"="+mode)
			in, _ := cmd.StdinPipe()
			out, _ := cmd.StdoutPipe()
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			said, err := bufio.NewReader(out).ReadString('\n')
			if err != nil {
				t.Fatal(err, said)
			}
			addr, err := net.ResolveTCPAddr("tcp", said[:len(said)-1])
			if err != nil {
				t.Fatal(said)
			}
			inside := dial(t, addr)
			inside.send("000000EXIT") // not registered: stays silent until its time is over
			storm(addr.String(), 2*time.Second)
			wait(t, "a new client after the storm", func() bool {
				c, err := net.Dial("tcp", addr.String())
				if err != nil {
					return false
				}
				defer c.Close()
				c.Write([]byte("nonsense\r\n"))
				c.SetReadDeadline(time.Now().Add(time.Second))
				_, err = c.Read(make([]byte, 1))
				ne, ok := err.(net.Error)
				return !ok || !ne.Timeout()
			})
			in.Close()
			if err := cmd.Wait(); err != nil {
				t.Errorf("the server ended with %v", err)
			}
		})
	}
}

// storm opens as many connections as it can for a while and lets each go after a moment.
func storm(addr string, d time.Duration) {
	var wg sync.WaitGroup
	var opened atomic.Int64
	end := time.Now().Add(d)
	for range 16 {
		wg.Go(func() {
			var held []net.Conn
			for time.Now().Before(end) {
				c, err := net.DialTimeout("tcp", addr, 100*time.Millisecond)
				if err != nil {
					continue
				}
				opened.Add(1)
				if held = append(held, c); len(held) > 40 {
					held[0].(*net.TCPConn).SetLinger(0)
					held[0].Close()
					held = held[1:]
				}
			}
			for _, c := range held {
				c.Close()
			}
		})
	}
	wg.Wait()
}
