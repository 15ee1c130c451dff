package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"gosper/broker"
)

// shape is how a stream takes and hands out subjects. A stream stores a message under its subject behind a prefix and
// hands it out under the subject itself. NATS refuses to hand out to `>`, as that seems to feed the stream itself; the
// first token by number and the rest is the same and is allowed, but needs two tokens: so there are two streams.
// The door is a subject behind the prefix that no subject of ours has: the stream's first message is there.
type shape struct{ name, prefix, takes, gives, door string }

var (
	short = shape{"GOSPER_BUS_1", "_GOSPER1.", "_GOSPER1.*", "{{wildcard(1)}}", "_door"}
	long  = shape{"GOSPER_BUS", "_GOSPER.bus.", "_GOSPER.bus.*.>", "{{wildcard(1)}}.>", "_.door"}
)

// epochKey is the field of the stream's metadata that holds its epoch.
const epochKey = "gosper_epoch"

// stream is one of the streams with history.
type stream struct {
	shape
	link    *link
	opts    Options
	batches atomic.Uint64

	settling settling
	checking atomic.Bool // somebody looks at the stream again

	mu      sync.Mutex
	epoch   uint64 // guarded by mu
	highest uint64 // guarded by mu: of the sequences this node has seen
	short   uint64 // guarded by mu: the epoch in which a subject was found to have lost messages
	doubted uint64 // guarded by mu: the epoch that may not be the stream's any more, since a subject told another one
	storage string // guarded by mu: HistoryMemory or HistoryFile, as the stream was made
}

func newStream(l *link, o Options, s shape) *stream { return &stream{shape: s, link: l, opts: o} }

// config is what the stream is made with.
type config struct {
	Name        string            `json:"name"`
	Subjects    []string          `json:"subjects"`
	Retention   string            `json:"retention"`
	Storage     string            `json:"storage"`
	Replicas    int               `json:"num_replicas"`
	PerSubject  int64             `json:"max_msgs_per_subject"`
	MaxBytes    int64             `json:"max_bytes"`
	MaxAge      time.Duration     `json:"max_age"`
	Discard     string            `json:"discard"`
	AllowDirect bool              `json:"allow_direct"`
	AllowAtomic bool              `json:"allow_atomic"`
	Window      time.Duration     `json:"duplicate_window"`
	RePublish   map[string]string `json:"republish"`
	Metadata    map[string]string `json:"metadata"`
}

// info is the part of the server's answer about a stream that matters here.
type info struct {
	Error *struct {
		Code        int    `json:"code"`
		ErrCode     int    `json:"err_code"`
		Description string `json:"description"`
	} `json:"error"`
	Config struct {
		Storage   string            `json:"storage"`
		Replicas  int               `json:"num_replicas"`
		Metadata  map[string]string `json:"metadata"`
		RePublish map[string]string `json:"republish"`
	} `json:"config"`
	State struct {
		First    uint64            `json:"first_seq"`
		Last     uint64            `json:"last_seq"`
		Subjects map[string]uint64 `json:"subjects"`
	} `json:"state"`
	Cluster *struct {
		Leader   string `json:"leader"`
		Replicas []struct {
			Current bool `json:"current"`
		} `json:"replicas"`
	} `json:"cluster"`
}

func (i *info) err() error {
	if i.Error == nil {
		return nil
	}
	return fmt.Errorf("nats: %s", i.Error.Description)
}

func (i *info) epoch() uint64 {
	epoch, err := strconv.ParseUint(i.Config.Metadata[epochKey], 10, 53)
	if err != nil {
		return 0
	}
	return epoch
}

// whole reports whether the stream has a leader and all replicas hold what it holds.
func (i *info) whole(replicas int) bool {
	if i.Cluster == nil {
		return replicas == 1
	}
	current := 1
	for _, r := range i.Cluster.Replicas {
		if r.Current {
			current++
		}
	}
	return i.Cluster.Leader != "" && current >= replicas
}

// ensure makes the stream when it is missing and waits until it is whole. A stream that holds less than this node has
// seen of it gets a new epoch, and so does one that holds nothing: who makes a stream stores its first message at once, so
// the servers have lost what it held.
func (s *stream) ensure(ctx context.Context) error {
	return untilWhole(ctx, s.name, s.opts.Replicas, s.try)
}

// untilWhole calls try until it says that the stream is there with all its replicas.
func untilWhole(ctx context.Context, name string, replicas int, try func(context.Context) (bool, error)) error {
	t := time.NewTicker(100 * time.Millisecond)
	defer t.Stop()
	why := ctx.Err()
	for {
		ok, err := try(ctx)
		switch {
		case ok:
			return nil
		case err == nil:
			why = fmt.Errorf("fewer than %d replicas are there and current", replicas)
		case ctx.Err() == nil || why == nil:
			why = err // an earlier one says more than that the time is over
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("nats: stream %s is not ready (is JetStream on, and the cluster large enough?): %w", name, why)
		case <-t.C:
		}
	}
}

// try is one round of ensure.
func (s *stream) try(ctx context.Context) (bool, error) {
	s.mu.Lock()
	highest := s.highest // what this node sees while it asks may be newer than the answer
	s.mu.Unlock()
	i, err := s.info(ctx)
	switch {
	case err != nil:
		return false, err
	case i.Error != nil && i.Error.ErrCode == errNoStream:
		return false, s.renew(ctx, "CREATE", s.opts.History)
	case i.Error == nil && i.epoch() == 0:
		return false, errors.New("a stream of that name belongs to somebody else")
	case i.Error == nil && (i.State.Last == 0 || s.fellBehind(i, highest)):
		return false, s.renew(ctx, "UPDATE", i.Config.Storage)
	case i.Error == nil && i.Config.Replicas != s.opts.Replicas:
		if i, err = s.change(ctx, "UPDATE", i.Config.Storage, i.epoch()); err != nil {
			return false, err
		}
	}
	if err := i.err(); err != nil {
		return false, err
	}
	s.adopt(i)
	return i.whole(s.opts.Replicas), nil
}

// adopt takes over what the server says about the stream.
func (s *stream) adopt(i *info) {
	s.mu.Lock()
	known := s.storage == i.Config.Storage
	if s.epoch != i.epoch() {
		s.highest = 0
	}
	s.epoch, s.highest, s.short, s.doubted, s.storage = i.epoch(), max(s.highest, i.State.Last), 0, 0, i.Config.Storage
	s.mu.Unlock()
	if !known && i.Config.Storage != s.opts.History {
		s.opts.Log.Warn("the history is not kept where it was asked for: its stream was made before, and servers cannot move one; "+
			"delete the stream to have it made anew", "stream", s.name, "asked", s.opts.History, "kept", i.Config.Storage)
	}
}

// renew makes the stream, or begins a new epoch of it, and sees to it that it is not without messages. The next round
// takes over what the last node that did the same has set.
func (s *stream) renew(ctx context.Context, verb, storage string) error {
	i, err := s.change(ctx, verb, storage, rand.Uint64N(1<<53-1)+1)
	switch {
	case err != nil:
		return err
	case i.Error != nil && i.Error.ErrCode == errNoMemory:
		return fmt.Errorf("%w: the servers' max_memory_store must leave %d MiB for each of two streams; ?history=file in the URL needs none", i.err(), s.opts.room(storage)>>20)
	case i.Error != nil:
		return i.err()
	}
	_, err = s.link.inquire(ctx, &nats.Msg{Subject: s.prefix + s.door, Header: nats.Header{"Nats-Expected-Last-Sequence": {"0"}}})
	return err // it is refused when there is a message already
}

// change makes or changes the stream. When another node was faster its answer is an error, and the next round sees.
func (s *stream) change(ctx context.Context, verb, storage string, epoch uint64) (*info, error) {
	c := config{Name: s.name, Subjects: []string{s.takes}, Retention: "limits", Storage: storage, Replicas: s.opts.Replicas,
		PerSubject: s.opts.PerSubject, MaxBytes: s.opts.room(storage), MaxAge: s.opts.MaxAge, Discard: "old", AllowDirect: true, AllowAtomic: true,
		Window: time.Second, RePublish: map[string]string{"src": s.takes, "dest": s.gives},
		Metadata: map[string]string{epochKey: strconv.FormatUint(epoch, 10)}}
	text, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	return s.api(ctx, "$JS.API.STREAM."+verb+"."+s.name, text)
}

func (s *stream) info(ctx context.Context) (*info, error) {
	return s.api(ctx, "$JS.API.STREAM.INFO."+s.name, nil)
}

func (s *stream) api(ctx context.Context, subject string, body []byte) (*info, error) {
	m, err := s.link.question(ctx, subject, body)
	if err != nil {
		return nil, err
	}
	i := new(info)
	return i, json.Unmarshal(m.Data, i)
}

// fellBehind reports whether the stream holds less than this node had seen of it, in the epoch that this node knows.
func (s *stream) fellBehind(i *info, highest uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return (i.State.Last < highest || s.short == s.epoch) && i.epoch() == s.epoch
}

// now returns the epoch of messages that are written now; 0 while a new one must begin, or may have begun.
func (s *stream) now() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.short == s.epoch || s.doubted == s.epoch {
		return 0
	}
	return s.epoch
}

// doubt takes note that the epoch may be over: nothing is written in it before the stream was asked.
func (s *stream) doubt(epoch uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if epoch == s.epoch {
		s.doubted = epoch
	}
}

// fellShort takes note that a subject holds less in the epoch than this node has seen of it.
func (s *stream) fellShort(epoch uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if epoch == s.epoch {
		s.short = epoch
	}
}

// see takes note of a sequence that the stream has given.
func (s *stream) see(seq uint64) {
	s.mu.Lock()
	s.highest = max(s.highest, seq)
	s.mu.Unlock()
}

// run is how many messages may go in one write. One server stages an atomic batch in files of its own when the stream is
// kept in files.
func (s *stream) run() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opts.Replicas == 1 && s.storage == HistoryFile {
		return 1
	}
	return MaxRun
}

// published returns the sequence of a message that the stream handed out; false when it did not come from the stream.
func (s *stream) published(m *nats.Msg) (uint64, bool) {
	if m.Header.Get("Nats-Stream") != s.name {
		return 0, false
	}
	seq, err := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
	if err != nil {
		return 0, false
	}
	s.see(seq)
	return seq, true
}

// newest is the newest message of a subject. Of a subject without messages: seq 0, and the position behind which its
// first message will come.
type newest struct {
	stamp stamp
	seq   uint64
}

// stored is the server's answer with one message.
type storedMessage struct {
	info
	Message *struct {
		Subject string `json:"subject"`
		Seq     uint64 `json:"seq"`
		Header  []byte `json:"hdrs"`
	} `json:"message"`
}

// last asks the leader for the newest message of subject. answer is called as by link.ask.
func (s *stream) last(subject string, answer func(newest, error)) error {
	body, err := json.Marshal(map[string]string{"last_by_subj": s.prefix + subject})
	if err != nil {
		return err
	}
	return s.link.ask(&nats.Msg{Subject: "$JS.API.STREAM.MSG.GET." + s.name, Data: body}, callTimeout, func(m *nats.Msg, err error) bool {
		found, err := readStored(m, err)
		if errors.Is(err, broker.ErrNotFound) {
			if err = s.floor(answer); err == nil {
				return false
			}
		}
		answer(found, err)
		return false
	})
}

// floor asks for the position behind which the first message of a new subject comes. A subject that was forgotten had
// no offset above the sequence of its last message, and that was below the first that is left: messages leave by age
// and space in their order, or because their subject has newer ones.
func (s *stream) floor(answer func(newest, error)) error {
	return s.link.ask(&nats.Msg{Subject: "$JS.API.STREAM.INFO." + s.name}, callTimeout, func(m *nats.Msg, err error) bool {
		var i info
		if err == nil {
			if err = json.Unmarshal(m.Data, &i); err == nil {
				err = i.err()
			}
		}
		at := broker.Position{Epoch: i.epoch(), Offset: max(i.State.First, 1) - 1}
		answer(newest{stamp: stamp{Position: at, first: at.Offset + 1}}, err)
		return false
	})
}

// readStored reads an answer with one message; broker.ErrNotFound when there is none.
func readStored(m *nats.Msg, err error) (found newest, _ error) {
	var a storedMessage
	if err != nil {
		return found, err
	}
	if err := json.Unmarshal(m.Data, &a); err != nil {
		return found, err
	}
	if a.Error != nil && a.Error.ErrCode == errNotFound {
		return found, broker.ErrNotFound
	}
	if err := a.err(); err != nil || a.Message == nil {
		return found, errors.Join(err, errors.New("nats: no message in the answer"))
	}
	h, err := nats.DecodeHeadersMsg(a.Message.Header)
	if err != nil {
		return found, err
	}
	s, ok := readStamp(h)
	if !ok || s.Offset == 0 {
		return found, fmt.Errorf("nats: message %d of the history is not ours", a.Message.Seq)
	}
	return newest{s, a.Message.Seq}, nil
}
