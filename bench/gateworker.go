package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"gosper/protocol"
)

// gateWorkerPeer is the name under which this binary starts as a worker of the gate.
const gateWorkerPeer = "gate-worker"

// gateEcho is the function that it answers.
const gateEcho = "bench_echo"

// gateWorkerMain takes jobs at the beanstalkd port and answers them at the gate's worker port until ctx ends.
func gateWorkerMain(ctx context.Context, addrs []string, out io.Writer) error {
	if len(addrs) != 2 {
		return errors.New("want the addresses of the queue and of the gate")
	}
	reply, err := net.Dial("tcp", addrs[1])
	if err != nil {
		return err
	}
	defer reply.Close()
	w := &gateWorker{gate: reply}
	var work sync.WaitGroup
	defer work.Wait()
	faults := make(chan error, gateWorkers)
	for range gateWorkers {
		c, err := net.Dial("tcp", addrs[0])
		if err != nil {
			return err
		}
		defer c.Close()
		in := bufio.NewReader(c)
		if _, err := io.WriteString(c, "watch jobs\r\nreserve\r\n"); err != nil {
			return err
		}
		if line, err := in.ReadString('\n'); err != nil || line != "WATCHING 2\r\n" {
			return fmt.Errorf("watch was answered %q: %v", line, err)
		}
		work.Go(func() { faults <- w.work(c, in) })
	}
	fmt.Fprintln(out, "- "+gateWorkerPeer)
	select {
	case err := <-faults:
		return err
	case <-ctx.Done():
		return nil
	}
}

// gateWorker is shared by the connections of a worker process.
type gateWorker struct {
	mu   sync.Mutex
	gate net.Conn // guarded by mu
}

// work serves jobs on one connection until it ends.
func (w *gateWorker) work(c net.Conn, in *bufio.Reader) error {
	var body, answer, next []byte
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		var job uint64
		var size int
		if _, err := fmt.Sscanf(line, "RESERVED %d %d\r\n", &job, &size); err != nil {
			if line == "DEADLINE_SOON\r\n" || line == "DELETED\r\n" {
				continue
			}
			return fmt.Errorf("the queue said %q", line)
		}
		body = append(body[:0], make([]byte, size+2)...)
		if _, err := io.ReadFull(in, body); err != nil {
			return err
		}
		id, _, err := protocol.ParseJob(body[:size])
		if err != nil {
			return err
		}
		answer = protocol.AppendJobLine(answer[:0], string(id), []byte(`{"status":0,"message":"OK","data":{}}`))
		w.mu.Lock()
		_, err = w.gate.Write(answer)
		w.mu.Unlock()
		if err != nil {
			return err
		}
		next = fmt.Appendf(next[:0], "delete %d\r\nreserve\r\n", job)
		if _, err := c.Write(next); err != nil {
			return err
		}
	}
}
