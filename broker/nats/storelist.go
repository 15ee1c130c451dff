package nats

import (
	"context"
	"errors"
	"strings"
	"time"

	"gosper/broker"
)

// listRounds is how often List tries to find all its records unchanged. Only records that are changed all the time need
// more than two.
const listRounds = 16

// List implements broker.Store. Its records are as they were at one moment, unless some are changed so often that they
// could not be read so in listRounds tries: then each is as it was at some moment after List began.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) ([]broker.Record, error) {
	ctx, cancel, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	if limit <= 0 {
		return nil, nil
	}
	seq, err := s.vault.lastSeq(ctx)
	if err != nil {
		return nil, err
	}
	l := &listing{store: s, found: make(map[string]broker.Record)}
	for round := 1; ; round++ {
		if err := s.reach(ctx, seq); err != nil {
			return nil, err
		}
		listRoundsTotal.Inc()
		rows := s.index.list(prefix, after, limit)
		stale := l.stale(rows)
		if len(stale) == 0 || round > listRounds {
			return l.records(rows), nil
		}
		if seq, err = l.read(ctx, stale); err != nil {
			return nil, err
		}
	}
}

// listing is a List under way.
type listing struct {
	store *Store
	found map[string]broker.Record
}

// stale returns the keys whose record is not at hand in the revision that the index has.
func (l *listing) stale(rows []row) []string {
	var all []string
	for _, r := range rows {
		if l.found[r.key].Revision != r.revision {
			all = append(all, r.key)
		}
	}
	return all
}

// records returns those of the rows that were found, in order.
func (l *listing) records(rows []row) []broker.Record {
	all := make([]broker.Record, 0, len(rows))
	for _, r := range rows {
		if found, ok := l.found[r.key]; ok {
			all = append(all, found)
		}
	}
	return all
}

// read reads the newest records of the keys and returns the newest revision it has met.
func (l *listing) read(ctx context.Context, names []string) (newest uint64, err error) {
	for len(names) > 0 {
		var subjects []string
		bytes := 0
		for len(subjects) < len(names) && len(subjects) < maxPage && bytes < maxAsked {
			subject := recordPrefix + token(names[len(subjects)])
			subjects = append(subjects, subject)
			bytes += len(subject) + 3
		}
		items, _, err := l.store.vault.newest(ctx, subjects)
		if err != nil {
			return 0, err
		}
		for _, name := range names[:len(subjects)] {
			delete(l.found, name)
		}
		for _, m := range items {
			newest = max(newest, m.seq)
			if err := l.enter(ctx, m); err != nil {
				return 0, err
			}
		}
		if len(items) < len(subjects) { // a replica is behind, or some were deleted
			select {
			case <-ctx.Done():
				return 0, away(ctx, errBehind)
			case <-time.After(raceWait):
			}
		}
		names = names[len(subjects):]
	}
	return newest, nil
}

// enter takes a message as a record.
func (l *listing) enter(ctx context.Context, m item) error {
	key, ok := untoken(strings.TrimPrefix(m.subject, recordPrefix))
	if !ok || readMark(m.header).deleted {
		return nil
	}
	r, err := l.store.record(ctx, key, m)
	if errors.Is(err, errReplaced) {
		return nil
	}
	if err == nil {
		l.found[key] = r
	}
	return err
}
