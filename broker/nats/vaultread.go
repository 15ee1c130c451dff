package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"gosper/broker"
)

const (
	maxPage      = 512       // messages of one question
	maxPageBytes = 4 << 20   // bytes of the answer to one question, about
	maxAsked     = 256 << 10 // bytes of the subjects of one question
)

// item is a message of a vault.
type item struct {
	subject string
	seq     uint64
	time    time.Time   // the server's, when it was stored
	header  nats.Header // nil when there is none
	data    []byte
}

// last asks the leader for the newest message of a subject; broker.ErrNotFound when there is none.
func (v *vault) last(ctx context.Context, subject string) (item, error) {
	return v.one(ctx, map[string]any{"last_by_subj": subject})
}

// next asks the leader for the first message of a subject, which may have wildcards, at or behind seq.
func (v *vault) next(ctx context.Context, subject string, seq uint64) (item, error) {
	return v.one(ctx, map[string]any{"seq": seq, "next_by_subj": subject})
}

func (v *vault) one(ctx context.Context, question any) (item, error) {
	var a struct {
		Message *struct {
			Subject string    `json:"subject"`
			Seq     uint64    `json:"seq"`
			Time    time.Time `json:"time"`
			Header  []byte    `json:"hdrs"`
			Data    []byte    `json:"data"`
		} `json:"message"`
	}
	err := patiently(ctx, func(ctx context.Context) error { return v.api(ctx, "STREAM.MSG.GET", question, &a) })
	if err != nil {
		return item{}, err
	}
	if a.Message == nil {
		return item{}, errors.New("nats: no message in the answer")
	}
	found := item{subject: a.Message.Subject, seq: a.Message.Seq, time: a.Message.Time, data: a.Message.Data}
	if len(a.Message.Header) > 0 {
		if found.header, err = nats.DecodeHeadersMsg(a.Message.Header); err != nil {
			return item{}, err
		}
	}
	v.see(found.seq)
	return found, nil
}

// bySeq asks the leader for the message with a sequence; broker.ErrNotFound when it is gone.
func (v *vault) bySeq(ctx context.Context, seq uint64) (item, error) {
	return v.one(ctx, map[string]any{"seq": seq})
}

// lastSeq asks the leader for the stream's last sequence.
func (v *vault) lastSeq(ctx context.Context) (uint64, error) {
	var i *info
	err := patiently(ctx, func(ctx context.Context) (err error) {
		i, err = v.about(ctx, "STREAM.INFO", nil)
		return err
	})
	if err != nil {
		return 0, err
	}
	v.see(i.State.Last)
	return i.State.Last, nil
}

// subjects asks the leader for the subjects that match a pattern and have messages, with the number of them.
func (v *vault) subjects(ctx context.Context, pattern string) (map[string]uint64, error) {
	found := make(map[string]uint64)
	for {
		var i *info
		err := patiently(ctx, func(ctx context.Context) (err error) {
			i, err = v.about(ctx, "STREAM.INFO", map[string]any{"subjects_filter": pattern, "offset": len(found)})
			return err
		})
		if err != nil {
			return nil, err
		}
		before := len(found)
		for subject, count := range i.State.Subjects {
			found[subject] = count
		}
		if len(i.State.Subjects) < maxSubjects || len(found) == before {
			return found, nil
		}
	}
}

// maxSubjects is how many subjects the server names in one answer.
const maxSubjects = 100_000

// purge drops the messages of a subject, which may have wildcards, whose sequence is below `below`.
func (v *vault) purge(ctx context.Context, subject string, below uint64) error {
	var done struct{}
	return patiently(ctx, func(ctx context.Context) error {
		return v.api(ctx, "STREAM.PURGE", map[string]any{"filter": subject, "seq": below}, &done)
	})
}

// page reads messages of a subject from seq on, at most count, from any replica, which may be behind.
func (v *vault) page(ctx context.Context, subject string, seq uint64, count int) ([]item, error) {
	found, _, err := v.direct(ctx, map[string]any{"seq": seq, "next_by_subj": subject, "batch": count, "max_bytes": maxPageBytes})
	return found, err
}

// newest reads the newest messages of the subjects, as they were at one moment, and the last sequence that the replica
// had then. Subjects without messages are left out. There must be no more than maxPage of them.
func (v *vault) newest(ctx context.Context, subjects []string) (found []item, at uint64, err error) {
	for from := uint64(0); ; from = found[len(found)-1].seq + 1 {
		question := map[string]any{"multi_last": subjects, "batch": maxPage, "max_bytes": maxPageBytes}
		if from > 0 {
			question["seq"], question["up_to_seq"] = from, at
		}
		some, end, err := v.direct(ctx, question)
		if err != nil {
			return nil, 0, err
		}
		if from == 0 {
			at = end.upTo
		}
		found = append(found, some...)
		if end.pending == 0 || len(some) == 0 {
			return found, at, nil
		}
	}
}

// remove drops one message.
func (v *vault) remove(ctx context.Context, seq uint64) error {
	var done struct{}
	err := patiently(ctx, func(ctx context.Context) error {
		return v.api(ctx, "STREAM.MSG.DELETE", map[string]any{"seq": seq, "no_erase": true}, &done)
	})
	if errors.Is(err, broker.ErrNotFound) {
		return nil
	}
	return err
}

// ending is what the last message of an answer of several says.
type ending struct{ pending, upTo, last uint64 }

// direct asks any replica for several messages.
func (v *vault) direct(ctx context.Context, question any) (found []item, end ending, err error) {
	err = patiently(ctx, func(ctx context.Context) error {
		answers, err := v.ask(ctx, question)
		if err != nil {
			return err
		}
		found, end, err = read(answers)
		return err
	})
	return found, end, err
}

func (v *vault) ask(ctx context.Context, question any) ([]*nats.Msg, error) {
	text, err := json.Marshal(question)
	if err != nil {
		return nil, err
	}
	return v.link.questions(ctx, "$JS.API.DIRECT.GET."+v.config.Name, text, func(m *nats.Msg) bool { return m.Header.Get("Status") == "" })
}

// read takes the answers to a direct question.
func read(answers []*nats.Msg) (found []item, end ending, err error) {
	for _, m := range answers {
		switch status := m.Header.Get("Status"); status {
		case "":
			one := item{subject: m.Header.Get("Nats-Subject"), header: m.Header, data: m.Data}
			if one.seq, err = strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64); err != nil {
				return nil, end, errors.New("nats: a message without a sequence")
			}
			if before := m.Header.Get("Nats-Last-Sequence"); before != "" && before != strconv.FormatUint(end.last, 10) {
				return nil, end, errors.New("nats: a message of the answer is missing")
			}
			end.last = one.seq
			found = append(found, one)
		case "204":
			end.pending, _ = strconv.ParseUint(m.Header.Get("Nats-Num-Pending"), 10, 64)
			end.upTo, _ = strconv.ParseUint(m.Header.Get("Nats-UpTo-Sequence"), 10, 64)
		case "404": // nothing there
		default:
			return nil, end, fmt.Errorf("%w: the stream answers %s %s", broker.ErrBusy, status, m.Header.Get("Description"))
		}
	}
	return found, end, nil
}

// at reads one message by its sequence from any replica; broker.ErrNotFound when it has none.
func (v *vault) at(ctx context.Context, seq uint64) (item, error) {
	return v.any(ctx, map[string]any{"seq": seq})
}

// lastAny is last from any replica, which may be behind.
func (v *vault) lastAny(ctx context.Context, subject string) (item, error) {
	return v.any(ctx, map[string]any{"last_by_subj": subject})
}

func (v *vault) any(ctx context.Context, question any) (item, error) {
	var found []item
	err := patiently(ctx, func(ctx context.Context) error {
		text, err := json.Marshal(question)
		if err != nil {
			return err
		}
		m, err := v.link.question(ctx, "$JS.API.DIRECT.GET."+v.config.Name, text)
		if err != nil {
			return err
		}
		found, _, err = read([]*nats.Msg{m})
		return err
	})
	switch {
	case err != nil:
		return item{}, err
	case len(found) == 0:
		return item{}, fmt.Errorf("%w: a message of the stream", broker.ErrNotFound)
	}
	return found[0], nil
}

// readers is how many messages are read at once for one caller.
const readers = 8

// each calls fn for 0 to n-1, readers of them at once, and returns the first error.
func each(n int, fn func(i int) error) error {
	errs := make(chan error, readers)
	var next atomic.Int64
	var work sync.WaitGroup
	for range min(n, readers) {
		work.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := fn(i); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	work.Wait()
	close(errs)
	return <-errs
}
