package bench

import (
	"fmt"
	"net"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// loopbackCost measures what this machine asks for one delivery over a TCP connection of its own, without any server: a
// write to each of n sockets, then a read of each at its other end, all on one thread, so that nothing wakes anything.
// No server can fan out faster than its cores divided by the sum. The values are the medians of the rounds, in
// microseconds a socket.
func loopbackCost(n, size, rounds int) (write, read float64, err error) {
	pairs, err := newLoopbackPairs(n)
	defer pairs.close()
	if err != nil {
		return 0, 0, err
	}
	message := make([]byte, size)
	buf := make([]byte, readSize)
	var writes, reads []float64
	err = onThread(func() error {
		for range rounds {
			start := time.Now()
			for _, fd := range pairs.near {
				if _, err := writeNow(fd, message); err != nil {
					return err
				}
			}
			sent := time.Now()
			for got := 0; got < n; {
				events, err := pairs.p.wait(time.Second)
				if err != nil || len(events) == 0 {
					return fmt.Errorf("loopback: %d of %d arrived: %v", got, n, err)
				}
				for _, ev := range events {
					if _, err := readNow(int(ev.Fd), buf); err != nil {
						return err
					}
				}
				got += len(events)
			}
			writes = append(writes, sent.Sub(start).Seconds()*1e6/float64(n))
			reads = append(reads, time.Since(sent).Seconds()*1e6/float64(n))
		}
		return nil
	})
	if err != nil {
		return 0, 0, err
	}
	slices.Sort(writes)
	slices.Sort(reads)
	return writes[len(writes)/2], reads[len(reads)/2], nil
}

// loopbackPairs are TCP connections with both ends in this process; far ends are watched by p with their descriptors.
type loopbackPairs struct {
	p         *poller
	near, far []int
}

func newLoopbackPairs(n int) (*loopbackPairs, error) {
	l := &loopbackPairs{}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return l, err
	}
	defer ln.Close()
	if l.p, err = newPoller(); err != nil {
		return l, err
	}
	d, err := newDialer(ln.Addr().String())
	if err != nil {
		return l, err
	}
	file, err := ln.(*net.TCPListener).File()
	if err != nil {
		return l, err
	}
	defer file.Close()
	if err := unix.SetNonblock(int(file.Fd()), false); err != nil {
		return l, err
	}
	for range n {
		far, err := d.dial()
		if err != nil {
			return l, err
		}
		l.far = append(l.far, far)
		near, _, err := unix.Accept4(int(file.Fd()), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			return l, fmt.Errorf("accept: %w", err)
		}
		l.near = append(l.near, near)
		_ = unix.SetsockoptInt(near, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		if err := l.p.add(far, far, unix.EPOLLIN); err != nil {
			return l, err
		}
	}
	return l, nil
}

func (l *loopbackPairs) close() {
	for _, fd := range append(l.near, l.far...) {
		closeHard(fd)
	}
	if l.p != nil {
		l.p.close()
	}
}

// reportLoopback records what the machine allows at most: deliveries to `subscribers` when nothing is joined, with every
// core busy, and the time in which one message can reach `burst` of them.
func reportLoopback(r *Run, subscribers, burst int) error {
	const rounds = 50
	write, read, err := loopbackCost(subscribers, fanBytes, rounds)
	if err != nil {
		return err
	}
	cores := float64(runtime.NumCPU())
	r.Figure("loopback_write_us", write)
	r.Figure("loopback_read_us", read)
	r.Figure("single_ceiling_deliveries_per_s", cores*1e6/(write+read))
	if most := descriptorsLeft() / 2; burst > most {
		r.Note("the floor of the burst was measured with %d sockets, as many pairs as one process may hold", most)
		burst = most
	}
	bw, br, err := loopbackCost(burst, fanBytes, rounds/5)
	if err != nil {
		return err
	}
	r.Figure("burst10k_floor_ms", burstSubscribers*(bw+br)/cores/1000) // the last arrival of a perfect server
	return nil
}

// descriptorsLeft is how many descriptors a measurement may open in this process.
func descriptorsLeft() int {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return 1024
	}
	const reserve = 200
	return int(min(lim.Cur, 1<<20)) - reserve
}
