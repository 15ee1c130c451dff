package cluster

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"gosper/broker"
	"gosper/grid/game"
)

// samples are frames of every kind.
func samples() []frame {
	return []frame{
		{kind: kindPing}, {kind: kindPong},
		{kind: kindAsk, call: 1<<63 + 5, what: askCall, game: 77, token: 1<<62 + 9, data: []byte("question")},
		{kind: kindAsk, call: 1, what: askAdopt},
		{kind: kindAsk, call: 2, what: askPrepare, game: 77},
		{kind: kindAnswer, call: 9, code: codeRefused, data: []byte("no")},
		{kind: kindFrame, number: 3, frame: game.FrameDelta, epoch: 8, generation: 1 << 40, hash: 1<<64 - 1, data: []byte{1, 2, 3}},
		{kind: kindHole, number: 1<<32 - 1}, {kind: kindGone, number: 4}, {kind: kindWant, number: 5}, {kind: kindUnwatch, number: 6},
	}
}

// Goal: what is written is read, in one piece or byte by byte, and nothing beyond a limit. Method: every kind, cut anywhere.
func TestFrames(t *testing.T) {
	for _, f := range samples() {
		b := append(f.appendHead(nil), f.data...)
		got, err := readFrame(bytes.NewReader(b), len(b)-lengthSize)
		if err != nil {
			t.Fatalf("kind %d: %v", f.kind, err)
		}
		if len(got.data) == 0 {
			got.data = nil
		}
		if !reflect.DeepEqual(got, f) {
			t.Errorf("got %+v, want %+v", got, f)
		}
		if got.size() != len(b)-lengthSize {
			t.Errorf("kind %d: size %d of %d bytes", f.kind, got.size(), len(b))
		}
		if _, err := readFrame(bytes.NewReader(b), len(b)-lengthSize-1); !errors.Is(err, errFrame) {
			t.Errorf("kind %d, a byte too long: %v", f.kind, err)
		}
		for cut := range b {
			if _, err := readFrame(bytes.NewReader(b[:cut]), 1<<20); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("kind %d cut at %d: %v", f.kind, cut, err)
			}
		}
	}
}

// Goal: a length alone takes no memory. Method: a large length with nothing behind it.
func TestLengthTakesNoMemory(t *testing.T) {
	head := binary.BigEndian.AppendUint32(nil, 64<<20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 16 {
		if _, err := readFrame(bytes.NewReader(head), 64<<20); err == nil {
			t.Fatal("a frame was read")
		}
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 64<<20 {
		t.Errorf("%d bytes for sixteen lengths", got)
	}
}

// Goal: bytes of strangers make no panic and no frame that is not written so. Method: read, write, compare.
func FuzzFrame(f *testing.F) {
	for _, s := range samples() {
		f.Add(append(s.appendHead(nil), s.data...))
	}
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte{255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		one, err := readFrame(bytes.NewReader(b), 1<<16)
		if err != nil {
			return
		}
		again := append(one.appendHead(nil), one.data...)
		if !bytes.Equal(again, b[:len(again)]) {
			t.Fatalf("%x was read from %x", again, b)
		}
	})
}

// Goal: a hello is read back, and nothing else is one. Method: as for frames.
func FuzzHello(f *testing.F) {
	h := newHello("node-1")
	f.Add(h.append(nil))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := readHello(bytes.NewReader(b))
		if err != nil {
			return
		}
		if again := h.append(nil); !bytes.Equal(again, b[:len(again)]) || !validNode(h.node) {
			t.Fatalf("%x was read from %x", again, b)
		}
	})
}

// Goal: errors keep their text and meaning over a link. Method: each of them, wrapped; and bytes that are none.
func TestRefusals(t *testing.T) {
	for _, kind := range refusals {
		err := parseRefusal(appendRefusal(errors.Join(kind, io.EOF)))
		if !errors.Is(err, kind) || !strings.Contains(err.Error(), kind.Error()) {
			t.Errorf("%v became %v", kind, err)
		}
	}
	var limit *game.LimitError
	if err := parseRefusal(appendRefusal(&game.LimitError{Limit: "views_game", Most: 3, Asked: 4})); !errors.As(err, &limit) || limit.Most != 3 || limit.Asked != 4 {
		t.Errorf("a limit became %v", err)
	}
	if err := parseRefusal(appendRefusal(io.EOF)); err == nil || err.Error() != "EOF" {
		t.Errorf("EOF became %v", err)
	}
	if err := parseRefusal([]byte("{")); !errors.Is(err, errFrame) {
		t.Errorf("nonsense became %v", err)
	}
}

// Goal: options that cannot be are refused with the name of what is wrong. Method: a table.
func TestOptions(t *testing.T) {
	store := newShore(t).store
	good := Options{Node: "a", Key: make([]byte, MinKey), Store: store}
	for name, change := range map[string]func(*Options){
		"name":  func(o *Options) { o.Node = "a b" },
		"key":   func(o *Options) { o.Key = make([]byte, MinKey-1) },
		"Store": func(o *Options) { o.Store = broker.Store(nil) },
		"lease": func(o *Options) { o.Beat, o.Lease = 2, 3 },
		"limit": func(o *Options) { o.FrameBytes = minFrameBytes - 1 },
	} {
		o := good
		change(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New(good); err != nil {
		t.Error(err)
	}
	for _, long := range []string{strings.Repeat("n", longestNode), "A-z_0"} {
		if !validNode(long) {
			t.Errorf("%q names no node", long)
		}
	}
	for _, bad := range []string{"", strings.Repeat("n", longestNode+1), "a.b", "ä", "\x11", "[", "`"} {
		if validNode(bad) {
			t.Errorf("%q names a node", bad)
		}
	}
}
