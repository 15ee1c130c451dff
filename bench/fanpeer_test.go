package bench

import (
	"bytes"
	"testing"
	"time"
)

// Goal: frames of the peers are cut at their ends, from every piece of a stream. Method: streams by hand, given byte by byte.
func TestCutPeers(t *testing.T) {
	text := appendFanText(nil, 0, 0, 200)
	for name, c := range map[string]struct {
		cut    func([]byte) (int, frameKind)
		frames [][]byte
		kinds  []frameKind
	}{
		"redis": {cutRedis, [][]byte{
			[]byte("*3\r\n$9\r\nsubscribe\r\n$1\r\ns\r\n:1\r\n"),
			append(append([]byte("*3\r\n$7\r\nmessage\r\n$1\r\ns\r\n$200\r\n"), text...), "\r\n"...),
		}, []frameKind{frameOther, frameMessage}},
		"mqtt": {cutMQTT, [][]byte{
			{mqttConnAck, 2, 0, 0},
			{mqttSubAck, 3, 0, 1, 0},
			mqttFan("", "s").publish(nil, text),
		}, []frameKind{frameOther, frameOther, frameMessage}},
	} {
		for i, frame := range c.frames {
			for n := range frame {
				if got, kind := c.cut(frame[:n]); got != 0 || kind != framePartial {
					t.Errorf("%s: %d of %d bytes are a frame of %d", name, n, len(frame), got)
				}
			}
			if got, kind := c.cut(append(bytes.Clone(frame), "more"...)); got != len(frame) || kind != c.kinds[i] {
				t.Errorf("%s: %q is cut at %d as %d", name, frame, got, kind)
			}
		}
	}
}

// Goal: redis and mosquitto do the work of a fan-out without loss. Method: the real servers, where they are installed.
func TestFanPeers(t *testing.T) {
	for _, peer := range []string{"redis", "mosquitto"} {
		t.Run(peer, func(t *testing.T) {
			if _, err := findPeer(peer); err != nil {
				t.Log(err) // a peer that is absent is no fault
				return
			}
			o := selfOptions(t)
			o.Against = peer
			c, addr, version, proto, err := startFanPeer(t.Context(), &Run{Options: o, Result: newResult("x")}, "chat.bench.public")
			if err != nil {
				t.Fatal(err)
			}
			defer c.stop()
			t.Log(version)
			err = onThread(func() error {
				l, err := newFanLoad(t.Context(), addr, 50, 4, 100, proto, nil)
				if err != nil {
					return err
				}
				defer l.close()
				for _, run := range []func(latencies) (fanCounts, error){
					func(lat latencies) (fanCounts, error) { return l.single(t.Context(), 50*time.Millisecond, lat) },
					func(lat latencies) (fanCounts, error) { return l.joined(t.Context(), 50*time.Millisecond, 32, lat) },
				} {
					if n, err := run(newLatencies()); err != nil || n.sent == 0 || n.sent != n.received || n.doubled != 0 {
						t.Errorf("%+v: %v", n, err)
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}
