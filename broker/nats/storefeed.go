package nats

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gosper/broker"
)

const (
	feedBeat  = time.Second            // a consumer that is silent for twice as long is replaced
	feedIdle  = 30 * time.Second       // the server drops a consumer that nobody reads for so long
	feedProbe = 250 * time.Millisecond // whoever waits for the index for so long asks the leader what is missing
	feedBatch = 4096                   // messages under way at once

	// tombAge is how long the mark of a deleted record stays. A node that was away for a third of it reads the index again,
	// as it may have missed a mark.
	tombAge = 15 * time.Minute
)

// feed keeps the index in step with the stream, by a consumer of the headers of all records.
type feed struct {
	store *Store
	js    jetstream.JetStream
	again atomic.Pointer[context.CancelFunc] // ends the present consumer, for a new one

	brought atomic.Int64 // when the present consumer began, or brought something: Unix time in nanoseconds

	alive  time.Time // owned by run: when the consumer was well, by the wall clock
	last   time.Time // owned by run: the server's time of the newest message that the index has
	commit []posting // owned by run: the start of a commit whose end has not come
	batch  string    // owned by run: its name
	stamp  time.Time // owned by run: the server's time of its newest message
}

// run follows the stream until ctx ends. started is called once, when the index is whole for the first time.
func (f *feed) run(ctx context.Context, started func()) {
	started = sync.OnceFunc(started)
	for ctx.Err() == nil {
		err := f.follow(ctx, started)
		if ctx.Err() == nil {
			f.store.vault.opts.Log.Debug("the index of the store needs a new consumer", "reason", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryAfter):
		}
	}
}

// follow reads with one consumer until that fails. whole is called when the index is whole.
func (f *feed) follow(ctx context.Context, whole func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f.again.Store(&cancel)
	last, err := f.store.vault.lastSeq(ctx)
	if err != nil {
		return err
	}
	if again, err := f.astray(ctx, last); err != nil {
		return err
	} else if again {
		f.store.index.restart()
	}
	seen, _, _ := f.store.index.state()
	consumer, err := f.consumer(ctx, seen+1)
	if err != nil {
		return err
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(feedBatch), jetstream.PullExpiry(feedIdle/2), jetstream.PullHeartbeat(feedBeat),
		jetstream.WithMessagesErrOnMissingHeartbeat(true))
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, messages.Stop)()
	defer messages.Stop()
	return f.drain(ctx, messages, last, whole)
}

// drain takes the messages of a consumer.
func (f *feed) drain(ctx context.Context, messages jetstream.MessagesContext, last uint64, whole func()) error {
	quiet := true
	f.commit, f.batch = nil, ""
	f.brought.Store(time.Now().UnixNano())
	for number := uint64(1); ; {
		if seen, _, reading := f.store.index.state(); reading && (seen >= last || quiet && f.nothing(ctx, seen)) {
			f.store.index.finish()
			whole()
		}
		m, err := messages.Next(jetstream.NextMaxWait(3 * feedBeat)) // longer than it takes to miss the consumer's beat
		if quiet = errors.Is(err, nats.ErrTimeout); quiet {
			f.flush() // the last record of the commit was deleted, and its mark is gone
			f.alive = wall()
			if f.missed(ctx) {
				return errMissed
			}
			continue
		}
		if err != nil {
			return err
		}
		meta, err := m.Metadata()
		switch {
		case err != nil:
			return err
		case meta.Sequence.Consumer != number:
			return fmt.Errorf("message %d came instead of %d", meta.Sequence.Consumer, number)
		}
		number++
		quiet = meta.NumPending == 0
		f.alive = wall()
		f.brought.Store(f.alive.UnixNano())
		f.take(m.Subject(), m.Headers(), meta)
	}
}

// take takes a message. Those of one commit enter the index when its last has come, or when what follows shows that it was
// replaced since.
func (f *feed) take(subject string, h nats.Header, meta *jetstream.MsgMetadata) {
	batch := h.Get("Nats-Batch-Id")
	if batch != f.batch {
		f.flush()
	}
	f.batch, f.stamp = batch, meta.Timestamp
	key, ok := untoken(strings.TrimPrefix(subject, recordPrefix))
	if !ok {
		strangersTotal.Inc()
		return
	}
	f.commit = append(f.commit, posting{key, meta.Sequence.Stream, readMark(h)})
	if batch == "" || h.Get("Nats-Batch-Commit") != "" {
		f.flush()
	}
}

// flush enters what has come of a commit.
func (f *feed) flush() {
	if len(f.commit) == 0 {
		return
	}
	f.store.vault.see(f.commit[len(f.commit)-1].seq)
	f.store.index.take(f.commit)
	f.commit, f.last = f.commit[:0], f.stamp
}

// wall is the time of the wall clock alone, which also goes on while the machine sleeps.
func wall() time.Time { return time.Now().Round(0) }

// consumer makes a consumer of the records from seq on. The server forgets it when nobody reads it.
func (f *feed) consumer(ctx context.Context, seq uint64) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return f.js.CreateConsumer(ctx, f.store.vault.config.Name, jetstream.ConsumerConfig{FilterSubject: recordPrefix + "*",
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: seq, AckPolicy: jetstream.AckNonePolicy, HeadersOnly: true,
		InactiveThreshold: feedIdle, MemoryStorage: true, Replicas: 1})
}

// astray reports whether the index may say what the stream does not: at the start, after a pause in which marks of deleted
// records may have come and gone, and when the stream is no longer the one that was read.
func (f *feed) astray(ctx context.Context, last uint64) (bool, error) {
	seen, _, reading := f.store.index.state()
	if reading || last < seen || wall().Sub(f.alive) > tombAge/3 {
		return true, nil
	}
	if seen == 0 || f.last.IsZero() {
		return false, nil
	}
	m, err := f.store.vault.bySeq(ctx, seen)
	if errors.Is(err, broker.ErrNotFound) {
		return false, nil // replaced by a newer one since
	}
	return !m.time.Equal(f.last), err
}

// nothing reports whether no record is stored behind seen, so that none will come.
func (f *feed) nothing(ctx context.Context, seen uint64) bool {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := f.store.vault.next(ctx, recordPrefix+"*", seen+1)
	return errors.Is(err, broker.ErrNotFound)
}

// errMissed: the consumer is well, and has sent everything, but not all of it came: the servers lost their link to each
// other for a moment. The next message would show it; the watchers shall not wait for that.
var errMissed = errors.New("records are stored that have not come")

// missed reports whether a record is stored behind all that came.
func (f *feed) missed(ctx context.Context) bool {
	seen, _, reading := f.store.index.state()
	if reading {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := f.store.vault.next(ctx, recordPrefix+"*", seen+1)
	return err == nil
}

// reach waits until the index has all that was stored up to seq.
func (s *Store) reach(ctx context.Context, seq uint64) error {
	done, leave := s.index.wait(seq)
	defer leave()
	t := time.NewTicker(feedProbe)
	defer t.Stop()
	for {
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return away(ctx, errors.New("the list of keys is behind"))
		case <-s.life.Done():
			return broker.ErrClosed
		case <-t.C:
			s.probe(ctx, seq)
		}
	}
}

// probe asks the leader whether the index lacks anything: the newest messages may be gone, and then none comes. A consumer
// that has brought nothing for long, although there is something, is replaced.
func (s *Store) probe(ctx context.Context, seq uint64) {
	seen, _, reading := s.index.state()
	if reading {
		return
	}
	_, err := s.vault.next(ctx, recordPrefix+"*", seen+1)
	if errors.Is(err, broker.ErrNotFound) {
		s.index.has(seq, seen)
		return
	}
	if now, _, _ := s.index.state(); err == nil && now == seen {
		s.feed.replace()
	}
}

// replace ends the present consumer, unless it is new or has brought something in the last two beats.
func (f *feed) replace() {
	now := time.Now().UnixNano()
	last := f.brought.Load()
	if again := f.again.Load(); again != nil && now-last > int64(2*feedBeat) && f.brought.CompareAndSwap(last, now) {
		(*again)()
	}
}
