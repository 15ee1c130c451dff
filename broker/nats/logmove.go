package nats

import "context"

// Begin makes an empty log whose next entry gets Seq first, for entries that come from another engine with their numbers.
// A log that is there already is left as it is.
func (l *Log) Begin(ctx context.Context, log string, first uint64) error {
	_, ctx, cancel, err := l.look(ctx, log)
	if err != nil {
		return err
	}
	defer cancel()
	return l.do(ctx, log, func(ctx context.Context, j *journal) error {
		j.known = false
		_, err := j.commit(ctx, noToken, func(now end) (*change, error) {
			if now.seq != 0 || first <= 1 {
				return nil, nil
			}
			return &change{first: first, low: first}, nil
		})
		return err
	})
}

// Moves returns the logs and the jobs with what a move from another engine needs beyond the seams.
func (s *State) Moves() (*Log, *Queue) { return s.log, s.queue }
