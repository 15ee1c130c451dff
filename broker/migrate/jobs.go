package migrate

import (
	"context"

	"gosper/broker/jobs"
)

// pageJobs is how many jobs are read and written at a time.
const pageJobs = 256

// exporter is the side of Jobs that is read.
type exporter interface {
	Export(ctx context.Context, after uint64, limit int) ([]jobs.Moved, error)
}

// eachJobs calls fn for all jobs of a side, page by page, in the order of their ids.
func eachJobs(ctx context.Context, side exporter, fn func([]jobs.Moved) error) error {
	for after := uint64(0); ; {
		page, err := side.Export(ctx, after, pageJobs)
		if err != nil || len(page) == 0 {
			return err
		}
		if err := fn(page); err != nil {
			return err
		}
		after = page[len(page)-1].ID
	}
}

// copyJobs writes the jobs that the target lacks, in the order of their ids, which is that in which equals are reserved.
func (m *mover) copyJobs(ctx context.Context) (written uint64, err error) {
	have := map[uint64]bool{}
	err = eachJobs(ctx, m.to.Jobs, func(page []jobs.Moved) error {
		for _, j := range page {
			have[j.ID] = true
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	done := uint64(0)
	err = eachJobs(ctx, m.from.DB.Queue(), func(page []jobs.Moved) error {
		var missing []jobs.Moved
		for _, j := range page {
			if !have[j.ID] {
				missing = append(missing, j)
			}
		}
		done += uint64(len(page))
		m.Progress("jobs", done, page[len(page)-1].Tube)
		if len(missing) == 0 {
			return nil
		}
		written += uint64(len(missing))
		return m.to.Jobs.Import(ctx, missing)
	})
	return written, err
}

func (m *mover) sumJobs(ctx context.Context, target bool) (Sum, error) {
	var side exporter = m.from.DB.Queue()
	if target {
		side = m.to.Jobs
	}
	s := newSummer()
	err := eachJobs(ctx, side, func(page []jobs.Moved) error {
		for _, j := range page {
			s.addJob(&j)
		}
		return nil
	})
	return s.result(), err
}

func (s *summer) addJob(j *jobs.Moved) {
	due := int64(0)
	if !j.Due.IsZero() {
		due = j.Due.UnixMilli()
	}
	s.number(j.ID, uint64(j.State), uint64(j.Priority), uint64(j.Delay), uint64(j.TTR), uint64(j.Created.UnixMilli()), uint64(due),
		uint64(j.Reserves), uint64(j.Timeouts), uint64(j.Releases), uint64(j.Buries), uint64(j.Kicks))
	for _, text := range []string{j.Tube, j.Reason, j.Unique} {
		s.text([]byte(text))
	}
	s.text(j.Body)
	s.end()
}
