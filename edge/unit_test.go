package edge

import (
	"math/rand/v2"

	"strings"
	"testing"
	"unsafe"

	"pgregory.net/rapid"

	"gosper/broker"
)

// The wheel fires each session once, at its tick or, when that lies in the past, at the next; checked against a plain
// map under random sets, moves and removals, with times beyond one turn of the wheel.
func TestWheel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := wheel{now: rapid.Uint32().Draw(t, "begin")}
		begin := w.now
		sessions := make([]Session, 20)
		due := map[*Session]uint32{}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			s := &sessions[rapid.IntRange(0, len(sessions)-1).Draw(t, "session")]
			switch rapid.IntRange(0, 3).Draw(t, "action") {
			case 0:
				at := w.now + uint32(rapid.IntRange(-5, 3*wheelSlots).Draw(t, "delay"))
				w.set(s, at)
				if int32(at-w.now) <= 0 {
					at = w.now + 1
				}
				due[s] = at
			case 1:
				at := w.now + uint32(rapid.IntRange(1, 300).Draw(t, "delay"))
				w.earlier(s, at)
				if old, ok := due[s]; !ok || at-begin < old-begin {
					due[s] = at
				}
			case 2:
				w.remove(s)
				delete(due, s)
			case 3:
				to := w.now + uint32(rapid.IntRange(0, 400).Draw(t, "ticks"))
				w.advance(to, func(s *Session) {
					if at, ok := due[s]; !ok || at-begin > to-begin {
						t.Fatalf("fired at %d, due %d (%t)", to-begin, at-begin, ok)
					}
					delete(due, s)
				})
				for _, at := range due {
					if at-begin <= to-begin {
						t.Fatalf("not fired at %d, due %d", to-begin, at-begin)
					}
				}
			}
		}
	})
}

// A bucket lets burst through at once and rate a second for ever, and a rate of 0 lets all through.
func TestBucket(t *testing.T) {
	var b bucket
	for i := range 7 {
		if got := b.take(5, 10, 5); got != (i < 5) {
			t.Errorf("take %d at once: %t", i, got)
		}
	}
	passed := 0
	for now := uint32(6); now <= 5+100; now++ { // ten seconds
		for b.take(now, 10, 5) {
			passed++
		}
	}
	if passed != 100 {
		t.Errorf("%d tokens in ten seconds at 10 a second", passed)
	}
	if b.take(1<<31, 10, 5); b.spent != milli {
		t.Errorf("after a long time %d is missing", b.spent)
	}
	for range 1000 {
		if !b.take(0, 0, 0) {
			t.Fatal("no limit is a limit")
		}
	}
}

// Every limit has a name, a default within its range, a text that Set takes again, and the limits just outside are
// refused by name.
func TestLimitsTable(t *testing.T) {
	seen := map[string]bool{}
	for _, row := range LimitsTable() {
		if row.Doc == "" || row.Code == "" || row.Unit == "" || seen[row.Name] {
			t.Errorf("row %q is incomplete or there twice", row.Name)
		}
		seen[row.Name] = true
		l := DefaultLimits()
		if got := l.Get(row.Name); got != row.Default {
			t.Errorf("%s: default %s, table %s", row.Name, got, row.Default)
		}
		if err := l.Set(row.Name, row.Default); err != nil || l != DefaultLimits() {
			t.Errorf("%s: %v", row.Name, err)
		}
		for _, v := range []int64{row.Min - 1, row.Max + 1} {
			l := DefaultLimits()
			if err := l.Set(row.Name, row.text(v)); err == nil || !strings.HasPrefix(err.Error(), row.Name) {
				t.Errorf("%s: %s gives %v", row.Name, row.text(v), err)
			}
			row.put(&l, v)
			if err := l.Validate(); err == nil || !strings.HasPrefix(err.Error(), row.Name) {
				t.Errorf("%s: Validate of %s gives %v", row.Name, row.text(v), err)
			}
		}
		for _, v := range []int64{row.Min, row.Max} {
			if err := l.Set(row.Name, row.text(v)); err != nil {
				t.Error(err)
			}
		}
	}
	l := DefaultLimits()
	if err := l.Validate(); err != nil {
		t.Error(err)
	}
	if l.Set("nosuch", "1") == nil || l.Set("line_bytes", "many") == nil || l.Set("heartbeat", "25") == nil || l.Get("nosuch") != "" {
		t.Error("a wrong name or value was taken")
	}
}

// The cap leaves the reserve free and never exceeds what is configured.
func TestConnectionCap(t *testing.T) {
	l := DefaultLimits()
	auto := connectionCap(&l, 4)
	l.DescriptorReserve = 5000
	if got := connectionCap(&l, 4); got >= auto && auto > 5000 {
		t.Errorf("with a large reserve %d, without %d", got, auto)
	}
	l.Connections = 7
	if got := connectionCap(&l, 4); got != 7 {
		t.Errorf("configured 7, got %d", got)
	}
}

// A message is behind a position by offset within its epoch, always in another, and always without a position.
func TestAfter(t *testing.T) {
	at := broker.Position{Epoch: 2, Offset: 5}
	for m, want := range map[broker.Position]bool{
		{Epoch: 2, Offset: 5}: false, {Epoch: 2, Offset: 6}: true, {Epoch: 2, Offset: 4}: false,
		{Epoch: 1, Offset: 4}: true, {Epoch: 3, Offset: 1}: true, {}: true,
	} {
		if got := (&message{Message: &broker.Message{Position: m}}).after(at); got != want {
			t.Errorf("%v after %v: %t", m, at, got)
		}
	}
}

// FuzzProxy: no input makes the parser panic or read beyond itself, cuts only ever make a header incomplete, and what
// follows a header does not change it.
func FuzzProxy(f *testing.F) {
	f.Add([]byte("PROXY TCP4 203.0.113.9 10.0.0.1 40000 9000\r\nrest"))
	f.Add([]byte("PROXY UNKNOWN\r\n"))
	f.Add([]byte(proxySignature + "\x21\x11\x00\x0c\x0a\x01\x02\x03\x7f\x00\x00\x01\x12\x34\x23\x28"))
	f.Add([]byte(proxySignature + "\x20\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		from, n, err := parseProxy(b)
		if n > len(b) || n < 0 || err != nil && (n != 0 || from.IsValid()) {
			t.Fatalf("%v %d %v", from, n, err)
		}
		for cut := range b[:min(n, len(b))] {
			if _, m, err := parseProxy(b[:cut]); m != 0 || err != nil {
				t.Fatalf("cut at %d: %d %v", cut, m, err)
			}
		}
		if n > 0 {
			again, m, err := parseProxy(append(b[:n:n], "0000000000"...))
			if again != from || m != n || err != nil {
				t.Fatalf("with more behind: %v %d %v", again, m, err)
			}
		}
	})
}

// The parts of a session that is idle. A change here is a change of the memory of every client.
func TestSessionSize(t *testing.T) {
	if size := unsafe.Sizeof(Session{}); size > 288 {
		t.Errorf("a session has %d bytes", size)
	}
}

func BenchmarkWheelSet(b *testing.B) {
	var w wheel
	sessions := make([]Session, 1000)
	b.ReportAllocs()
	for i := range b.N {
		w.set(&sessions[i%1000], w.now+1+uint32(rand.IntN(250)))
		if i%1000 == 999 {
			w.advance(w.now+1, func(*Session) {})
		}
	}
}

func BenchmarkBucket(b *testing.B) {
	var k bucket
	b.ReportAllocs()
	for i := range b.N {
		k.take(uint32(i), 20, 60)
	}
}
