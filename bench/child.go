package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// readyTimeout is how long a child may take until it says that it is ready: on a busy machine a cluster takes a while.
const readyTimeout = 2 * time.Minute

// child is a process under measurement. Its methods may be called from any goroutine.
type child struct {
	// Static after start.
	name string
	pid  int
	done chan struct{} // closed when the process has ended

	// Guarded by mu.
	mu   sync.Mutex
	tail []byte // end of its standard error, for the message when it dies
	err  error
}

// startChild runs binary with args. The child dies with this process, whatever ends it. The returned reader is its
// standard output.
func startChild(name, binary string, args []string, log io.Writer) (*child, io.Reader, error) {
	c := &child{name: name, done: make(chan struct{})}
	cmd := exec.Command(binary, args...)
	cmd.Stderr = &tailWriter{c: c, also: log}
	// A group of its own: an interrupt from the keyboard reaches this process only, which ends its children in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	started := make(chan error)
	go func() {
		// The kernel sends Pdeathsig when the *thread* that forked ends, so this goroutine keeps its thread.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		undo := pinThread(pinned.servers) // the child begins with the cores of the thread that forks
		err := cmd.Start()
		undo()
		if err != nil {
			started <- err
			return
		}
		c.pid = cmd.Process.Pid
		started <- nil
		err = cmd.Wait()
		c.mu.Lock()
		c.err = err
		c.mu.Unlock()
		close(c.done)
	}()
	if err := <-started; err != nil {
		return nil, nil, fmt.Errorf("start %s: %w", name, err)
	}
	return c, out, nil
}

// stop ends the child: asked first, killed after a while. It returns when the process has gone.
func (c *child) stop() {
	if c == nil || c.pid == 0 {
		return
	}
	_ = syscall.Kill(c.pid, syscall.SIGTERM)
	select {
	case <-c.done:
	case <-time.After(5 * time.Second):
		_ = syscall.Kill(c.pid, syscall.SIGKILL)
		<-c.done
	}
}

// died returns why the child ended, with the end of what it wrote to standard error; nil while it runs.
func (c *child) died() error {
	select {
	case <-c.done:
	default:
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Errorf("%s ended: %v: %s", c.name, c.err, strings.TrimSpace(string(c.tail)))
}

// tailWriter keeps the last bytes of a child's standard error.
type tailWriter struct {
	c    *child
	also io.Writer
}

func (w *tailWriter) Write(b []byte) (int, error) {
	const keep = 2048
	w.c.mu.Lock()
	w.c.tail = append(w.c.tail, b...)
	if n := len(w.c.tail); n > keep {
		w.c.tail = append(w.c.tail[:0], w.c.tail[n-keep:]...)
	}
	w.c.mu.Unlock()
	if w.also != nil {
		_, _ = w.also.Write(b)
	}
	return len(b), nil
}

// startPeer starts this binary as one of the peers (see PeerMain) and returns the address it listens on and the
// version it states.
func startPeer(ctx context.Context, o Options, peer string, args ...string) (c *child, addr, version string, err error) {
	c, out, err := startChild(peer, o.Binary, append([]string{"bench", PeerArg, peer}, args...), o.Log)
	if err != nil {
		return nil, "", "", err
	}
	line := make(chan string, 1)
	go func() {
		s, _ := bufio.NewReader(out).ReadString('\n')
		line <- s
	}()
	select {
	case s := <-line:
		if addr, version, ok := strings.Cut(strings.TrimSpace(s), " "); ok {
			return c, addr, version, nil
		}
		err = c.died()
		if err == nil {
			err = fmt.Errorf("%s said %q when it started", peer, s)
		}
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(readyTimeout):
		err = errors.New(peer + " is not ready in time")
	}
	c.stop()
	return nil, "", "", err
}
