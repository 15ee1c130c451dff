package bench

import (
	"os"
	"testing"
	"time"
)

// Goal: the fan-out load delivers, counts and times every message once. Method: a real nats-server in a child process.
func TestFanLoadOnNATS(t *testing.T) {
	ctx := t.Context()
	c, addr, version, err := startPeer(ctx, selfOptions(t), "nats")
	if err != nil {
		t.Fatal(err)
	}
	defer c.stop()
	t.Log(addr, version)
	err = onThread(func() error {
		l, err := newFanLoad(ctx, addr, 100, 4, 100, natsFan(addr, "chat.bench.public"), nil)
		if err != nil {
			return err
		}
		defer l.close()
		for name, run := range map[string]func(latencies) (fanCounts, error){
			"single": func(lat latencies) (fanCounts, error) { return l.single(ctx, 200*time.Millisecond, lat) },
			"joined": func(lat latencies) (fanCounts, error) { return l.joined(ctx, 200*time.Millisecond, 32, lat) },
		} {
			lat := newLatencies()
			cpu0, _ := cpuTime(c.pid)
			n, err := run(lat)
			cpu1, _ := cpuTime(c.pid)
			if err != nil {
				return err
			}
			if n.sent == 0 || n.sent != n.received || n.doubled != 0 || lat.count() != int64(n.received) {
				t.Errorf("%s: %+v, %d timed", name, n, lat.count())
			}
			t.Logf("%s: %d deliveries in 0.2 s, %v of server CPU, p50 %v us p99 %v us", name, n.received, cpu1-cpu0, lat.quantile(0.5), lat.quantile(0.99))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Goal: a stream with a message lost, doubled or changed is noticed. Method: frames by hand into one track.
func TestFanTrackNoticesFaults(t *testing.T) {
	frame := func(n uint64) []byte {
		return append(appendFanText([]byte("MSG s 1 40\r\n"), 0, n, 40), "\r\n"...)
	}
	newTrack := func() (*fanTrack, *fanLink, *fanLink) {
		return newFanTrack(cutNATS, newFanSent(1), false), &fanLink{}, &fanLink{}
	}
	feed := func(tr *fanTrack, l *fanLink, frames ...[]byte) (n uint64, err error) {
		for _, f := range frames {
			for len(f) > 0 && err == nil { // in pieces, so that every cut is seen
				var m uint64
				k := min(7, len(f))
				m, _, err = tr.receive(l, f[:k], func(time.Time) {})
				n += m
				f = f[k:]
			}
		}
		return n, err
	}
	tr, a, b := newTrack()
	if n, err := feed(tr, a, frame(0), frame(1), frame(2)); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := feed(tr, b, frame(0), []byte("PING\r\n"), frame(1), []byte("PING\r\n"), frame(2), frame(3)); n != 4 || err != nil {
		t.Fatal("pings between messages:", n, err)
	}
	if n, err := feed(tr, a, frame(3)); n != 1 || err != nil || a.pos != b.pos {
		t.Fatal(n, err)
	}
	tr.trim([]fanLink{*a, *b})
	if n, err := feed(tr, a, frame(4)); n != 1 || err != nil {
		t.Fatal("after trim:", n, err)
	}
	for name, frames := range map[string][][]byte{
		"lost":     {frame(0), frame(2)},
		"doubled":  {frame(0), frame(0)},
		"changed":  {frame(0), frame(1)[:30], frame(2)[30:]},
		"invented": {frame(11)},
	} {
		tr, a, _ := newTrack()
		if _, err := feed(tr, a, frames...); err == nil && name != "changed" {
			t.Errorf("%s: the one ahead did not notice", name)
		}
		tr, a, b := newTrack()
		if _, err := feed(tr, a, frame(0), frame(1), frame(2)); err != nil {
			t.Fatal(err)
		}
		if _, err := feed(tr, b, frames...); err == nil && name != "changed" {
			t.Errorf("%s: the one behind did not notice", name)
		}
	}
}

// Goal: what the loopback costs is measured on real sockets and leaves none behind. Method: a few pairs, descriptors
// counted before and after.
func TestLoopbackCost(t *testing.T) {
	open := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("no /proc:", err)
		}
		return len(entries)
	}
	before := open()
	write, read, err := loopbackCost(20, 100, 3)
	if err != nil || write <= 0 || read <= 0 {
		t.Fatal(write, read, err)
	}
	if after := open(); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}
