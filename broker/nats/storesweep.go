package nats

import (
	"context"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// sweepWait is the least time from a change that leaves parts of an old value to their removal; nodes take up to three
// times as long, so that mostly one of them does it.
const sweepWait = time.Second

// sweeper removes the parts of values that were replaced by smaller ones: at the start, for those that the last nodes
// have left, and when a record has shrunk.
func (s *Store) sweeper() {
	for {
		select {
		case <-s.life.Done():
			return
		case <-time.After(sweepWait + rand.N(2*sweepWait)):
		}
		ctx, cancel := context.WithTimeout(s.life, time.Minute)
		err := s.sweep(ctx)
		cancel()
		if err != nil && s.life.Err() == nil {
			s.vault.opts.Log.Debug("parts of old values are left", "error", err)
			continue
		}
		select {
		case <-s.life.Done():
			return
		case <-s.index.shrunk:
		}
	}
}

// sweep compares the parts that are stored with those that the records have. What is written meanwhile is newer than seq
// and stays.
func (s *Store) sweep(ctx context.Context) error {
	parts, err := s.vault.subjects(ctx, partPrefix+"*.*")
	if err != nil {
		return err
	}
	seq, err := s.vault.lastSeq(ctx)
	if err != nil {
		return err
	}
	if err := s.reach(ctx, seq); err != nil {
		return err
	}
	for subject := range parts {
		name, number, _ := strings.Cut(strings.TrimPrefix(subject, partPrefix), ".")
		key, ok := untoken(name)
		i, err := strconv.Atoi(number)
		if !ok || err != nil {
			continue
		}
		below := seq + 1
		if known, ok := s.index.get(key); ok {
			below = known.revision - uint64(known.parts)
			if i < int(known.parts) {
				continue
			}
		}
		if err := s.vault.purge(ctx, subject, below); err != nil {
			return err
		}
	}
	return nil
}
