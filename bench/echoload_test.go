package bench

import (
	"testing"
	"time"
)

// Goal: the echo load counts, checks and times frames right. Method: a bare gnet echo in a child process.
func TestEchoLoad(t *testing.T) {
	ctx := t.Context()
	c, addr, version, err := startPeer(ctx, selfOptions(t), "gnet")
	if err != nil {
		t.Fatal(err)
	}
	defer c.stop()
	t.Log(addr, version)
	err = onThread(func() error {
		l, err := newEchoLoad(ctx, addr, 8, bareEcho(), func(int) greeter { return noGreeting{} })
		if err != nil {
			return err
		}
		defer l.close()
		for _, depth := range []int{1, echoDepth} {
			cpu0, _ := cpuTime(c.pid)
			n, err := l.saturate(ctx, depth, 100*time.Millisecond)
			cpu1, _ := cpuTime(c.pid)
			if err != nil {
				return err
			}
			if n.sent == 0 || n.sent != n.received || cpu1 <= cpu0 {
				t.Errorf("depth %d: %+v, cpu %v", depth, n, cpu1-cpu0)
			}
			t.Logf("depth %d: %d frames, %v of server CPU", depth, n.received, cpu1-cpu0)
		}
		lat := newLatencies()
		n, err := l.pace(ctx, 2000, 200*time.Millisecond, lat)
		if err != nil {
			return err
		}
		if n.sent != n.received || lat.count() != int64(n.sent) || n.sent < 300 {
			t.Errorf("paced: %+v, %d timed", n, lat.count())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
