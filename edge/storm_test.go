package edge_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gosper/edge"
	"gosper/edge/module"
)

// stormEnv makes the test binary a server instead of running tests, in the modes capped and greedy under a lowered
// descriptor limit.
const stormEnv = "GOSPER_TEST_STORM"

func stormServer() {
	limits := edge.DefaultLimits()
	mode := os.Getenv(stormEnv)
	if mode == "silent" {
		limits.AuthTimeout = silentTime
	} else if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 300, Max: 300}); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	if mode == "greedy" { // the cap is beyond the limit: accept meets EMFILE
		limits.DescriptorReserve = 1
	}
	bus := newBus()
	e, err := edge.Start(edge.Config{
		Loops: 2, Limits: limits, Bus: bus, Dispatcher: &fakeModule{bus: bus, sessions: map[uint64]module.Session{}},
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
			cmd, addr, end := startStormServer(t, mode)
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
			end()
			if err := cmd.Wait(); err != nil {
				t.Errorf("the server ended with %v", err)
			}
		})
	}
}

// startStormServer runs the test binary as a server. end lets it end.
func startStormServer(t *testing.T, mode string) (cmd *exec.Cmd, addr *net.TCPAddr, end func()) {
	t.Helper()
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), stormEnv+"="+mode)
	in, errIn := cmd.StdinPipe()
	out, errOut := cmd.StdoutPipe()
	if err := errors.Join(errIn, errOut, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	said, err := bufio.NewReader(out).ReadString('\n')
	if err == nil {
		addr, err = net.ResolveTCPAddr("tcp", strings.TrimSpace(said))
	}
	if err != nil {
		t.Fatal(err, said)
	}
	return cmd, addr, func() { in.Close() }
}

// silentTime is auth_timeout of the server of silent connections: enough to open all of them.
const silentTime = 4 * time.Second

// Ten thousand connections from which nothing useful comes are closed when their time to register is over: half of them
// say nothing, half send nearly all a guest may without ending the line. A player among them is served all the time, and
// the server keeps no more than 8 KiB for each.
func TestSilentConnections(t *testing.T) {
	count := 10_000
	var rl syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &rl); err != nil {
		t.Fatal(err)
	}
	if room := int(min(rl.Cur, 1<<20))*9/10 - 200; room < count {
		count = room
		t.Logf("only %d connections: the descriptor limit is %d", count, rl.Cur)
	}
	cmd, addr, end := startStormServer(t, "silent")
	player := dial(t, addr)
	player.send("00REGISTERw/ann/\r\n")
	player.want("00000000OK")
	before := residentKiB(t, cmd.Process.Pid)
	unfinished := []byte("00REGISTER" + strings.Repeat("n", 4000))
	silent := make([]net.Conn, 0, count)
	for i := range count {
		c, err := net.Dial("tcp", addr.String())
		if err != nil {
			t.Fatal(i, err)
		}
		defer c.Close()
		silent = append(silent, c)
		if i%2 == 1 {
			c.Write(unfinished) // may fail when opening all took longer than a guest has
		}
		if i%1000 == 0 {
			player.send("000000PINGx\r\n")
			player.want("000000PONGx")
		}
	}
	grown := residentKiB(t, cmd.Process.Pid) - before
	t.Logf("%d silent connections: %d KiB more", count, grown)
	if grown > 8*count*memoryFactor {
		t.Errorf("%d connections took %d KiB", count, grown)
	}
	for i, c := range silent {
		c.SetReadDeadline(time.Now().Add(patience))
		if n, err := c.Read(make([]byte, 1)); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("connection %d: %d bytes, %v", i, n, err)
		}
	}
	player.send("000000PINGx\r\n")
	player.want("000000PONGx")
	end()
	if err := cmd.Wait(); err != nil {
		t.Errorf("the server ended with %v", err)
	}
}

// residentKiB returns the memory of a process.
func residentKiB(t *testing.T, pid int) (kib int) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "VmRSS:")
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatal(err)
	}
	return kib
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
