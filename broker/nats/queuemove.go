package nats

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"math"
	"slices"
	"time"

	"gosper/broker"
	"gosper/broker/jobs"
)

// A job that came from another engine has the number movedNode in its origin, with the id that it had there. What was
// its unique text is a hash, so it stands in the records as that behind movedText. The ids of this engine are places in
// the stream: a job gets a new one.
const (
	movedNode = math.MaxUint64 // no node: they draw lower numbers
	movedText = "\x00hash\x00"
)

// textHash is what unique texts of jobs that move are known by.
func textHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return string(sum[:16])
}

// holder returns the job of a tube that has the unique text, its own or by its hash; nil: none has. Caller holds mu.
func (l *leader) holder(t *jobs.Tube, text string) *jobEntry {
	if text == "" {
		return nil
	}
	if e := l.unique[unique{t, text}]; e != nil {
		return e
	}
	return l.unique[unique{t, movedText + textHash(text)}]
}

// moveWait is how long Import and Export wait for this node to lead.
const moveWait = time.Minute

// ledHere returns the leader of this node, when it has the lead: a move is made while no other node runs.
func (q *Queue) ledHere(ctx context.Context) (*leader, error) {
	ctx, cancel := context.WithTimeout(ctx, moveWait)
	defer cancel()
	for {
		q.mu.Lock()
		l, lead := q.local, q.lead
		q.mu.Unlock()
		if l != nil && lead.ready {
			return l, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: another node leads the jobs; end all nodes first", broker.ErrBusy)
		case <-time.After(beatEvery / 10):
		}
	}
}

// Import writes jobs as another engine had them: tubes, states, counters and bodies, in this order. Each is new here; the
// caller names none twice. It returns when all are stored; after an error some may be. Only the node that leads can do it.
func (q *Queue) Import(ctx context.Context, moved []jobs.Moved) error {
	l, err := q.ledHere(ctx)
	if err != nil {
		return err
	}
	answers := make(chan error, len(moved))
	l.do(func(now time.Time) {
		for i := range moved {
			m := &moved[i]
			l.submit(&op{stage: func(time.Time) error { return l.enter(m, func() { answers <- nil }) }, fail: func(err error) { answers <- err }}, now)
		}
	})
	for range moved {
		select {
		case err := <-answers:
			if err != nil {
				return err
			}
		case <-l.over:
			return fmt.Errorf("%w: this node does not lead the jobs any more", broker.ErrBusy)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// enter sends a job to the stream. How it stands goes first: without its job the next leader forgets it, but a job
// without it would be another one. Caller holds mu.
func (l *leader) enter(m *jobs.Moved, stored func()) error {
	if err := jobs.CheckPut(l.options.MaxJob, m.Tube, m.Body, broker.PutOptions{}); err != nil {
		return err
	}
	if err := l.room.Admit(m.Tube); err != nil {
		return err
	}
	if err := l.space(); err != nil {
		return err
	}
	row := m.Row(l.room.Tube(m.Tube))
	if row.ID = l.next; m.Unique != "" {
		row.Unique = movedText + m.Unique
	}
	stated := m.Changed()
	if stated {
		row.ID++
		l.publish(rowSubject('s', row.ID), stateRecord(row.ID, origin{}, row), nil)
	}
	l.add(row, row.ID, origin{movedNode, m.ID}, stored)
	l.rows[row.ID].stated = stated
	return nil
}

// place is where a job stands in the order of an Export.
type place struct{ told, id uint64 }

// Export returns jobs by the ids they had before they moved here, those of this engine by their own: the ones above after,
// at most limit, with about a mebibyte of bodies. after 0 begins a walk, of which the later calls are the rest: jobs that
// came since are not in it. Only the node that leads can do it.
func (q *Queue) Export(ctx context.Context, after uint64, limit int) ([]jobs.Moved, error) {
	l, err := q.ledHere(ctx)
	if err != nil {
		return nil, err
	}
	type page struct {
		reply
		ids []uint64 // to be told
	}
	got := make(chan page, 1)
	l.do(func(time.Time) {
		if after == 0 {
			l.walk = l.places()
		}
		var p page
		i, _ := slices.BinarySearchFunc(l.walk, after+1, func(p place, id uint64) int { return cmp.Compare(p.told, id) })
		for bytes := 0; i < len(l.walk) && len(p.ids) < limit && bytes < 1<<20; i++ {
			if e := l.rows[l.walk[i].id]; e != nil {
				p.jobs, p.ids = append(p.jobs, e.row.Job(nil)), append(p.ids, l.walk[i].told)
				bytes += e.size
			}
		}
		l.fill(p.reply, func(a reply) {
			p.reply = a
			got <- p
		})
	})
	select {
	case p := <-got:
		return l.moved(p.jobs, p.ids), p.err
	case <-l.over:
		return nil, fmt.Errorf("%w: this node does not lead the jobs any more", broker.ErrBusy)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// places returns all jobs in the order of an Export. Caller holds mu.
func (l *leader) places() []place {
	all := make([]place, 0, len(l.rows))
	for id, e := range l.rows {
		told := id
		if e.by.node == movedNode {
			told = e.by.n
		}
		all = append(all, place{told, id})
	}
	slices.SortFunc(all, func(a, b place) int { return cmp.Compare(a.told, b.told) })
	return all
}

// moved makes jobs what an Export tells.
func (l *leader) moved(found []broker.Job, ids []uint64) []jobs.Moved {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]jobs.Moved, len(found))
	for i, j := range found {
		if e := l.rows[j.ID]; e != nil && e.row.Unique != "" {
			text := e.row.Unique
			if hash, moved := cutMoved(text); moved {
				out[i].Unique = hash
			} else {
				out[i].Unique = textHash(text)
			}
		}
		j.ID = ids[i]
		out[i].Job = j
	}
	return out
}

func cutMoved(text string) (hash string, moved bool) {
	if len(text) == len(movedText)+16 && text[:len(movedText)] == movedText {
		return text[len(movedText):], true
	}
	return "", false
}
