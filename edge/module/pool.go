package module

import "sync"

// pool runs jobs on a fixed number of goroutines behind a bounded queue.
type pool struct {
	jobs chan func()
	wait sync.WaitGroup

	mu     sync.RWMutex // guards closed against a send on the closed channel
	closed bool
}

// newPool starts workers goroutines that share a queue of length queue.
func newPool(workers, queue int) *pool {
	p := &pool{jobs: make(chan func(), queue)}
	for range workers {
		p.wait.Go(func() {
			for job := range p.jobs {
				job()
			}
		})
	}
	return p
}

// try queues a job; false when the queue is full or the pool is closed. It never blocks.
func (p *pool) try(job func()) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.closed {
		return false
	}
	select {
	case p.jobs <- job:
		return true
	default:
		return false
	}
}

// close finishes what is queued and ends the goroutines.
func (p *pool) close() {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.jobs)
	}
	p.mu.Unlock()
	p.wait.Wait()
}
