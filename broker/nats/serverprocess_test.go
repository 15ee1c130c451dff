package nats

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"gosper/broker/quiet"
)

// serverEnv holds what a server process is to do; see processServer.
const serverEnv = "GOSPER_TEST_NATS_SERVER"

// seat is where a server is.
type seat struct {
	Name, Dir   string
	Port, Route int
	Others      string // URLs of the routes of a cluster, "" for a server by itself
}

// serveProcess runs a server until its input ends, when this process was started for that.
func serveProcess() bool {
	text := os.Getenv(serverEnv)
	if text == "" {
		return false
	}
	var p seat
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		panic(err)
	}
	o := &server.Options{ServerName: p.Name, Host: "127.0.0.1", Port: p.Port, JetStream: true, StoreDir: p.Dir, NoSigs: true, NoLog: true}
	if p.Others != "" {
		o.Cluster.Name, o.Cluster.Host, o.Cluster.Port = "test", "127.0.0.1", p.Route
		o.Routes = server.RoutesFromStr(p.Others)
	}
	s, err := server.NewServer(o)
	if err != nil {
		panic(err)
	}
	s.Start()
	if !s.ReadyForConnections(patience) {
		panic("the server does not start")
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin) // ends with the test's process, whatever becomes of it
	return true
}

// processServer is a server in a process of its own, which can be killed.
type processServer struct {
	seat
	cmd   *exec.Cmd
	stdin io.Closer
}

// start runs it and waits until it takes connections.
func (p *processServer) start(t *testing.T) {
	t.Helper()
	text, err := json.Marshal(p.seat)
	if err != nil {
		t.Fatal(err)
	}
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), serverEnv+"="+string(text))
	p.cmd.Stderr = os.Stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stdin = in
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("the server says %q, %v", line, err)
	}
}

// kill ends it as a crash does.
func (p *processServer) kill() {
	if p.cmd != nil {
		_ = p.cmd.Process.Kill() // it may be gone
		_ = p.cmd.Wait()
		p.stdin.Close()
		p.cmd = nil
	}
}

func (p *processServer) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

func (p *processServer) url() string { return fmt.Sprintf("nats://127.0.0.1:%d", p.Port) }

// processes starts servers in processes of their own: a cluster when they are several.
func processes(t *testing.T, count int) []*processServer {
	t.Helper()
	ports := freePorts(t, 2*count)
	var routes []string
	for _, port := range ports[count:] {
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", port))
	}
	others := strings.Join(routes, ",")
	if count == 1 {
		others = ""
	}
	var all []*processServer
	for i := range count {
		p := &processServer{seat: seat{fmt.Sprint("n", i), t.TempDir(), ports[i], ports[count+i], others}}
		all = append(all, p)
		t.Cleanup(p.kill)
		p.start(t)
	}
	return all
}

func freePorts(t testing.TB, count int) []int {
	t.Helper()
	addrs, err := quiet.Addrs(count)
	if err != nil {
		t.Fatal(err)
	}
	ports := make([]int, count)
	for i, addr := range addrs {
		at, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		ports[i] = at.Port
	}
	return ports
}
