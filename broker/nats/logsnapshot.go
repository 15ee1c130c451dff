package nats

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"gosper/broker"
	"gosper/broker/keys"
)

const (
	// piecesHeader is on a snapshot that does not hold its data: how many pieces do.
	piecesHeader = "Gosper-Pieces"

	// pieceAge is the age at which pieces of a snapshot that was never finished are dropped. An upload takes less.
	pieceAge = time.Hour
)

// SaveSnapshot implements broker.Log. A large one goes in pieces, which nobody sees before the snapshot itself is written
// with a condition as an Append has.
func (l *Log) SaveSnapshot(ctx context.Context, log string, token, at uint64, data []byte) error {
	if err := keys.CheckSnapshot(log, data); err != nil {
		return err
	}
	j, _, cancel, err := l.look(ctx, log)
	if err != nil {
		return err
	}
	defer cancel()
	place := strconv.FormatUint(at, 10) + "." + l.newSnapshotID()
	head := &nats.Msg{Subject: j.prefix + "s." + place, Data: data}
	if len(data) > l.part {
		n := (len(data) + l.part - 1) / l.part
		if err := l.upload(ctx, j.prefix+"c."+place+".", data, n); err != nil {
			return err
		}
		head.Data, head.Header = nil, nats.Header{piecesHeader: []string{strconv.Itoa(n)}}
	}
	return l.do(ctx, log, func(ctx context.Context, j *journal) error {
		return j.publish(ctx, token, at, head)
	})
}

// newSnapshotID returns a name without dots that begins with the time, so that leftovers can be told from what is on its way.
func (l *Log) newSnapshotID() string {
	return strconv.FormatInt(time.Now().Unix(), 36) + "-" + l.newID()
}

// upload writes the pieces.
func (l *Log) upload(ctx context.Context, prefix string, data []byte, n int) error {
	return each(n, func(i int) error {
		piece := data[i*l.part : min((i+1)*l.part, len(data))]
		ctx, cancel := context.WithTimeout(ctx, l.vault.opts.Wait)
		defer cancel()
		return patiently(ctx, func(ctx context.Context) error { // a piece that is there twice does no harm
			_, err := l.vault.write(ctx, &nats.Msg{Subject: prefix + strconv.Itoa(i), Data: piece})
			return err
		})
	})
}

// publish makes a snapshot the one of its place, and drops the one that was there.
func (j *journal) publish(ctx context.Context, token, at uint64, head *nats.Msg) error {
	_, err := j.commit(ctx, token, func(now end) (*change, error) {
		shots, err := j.shots(ctx)
		if err != nil {
			return nil, err
		}
		gone := shots[:0]
		for _, s := range shots {
			if s.at == at {
				gone = append(gone, s)
			}
		}
		return &change{first: now.next(), low: now.low, dead: now.dead, gone: gone, with: []*nats.Msg{head}}, nil
	})
	if err == nil {
		j.tidy(ctx)
	}
	return err
}

// shot is a snapshot's name.
type shot struct {
	at uint64
	id string
}

func (s shot) String() string { return strconv.FormatUint(s.at, 10) + "." + s.id }

// shots asks the leader for the names of the log's snapshots.
func (j *journal) shots(ctx context.Context) ([]shot, error) {
	subjects, err := j.log.vault.subjects(ctx, j.prefix+"*.*.*")
	if err != nil {
		return nil, err
	}
	var all []shot
	for subject := range subjects {
		name, ok := strings.CutPrefix(subject, j.prefix+"s.")
		if !ok || subjects[j.prefix+"d."+name] > 0 {
			continue
		}
		place, id, _ := strings.Cut(name, ".")
		at, err := strconv.ParseUint(place, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%w: %q", errStranger, j.name)
		}
		all = append(all, shot{at, id})
	}
	return all, nil
}

// marks returns the messages that say that snapshots are gone.
func (j *journal) marks(gone []shot) []*nats.Msg {
	var all []*nats.Msg
	for _, s := range gone {
		all = append(all, &nats.Msg{Subject: j.prefix + "d." + s.String()})
	}
	return all
}

// forget removes snapshots that are marked as gone. What it cannot remove now, tidy does.
func (j *journal) forget(ctx context.Context, gone []shot) {
	for _, s := range gone {
		for _, subject := range []string{"s." + s.String(), "c." + s.String() + ".*", "d." + s.String()} {
			if err := j.log.vault.purge(ctx, j.prefix+subject, 0); err != nil {
				return // the mark is the last to go
			}
		}
	}
}

// tidy removes what a writer that ended in the middle has left: snapshots marked as gone, and pieces of none.
func (j *journal) tidy(ctx context.Context) {
	subjects, err := j.log.vault.subjects(ctx, j.prefix+">")
	if err != nil {
		return
	}
	var left []shot
	met := make(map[shot]bool)
	for subject := range subjects {
		name := strings.TrimPrefix(subject, j.prefix)
		fields := strings.Split(name, ".")
		if len(fields) < 3 {
			continue
		}
		at, err := strconv.ParseUint(fields[1], 10, 64)
		s := shot{at, fields[2]}
		whole := subjects[j.prefix+"s."+s.String()] > 0 && subjects[j.prefix+"d."+s.String()] == 0
		if err == nil && !whole && !met[s] && (fields[0] == "d" || old(s.id)) {
			met[s] = true
			left = append(left, s)
		}
	}
	j.forget(ctx, left)
}

// old reports whether a snapshot's id is so old that nobody writes its pieces any more.
func old(id string) bool {
	text, _, _ := strings.Cut(id, "-")
	seconds, err := strconv.ParseInt(text, 36, 64)
	return err == nil && time.Since(time.Unix(seconds, 0)) > pieceAge
}

// Snapshot implements broker.Log.
func (l *Log) Snapshot(ctx context.Context, log string, before uint64) (uint64, []byte, error) {
	j, short, cancel, err := l.look(ctx, log)
	if err != nil {
		return 0, nil, err
	}
	defer cancel()
	for {
		shots, err := j.shots(short)
		if err != nil {
			return 0, nil, err
		}
		best, found := shot{}, false
		for _, s := range shots {
			if s.at <= before && (!found || s.at > best.at) {
				best, found = s, true
			}
		}
		if !found {
			return 0, nil, fmt.Errorf("%w: snapshot of log %q", broker.ErrNotFound, log)
		}
		data, err := j.shot(ctx, best)
		if !errors.Is(err, broker.ErrNotFound) {
			return best.at, data, err
		}
		select { // another one has taken its place
		case <-short.Done():
			return 0, nil, away(short, err)
		case <-time.After(behindWait):
		}
	}
}

// shot reads a snapshot; broker.ErrNotFound when it is gone.
func (j *journal) shot(ctx context.Context, s shot) ([]byte, error) {
	short, cancel := context.WithTimeout(ctx, j.log.vault.opts.Wait)
	defer cancel()
	head, err := j.log.vault.last(short, j.prefix+"s."+s.String())
	if err != nil || head.header.Get(piecesHeader) == "" {
		return head.data, err
	}
	n, err := strconv.Atoi(head.header.Get(piecesHeader))
	if err != nil || n < 0 || n > keys.MaxSnapshot {
		return nil, fmt.Errorf("%w: %q", errStranger, j.name)
	}
	pieces := make([][]byte, n)
	err = each(n, func(i int) error {
		ctx, cancel := context.WithTimeout(ctx, j.log.vault.opts.Wait)
		defer cancel()
		subject := j.prefix + "c." + s.String() + "." + strconv.Itoa(i)
		m, err := j.log.vault.lastAny(ctx, subject)
		if errors.Is(err, broker.ErrNotFound) {
			m, err = j.log.vault.last(ctx, subject) // that replica may be behind
		}
		pieces[i] = m.data
		return err
	})
	return join(pieces), err
}
