package control

import (
	"errors"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"gosper/broker"
	"gosper/protocol"
)

// Endpoints with which an operator looks at tubes, jobs and timers, and moves jobs by hand.

// Tube is a tube as operators see it. Times are in seconds.
type Tube struct {
	Name      string  `json:"tube"`
	Urgent    uint64  `json:"urgent"`
	Ready     uint64  `json:"ready"`
	Reserved  uint64  `json:"reserved"`
	Delayed   uint64  `json:"delayed"`
	Buried    uint64  `json:"buried"`
	Waiting   uint64  `json:"waiting"`
	Puts      uint64  `json:"puts"`
	Deletes   uint64  `json:"deletes"`
	Kicks     uint64  `json:"kicks"`
	Timeouts  uint64  `json:"timeouts"`
	Oldest    float64 `json:"oldest_s"`
	PauseLeft float64 `json:"pause_left_s,omitempty"`
}

// Job is a job as operators see it.
type Job struct {
	ID       uint64    `json:"id"`
	Tube     string    `json:"tube"`
	State    string    `json:"state"`
	Priority uint32    `json:"priority"`
	TTR      float64   `json:"ttr_s"`
	Created  time.Time `json:"created"`
	Due      time.Time `json:"due,omitzero"`
	Reason   string    `json:"reason,omitempty"`
	Reserves uint32    `json:"reserves"`
	Timeouts uint32    `json:"timeouts"`
	Releases uint32    `json:"releases"`
	Buries   uint32    `json:"buries"`
	Kicks    uint32    `json:"kicks"`
	Size     int       `json:"bytes"`
	Body     string    `json:"body"` // at most bodyShown bytes in a list; a byte that is no UTF-8 becomes U+FFFD
}

// Timer is a timer as operators see it.
type Timer struct {
	Key   string    `json:"key"`
	Group string    `json:"group,omitempty"`
	Due   time.Time `json:"due"`
	Tube  string    `json:"tube"`
	Body  string    `json:"body"`
}

const (
	bodyShown = 1024
	jobsPage  = 1000
)

// tubes answers GET /admin/queue/tubes[?tube=<name>]: {"tubes":[…]}.
func (s *Server) tubes(ctx *fasthttp.RequestCtx) {
	names := s.config.Queue.Tubes()
	if one := string(ctx.QueryArgs().Peek("tube")); one != "" {
		names = []string{one}
	}
	list := []Tube{}
	for _, name := range names {
		t, err := s.config.Queue.Stats(name)
		if errors.Is(err, broker.ErrNotFound) {
			continue // its last job went meanwhile
		}
		if err != nil {
			s.failed500(ctx, "queue", err)
			return
		}
		list = append(list, tubeOut(&t))
	}
	answer(ctx, map[string][]Tube{"tubes": list})
}

func tubeOut(t *broker.TubeStats) Tube {
	return Tube{t.Tube, t.Urgent, t.Ready, t.Reserved, t.Delayed, t.Buried, t.Waiting, t.Puts, t.Deletes, t.Kicks, t.Timeouts,
		t.Oldest.Seconds(), t.PauseLeft.Seconds()}
}

func timerOut(t *broker.Timer) Timer {
	return Timer{t.Key, t.Group, t.Due, t.Tube, string(t.Body[:min(len(t.Body), bodyShown)])}
}

func jobOut(j *broker.Job, most int) Job {
	body := j.Body[:min(len(j.Body), most)]
	return Job{j.ID, j.Tube, j.State.String(), j.Priority, j.TTR.Seconds(), j.Created, j.Due, j.Reason, j.Reserves, j.Timeouts,
		j.Releases, j.Buries, j.Kicks, len(j.Body), string(body)}
}

var jobStates = map[string]broker.JobState{"ready": broker.JobReady, "reserved": broker.JobReserved, "delayed": broker.JobDelayed, "buried": broker.JobBuried}

// jobs answers GET /admin/queue/jobs?tube=<name>&state=<state>&after=<id>&limit=<n>: {"jobs":[…]} by id.
func (s *Server) jobs(ctx *fasthttp.RequestCtx) {
	args := ctx.QueryArgs()
	state, ok := jobStates[string(args.Peek("state"))]
	after, limit, right := pageOf(ctx)
	if !ok || !right {
		fail(ctx, fasthttp.StatusBadRequest, protocol.StatusInvalid, "want tube, state (ready, reserved, delayed, buried), after and limit (1 to 1000)")
		return
	}
	work, cancel := serviceContext()
	defer cancel()
	jobs, err := s.config.Queue.ListJobs(work, string(args.Peek("tube")), state, after, limit)
	if err != nil && !errors.Is(err, broker.ErrNotFound) {
		s.failed500(ctx, "queue", err)
		return
	}
	list := []Job{}
	for i := range jobs {
		list = append(list, jobOut(&jobs[i], bodyShown))
	}
	answer(ctx, map[string][]Job{"jobs": list})
}

// pageOf reads after and limit.
func pageOf(ctx *fasthttp.RequestCtx) (after uint64, limit int, ok bool) {
	args := ctx.QueryArgs()
	limit = jobsPage
	var err error
	if args.Has("after") {
		if after, err = strconv.ParseUint(string(args.Peek("after")), 10, 64); err != nil {
			return 0, 0, false
		}
	}
	if args.Has("limit") {
		limit, err = strconv.Atoi(string(args.Peek("limit")))
	}
	return after, limit, err == nil && limit >= 1 && limit <= jobsPage
}

// job answers GET /admin/queue/job?id=<id> with the job, its whole body included.
func (s *Server) job(ctx *fasthttp.RequestCtx) {
	id, err := strconv.ParseUint(string(ctx.QueryArgs().Peek("id")), 10, 64)
	if err != nil {
		fail(ctx, fasthttp.StatusBadRequest, protocol.StatusInvalid, "want id")
		return
	}
	work, cancel := serviceContext()
	defer cancel()
	j, err := s.config.Queue.Peek(work, id)
	if s.moved(ctx, err) {
		answer(ctx, jobOut(&j, len(j.Body)))
	}
}

// moved answers a failure of the queue, and returns true without one.
func (s *Server) moved(ctx *fasthttp.RequestCtx, err error) bool {
	switch {
	case err == nil:
		return true
	case errors.Is(err, broker.ErrNotFound):
		fail(ctx, fasthttp.StatusNotFound, protocol.StatusInvalid, "there is no such job, tube or timer, or it is not in such a state")
	case errors.Is(err, broker.ErrBadName):
		fail(ctx, fasthttp.StatusBadRequest, protocol.StatusInvalid, "the name is not valid")
	case errors.Is(err, broker.ErrDiskFull), errors.Is(err, broker.ErrBusy):
		fail(ctx, fasthttp.StatusServiceUnavailable, protocol.StatusBusy, err.Error())
	default:
		s.failed500(ctx, "queue", err)
	}
	return false
}

// kick answers POST /admin/queue/kick with form id, or tube and bound (default 1): {"kicked":n}.
func (s *Server) kick(ctx *fasthttp.RequestCtx) {
	args := ctx.PostArgs()
	type result struct {
		n   int
		err error
	}
	done := make(chan result, 1)
	if args.Has("id") {
		id, err := strconv.ParseUint(string(args.Peek("id")), 10, 64)
		if err != nil {
			fail(ctx, fasthttp.StatusBadRequest, protocol.StatusInvalid, "id must be a number")
			return
		}
		s.config.Queue.KickJob(id, func(err error) { done <- result{1, err} })
	} else {
		bound, err := strconv.Atoi(string(args.Peek("bound")))
		if !args.Has("bound") {
			bound, err = 1, nil
		}
		if err != nil || bound < 1 || bound > 100_000 {
			fail(ctx, fasthttp.StatusBadRequest, protocol.StatusRange, "bound must be 1 to 100000")
			return
		}
		s.config.Queue.Kick(string(args.Peek("tube")), bound, func(n int, err error) { done <- result{n, err} })
	}
	if r := <-done; s.moved(ctx, r.err) {
		answer(ctx, map[string]int{"kicked": r.n})
	}
}

// operatorOwner is the owner of the leases of this server: neither a connection nor a worker.
const operatorOwner = 1<<64 - 1

// bury answers POST /admin/queue/bury with form id and reason. The job must not be reserved.
func (s *Server) bury(ctx *fasthttp.RequestCtx) {
	id, err := strconv.ParseUint(string(ctx.PostArgs().Peek("id")), 10, 64)
	if err != nil {
		fail(ctx, fasthttp.StatusBadRequest, protocol.StatusInvalid, "want id")
		return
	}
	reason := string(ctx.PostArgs().Peek("reason"))
	if reason == "" {
		reason = "buried by an operator"
	}
	type result struct {
		job broker.Job
		err error
	}
	got := make(chan result, 1)
	s.config.Queue.Reserve(broker.Reservation{Owner: operatorOwner, ID: id, Got: func(j broker.Job, err error) { got <- result{j, err} }})
	r := <-got
	if r.err == nil {
		done := make(chan error, 1)
		s.config.Queue.Bury(id, r.job.Lease, r.job.Priority, reason[:min(len(reason), 500)], func(err error) { done <- err })
		r.err = <-done
	}
	if s.moved(ctx, r.err) {
		answer(ctx, statusOut{})
	}
}

// deleteJob answers POST /admin/queue/delete with form id. The job must not be reserved.
func (s *Server) deleteJob(ctx *fasthttp.RequestCtx) {
	id, err := strconv.ParseUint(string(ctx.PostArgs().Peek("id")), 10, 64)
	if err != nil {
		fail(ctx, fasthttp.StatusBadRequest, protocol.StatusInvalid, "want id")
		return
	}
	done := make(chan error, 1)
	s.config.Queue.Delete(id, 0, func(err error) { done <- err })
	if s.moved(ctx, <-done) {
		answer(ctx, statusOut{})
	}
}

// pause answers POST /admin/queue/pause with form tube and for, a duration such as 30s; 0s ends a pause.
func (s *Server) pause(ctx *fasthttp.RequestCtx) {
	args := ctx.PostArgs()
	d, err := time.ParseDuration(string(args.Peek("for")))
	tube := string(args.Peek("tube"))
	if err != nil || d < 0 || !protocol.ValidTube(tube) {
		fail(ctx, fasthttp.StatusBadRequest, protocol.StatusInvalid, "want tube, and for as 30s")
		return
	}
	if s.moved(ctx, s.config.Queue.Pause(tube, d)) {
		answer(ctx, statusOut{})
	}
}

// timers answers GET /admin/schedule/timers?group=<group>&after=<unix ms>&limit=<n>: {"pending":n,"timers":[…]} by due time.
func (s *Server) timers(ctx *fasthttp.RequestCtx) {
	after, limit, ok := pageOf(ctx)
	if !ok {
		fail(ctx, fasthttp.StatusBadRequest, protocol.StatusInvalid, "after must be unix milliseconds and limit 1 to 1000")
		return
	}
	from := time.Time{}
	if after > 0 {
		from = time.UnixMilli(int64(min(after, 1<<53)))
	}
	work, cancel := serviceContext()
	defer cancel()
	timers, err := s.config.Schedule.List(work, string(ctx.QueryArgs().Peek("group")), from, limit)
	if !s.moved(ctx, err) {
		return
	}
	list := []Timer{}
	for i := range timers {
		list = append(list, timerOut(&timers[i]))
	}
	answer(ctx, struct {
		Pending int     `json:"pending"`
		Timers  []Timer `json:"timers"`
	}{s.config.Schedule.Pending(), list})
}

// cancelTimer answers POST /admin/schedule/cancel with form key.
func (s *Server) cancelTimer(ctx *fasthttp.RequestCtx) {
	work, cancel := serviceContext()
	defer cancel()
	if s.moved(ctx, s.config.Schedule.Cancel(work, string(ctx.PostArgs().Peek("key")))) {
		answer(ctx, statusOut{})
	}
}
