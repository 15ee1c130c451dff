package beanstalk

import "sync"

// refs counts what connections have to do with tubes. A tube exists while it holds jobs or is referred to.
type refs struct {
	mu    sync.Mutex
	tubes map[string]*ref // guarded by mu
}

// ref has counters beside: the queue forgets those of a tube that is empty for a moment.
type ref struct {
	using, watching, pauses int
	puts, deletes           uint64 // through this door
}

func newRefs() *refs { return &refs{tubes: map[string]*ref{}} }

func (r *refs) change(tube string, by func(*ref)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.tubes[tube]
	if t == nil {
		t = &ref{}
		r.tubes[tube] = t
	}
	by(t)
	if t.using == 0 && t.watching == 0 {
		delete(r.tubes, tube)
	}
}

func (r *refs) use(tube string, n int)   { r.change(tube, func(t *ref) { t.using += n }) }
func (r *refs) watch(tube string, n int) { r.change(tube, func(t *ref) { t.watching += n }) }
func (r *refs) paused(tube string)       { r.change(tube, func(t *ref) { t.pauses++ }) }

func (r *refs) put(tube string)     { r.change(tube, func(t *ref) { t.puts++ }) }
func (r *refs) deleted(tube string) { r.change(tube, func(t *ref) { t.deletes++ }) }

func (r *refs) get(tube string) ref {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.tubes[tube]; t != nil {
		return *t
	}
	return ref{}
}

func (r *refs) has(tube string) bool {
	t := r.get(tube)
	return t.using > 0 || t.watching > 0
}

func (r *refs) names() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := make([]string, 0, len(r.tubes))
	for name := range r.tubes {
		names = append(names, name)
	}
	return names
}
