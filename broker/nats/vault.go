package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"gosper/broker"
)

// stateKey is the field of a vault's metadata that says it is ours, with the form of what it holds.
const stateKey, stateForm = "gosper_state", "1"

// vaultConfig is what a vault's stream is made with.
type vaultConfig struct {
	Name        string            `json:"name"`
	Subjects    []string          `json:"subjects"`
	Retention   string            `json:"retention"`
	Storage     string            `json:"storage"`
	Replicas    int               `json:"num_replicas"`
	PerSubject  int64             `json:"max_msgs_per_subject,omitempty"` // 0: no limit
	Discard     string            `json:"discard"`
	AllowDirect bool              `json:"allow_direct"`
	AllowAtomic bool              `json:"allow_atomic"`
	AllowTTL    bool              `json:"allow_msg_ttl"`
	Metadata    map[string]string `json:"metadata"`
}

// vault is a stream that keeps what lasts: nothing leaves it but what is deleted or replaced. Its methods may be called
// from any goroutine.
type vault struct {
	link    *link
	opts    Options
	config  vaultConfig
	batches atomic.Uint64
	turns   chan struct{} // has room for the batches that may be on their way at once
	highest atomic.Uint64 // of the sequences this node has seen
}

// newVault describes a stream with these subjects; perSubject messages are kept of each, 0: all.
func newVault(l *link, o Options, name string, perSubject int64, subjects ...string) *vault {
	turns := 8 // the server takes 50 of all nodes
	if o.Replicas == 1 {
		turns = 2 // each is a folder of files on its disk: 15 to 20 ms, one after the other
	}
	return &vault{link: l, opts: o, turns: make(chan struct{}, turns), config: vaultConfig{Name: name, Subjects: subjects, Retention: "limits", Storage: "file",
		Replicas: o.Replicas, PerSubject: perSubject, Discard: "old", AllowDirect: true, AllowAtomic: true, AllowTTL: true,
		Metadata: map[string]string{stateKey: stateForm}}}
}

// ensure makes the stream when it is missing and waits until it has all its replicas.
func (v *vault) ensure(ctx context.Context) error {
	return untilWhole(ctx, v.config.Name, v.opts.Replicas, v.try)
}

// try is one round of ensure.
func (v *vault) try(ctx context.Context) (bool, error) {
	seen := v.highest.Load()
	i, err := v.about(ctx, "STREAM.INFO", nil)
	var refused *apiError
	switch {
	case errors.As(err, &refused) && refused.ErrCode == errNoStream:
		if i, err = v.about(ctx, "STREAM.CREATE", v.config); err != nil {
			return false, err
		}
	case err != nil:
		return false, err
	case i.Config.Metadata[stateKey] != stateForm:
		return false, errors.New("a stream of that name belongs to somebody else, or to another version")
	case i.Config.Replicas != v.opts.Replicas:
		if i, err = v.about(ctx, "STREAM.UPDATE", v.config); err != nil {
			return false, err
		}
	}
	whole := i.whole(v.opts.Replicas)
	if whole && i.State.Last < seen {
		lostTotal.Inc()
		v.opts.Log.Error("the servers have lost what they had stored; do they run with sync_interval: always?", "stream", v.config.Name,
			"last", i.State.Last, "seen", seen)
		v.highest.Store(i.State.Last)
	}
	v.see(i.State.Last)
	return whole, nil
}

// see takes note of a sequence that the stream has given.
func (v *vault) see(seq uint64) {
	for now := v.highest.Load(); seq > now && !v.highest.CompareAndSwap(now, seq); now = v.highest.Load() {
	}
}

// apiError is a refusal by the server.
type apiError struct {
	Code        int    `json:"code"`
	ErrCode     int    `json:"err_code"`
	Description string `json:"description"`
}

func (e *apiError) Error() string { return "nats: " + e.Description }

// Unwrap names the refusals that callers know.
func (e *apiError) Unwrap() error {
	switch e.ErrCode {
	case 10023, 10047, 10002, 10028: // the limits of storage of a server or an account
		return broker.ErrDiskFull
	case errNotFound:
		return broker.ErrNotFound
	}
	return nil
}

// passing reports whether the refusal may be gone soon: no leader now, too many batches on their way.
func (e *apiError) passing() bool {
	return e.Unwrap() == nil && (e.Code >= 429 || e.ErrCode == errIncomplete)
}

// about asks the stream's leader, or the one that makes streams, for a fact or a change.
func (v *vault) about(ctx context.Context, verb string, body any) (*info, error) {
	i := new(info)
	return i, v.api(ctx, verb, body, i)
}

// api asks a question of the JetStream API and reads its answer.
func (v *vault) api(ctx context.Context, verb string, body, answer any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	m, err := v.link.question(ctx, "$JS.API."+verb+"."+v.config.Name, text)
	if err != nil {
		return err
	}
	var refused struct {
		Error *apiError `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &refused); err != nil {
		return err
	}
	if refused.Error != nil {
		return refused.Error
	}
	return json.Unmarshal(m.Data, answer)
}

// patiently calls try until it succeeds, fails for good, or ctx ends. A link that is away, a leader that is missing and
// an answer that is late are tried again: try must be a question, or safe to repeat.
func patiently(ctx context.Context, try func(context.Context) error) error {
	for {
		err := try(ctx)
		var refused *apiError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &refused) && !refused.passing(), errors.Is(err, broker.ErrClosed), errors.Is(err, broker.ErrNotFound):
			return err
		}
		select {
		case <-ctx.Done():
			return away(ctx, err)
		case <-time.After(retryAfter):
		}
	}
}

// away is the error of a call whose time is over: broker.ErrBusy, as nothing was written.
func away(ctx context.Context, why error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	if errors.Is(why, broker.ErrBusy) {
		return why
	}
	return fmt.Errorf("%w: the servers do not answer: %w", broker.ErrBusy, why)
}

// errRaced: another write came first, so a condition does not hold.
var errRaced = errors.New("nats: another write came first")

// write stores messages, all or none, and returns the sequence of the last; the others' are the ones before it. The
// answer is waited for until ctx ends. errRaced means that a condition failed, *apiError and broker.ErrBusy that nothing
// was stored, broker.ErrTimeout that nobody knows; but see doubted.
func (v *vault) write(ctx context.Context, messages ...*nats.Msg) (uint64, error) {
	if len(messages) > 1 {
		select {
		case v.turns <- struct{}{}:
			defer func() { <-v.turns }()
		case <-ctx.Done():
			return 0, fmt.Errorf("%w: other commits take all the time", broker.ErrBusy)
		}
		v.bind(messages)
	}
	last := messages[len(messages)-1]
	for _, m := range messages[:len(messages)-1] {
		if err := v.link.send(&letter{msg: m}); err != nil { // without its last message the server drops the batch
			return 0, err
		}
	}
	type answer struct {
		m   *nats.Msg
		err error
	}
	done := make(chan answer, 1)
	patience := v.opts.Wait
	if end, ok := ctx.Deadline(); ok {
		patience = min(patience, time.Until(end))
	}
	if err := v.link.ask(last, patience, func(m *nats.Msg, err error) bool { done <- answer{m, err}; return false }); err != nil {
		return 0, err
	}
	select {
	case a := <-done:
		return v.stored(a.m, a.err)
	case <-ctx.Done():
		return 0, fmt.Errorf("%w: %w", broker.ErrTimeout, ctx.Err())
	}
}

// newID names a write.
func (v *vault) newID() string { return v.link.node + "-" + strconv.FormatUint(v.batches.Add(1), 36) }

// bind makes an atomic batch of the messages.
func (v *vault) bind(messages []*nats.Msg) {
	id := v.newID()
	for i := range messages {
		m := &nats.Msg{Subject: messages[i].Subject, Header: maps.Clone(messages[i].Header), Data: messages[i].Data}
		if m.Header == nil {
			m.Header = make(nats.Header)
		}
		messages[i] = m // the one given may be on its way in an earlier batch
		m.Header["Nats-Batch-Id"] = []string{id}
		m.Header["Nats-Batch-Sequence"] = []string{strconv.Itoa(i + 1)}
		if i == len(messages)-1 {
			m.Header["Nats-Batch-Commit"] = []string{"1"}
		}
	}
}

// stored reads the answer to a write.
func (v *vault) stored(m *nats.Msg, err error) (uint64, error) {
	var a struct {
		Seq   uint64    `json:"seq"`
		Error *apiError `json:"error"`
	}
	switch {
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, nats.ErrReconnectBufExceeded):
		return 0, fmt.Errorf("%w: %w", errAway, err)
	case errors.Is(err, broker.ErrClosed):
		return 0, err
	case err != nil:
		return 0, fmt.Errorf("%w: %w", broker.ErrTimeout, unwrapped(err))
	}
	if err := json.Unmarshal(m.Data, &a); err != nil || a.Seq == 0 && a.Error == nil {
		return 0, fmt.Errorf("%w: the stream's answer cannot be read", broker.ErrTimeout)
	}
	if a.Error == nil {
		v.see(a.Seq)
		return a.Seq, nil
	}
	if a.Error.ErrCode == errWrongLast || a.Error.ErrCode == errWrongLastToo {
		conflictsTotal.Inc()
		return 0, errRaced
	}
	return 0, a.Error
}

// doubted reports whether a write may be stored although it was refused. A server that led the stream, stood still and goes
// on believes for a moment that it still leads. It takes and answers what the one that leads takes too; of two answers the
// first counts, and its own comes from what the stream was when it stood still.
func (v *vault) doubted(err error) bool {
	var refused *apiError
	return v.opts.Replicas > 1 && (errors.Is(err, errRaced) || errors.As(err, &refused) && refused.passing())
}

// unwrapped is an error's text without what it wraps: a link that was lost after a write is no broker.ErrBusy.
func unwrapped(err error) error { return errors.New(err.Error()) }

// expect is the header of a message that is only stored when the newest of its subject is at seq; 0: there is none.
func expect(seq uint64) nats.Header {
	return nats.Header{"Nats-Expected-Last-Subject-Sequence": []string{strconv.FormatUint(seq, 10)}}
}
