package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/valyala/fasthttp"

	"gosper/broker"
	"gosper/broker/chain"
	"gosper/protocol"
)

// The engine of work chains as older workflow engines have it: its lock, its workers, and chains as processes.

// engineStatus answers GET /api/settings/status.
func (s *Server) engineStatus(ctx *fasthttp.RequestCtx) {
	if s.hasChains(ctx) {
		answer(ctx, s.config.Chains.Settings())
	}
}

// lockEngine answers PUT /api/settings/status, {"global_lock":true}: the state after it. A lock stops the next step of
// every chain; calls under way end as they would.
func (s *Server) lockEngine(ctx *fasthttp.RequestCtx) {
	if !s.hasChains(ctx) {
		return
	}
	var in struct {
		Lock *bool `json:"global_lock"`
	}
	if err := json.Unmarshal(ctx.PostBody(), &in); err != nil || in.Lock == nil {
		fail(ctx, fasthttp.StatusBadRequest, protocol.StatusInvalid, `the body must be {"global_lock":true} or {"global_lock":false}`)
		return
	}
	work, cancel := serviceContext()
	defer cancel()
	if _, err := s.config.Chains.Lock(work, *in.Lock); err != nil {
		s.failChain(ctx, err)
		return
	}
	answer(ctx, s.config.Chains.Settings())
}

// workerStatus answers GET /api/settings/worker-status.
func (s *Server) workerStatus(ctx *fasthttp.RequestCtx) {
	if !s.hasChains(ctx) {
		return
	}
	answer(ctx, workersOf(s.config.Chains))
}

func workersOf(e *chain.Engine) workersOut {
	places, waiting, running := e.Workers()
	return workersOut{"gosper", places, waiting, running}
}

type workersOut struct {
	Type    string `json:"executor_type"`
	Online  int    `json:"number_of_workers_online"`
	Queued  int    `json:"number_of_queued_jobs"`
	Running int    `json:"number_of_running_jobs"`
}

// processesPage bounds a list of processes.
const processesPage = 1000

// listProcesses answers GET /api/processes[?state=&after=&limit=], with an ETag made of what is listed and when it moved.
func (s *Server) listProcesses(ctx *fasthttp.RequestCtx) {
	if !s.hasChains(ctx) {
		return
	}
	args := ctx.QueryArgs()
	state, limit := chain.State(args.Peek("state")), processesPage
	if args.Has("limit") {
		var err error
		if limit, err = args.GetUint("limit"); err != nil || limit < 1 || limit > processesPage {
			fail(ctx, fasthttp.StatusBadRequest, protocol.StatusInvalid, fmt.Sprintf("limit must be 1 to %d", processesPage))
			return
		}
	}
	if state != "" && !slices.Contains(chain.States(), state) {
		fail(ctx, fasthttp.StatusBadRequest, protocol.StatusInvalid, fmt.Sprintf("state must be one of %v", chain.States()))
		return
	}
	work, cancel := serviceContext()
	defer cancel()
	list, err := s.config.Chains.List(work, state, string(args.Peek("after")), limit)
	if err != nil {
		s.failChain(ctx, err)
		return
	}
	sum := crc32.NewIEEE()
	for i := range list {
		fmt.Fprintf(sum, "%s %d\n", list[i].Hash, list[i].Modified.UnixMilli())
	}
	tag := fmt.Sprintf(`W/"%08x"`, sum.Sum32())
	ctx.Response.Header.Set("ETag", tag)
	if matches(string(ctx.Request.Header.Peek("If-None-Match")), strings.TrimPrefix(tag, "W/")) {
		ctx.SetStatusCode(fasthttp.StatusNotModified)
		return
	}
	if list == nil {
		list = []chain.Summary{}
	}
	answer(ctx, list)
}

// processCounts answers GET /api/processes/status-counts. Tasks are a kind of process that this engine does not have.
func (s *Server) processCounts(ctx *fasthttp.RequestCtx) {
	if !s.hasChains(ctx) {
		return
	}
	out := countsOut{countsOf(s.config.Chains), make(map[chain.State]int)}
	for _, state := range chain.States() {
		out.Tasks[state] = 0
	}
	answer(ctx, out)
}

// countsOf returns the numbers of chains in every state, also of those without one.
func countsOf(e *chain.Engine) map[chain.State]int {
	counts := e.Counts()
	for _, state := range chain.States() {
		counts[state] += 0
	}
	return counts
}

type countsOut struct {
	Processes map[chain.State]int `json:"process_counts"`
	Tasks     map[chain.State]int `json:"task_counts"`
}

// getProcess answers GET /api/processes/{id}.
func (s *Server) getProcess(ctx *fasthttp.RequestCtx) {
	if !s.hasChains(ctx) {
		return
	}
	work, cancel := serviceContext()
	defer cancel()
	status, err := s.config.Chains.Status(work, partOf(ctx))
	if err != nil {
		s.failChain(ctx, err)
		return
	}
	answer(ctx, status)
}

// startProcess answers POST /api/processes/{key}: it runs a workflow of the config file "workflows", {"<key>":[items…]}.
// The body, a JSON text, is the payload of items that have none. 201 with the id; 503 while the engine is locked.
func (s *Server) startProcess(ctx *fasthttp.RequestCtx) {
	switch {
	case !s.hasChains(ctx):
		return
	case s.config.Chains.Settings().GlobalLock:
		fail(ctx, fasthttp.StatusServiceUnavailable, protocol.StatusBusy, "the engine is locked")
		return
	case len(ctx.PostBody()) > 0 && !protocol.ValidJSON(ctx.PostBody()):
		fail(ctx, fasthttp.StatusBadRequest, protocol.StatusInvalid, "the body must be JSON")
		return
	}
	items, ok := s.workflow(partOf(ctx))
	if !ok {
		fail(ctx, fasthttp.StatusNotFound, protocol.StatusInvalid, "the config file workflows has no such workflow")
		return
	}
	message, err := startMessage(items, string(ctx.PostBody()))
	var w chain.Work
	if err == nil {
		w, err = chain.ParseWork(message, s.config.Chains.Limits())
	}
	if err != nil {
		s.failChain(ctx, err)
		return
	}
	work, cancel := serviceContext()
	defer cancel()
	status, _, err := s.config.Chains.Submit(work, w, "")
	if err != nil {
		s.failChain(ctx, err)
		return
	}
	answer(ctx, startedOut{status.Hash})
	ctx.SetStatusCode(fasthttp.StatusCreated)
}

type startedOut struct {
	ID string `json:"id"`
}

// workflow returns the items of a workflow.
func (s *Server) workflow(key string) ([]map[string]any, bool) {
	file, ok := s.config.Settings.Get("workflows")
	var all map[string][]map[string]any
	if !ok || json.Unmarshal(file.Data, &all) != nil {
		return nil, false
	}
	items, ok := all[key]
	return items, ok
}

// startMessage makes a work message of a workflow. A mark that no other start has keeps it from being the same message.
func startMessage(items []map[string]any, input string) ([]byte, error) {
	for _, item := range items {
		if r, ok := item["request"].(map[string]any); ok && (r["payload"] == nil || r["payload"] == "") {
			r["payload"] = input
		}
	}
	if len(items) > 0 {
		items[0]["run"] = uuid.NewString()
	}
	text, err := json.Marshal(items)
	if err != nil {
		return nil, err
	}
	hash, err := chain.HashOf(text)
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{"work_message": map[string]any{"hash": hash, "items": json.RawMessage(text)}})
}

// resumeProcess answers PUT /api/processes/{id}/resume: 204, or 409 when it has not failed.
func (s *Server) resumeProcess(ctx *fasthttp.RequestCtx) {
	s.order(ctx, func(e *chain.Engine) error {
		work, cancel := serviceContext()
		defer cancel()
		s.config.Events.ProcessCounts() // first, as older engines do; the engine tells again when it has happened
		_, err := e.Resume(work, partOf(ctx))
		return err
	})
}

// abortProcess answers PUT /api/processes/{id}/abort: 204, or 409 when it has ended.
func (s *Server) abortProcess(ctx *fasthttp.RequestCtx) {
	s.order(ctx, func(e *chain.Engine) error {
		work, cancel := serviceContext()
		defer cancel()
		_, err := e.Cancel(work, partOf(ctx))
		return err
	})
}

// deleteProcess answers DELETE /api/processes/{id}: 204, or 409 when it has not ended.
func (s *Server) deleteProcess(ctx *fasthttp.RequestCtx) {
	s.order(ctx, func(e *chain.Engine) error {
		work, cancel := serviceContext()
		defer cancel()
		return e.Delete(work, partOf(ctx))
	})
}

// order runs an order to the engine and answers without content.
func (s *Server) order(ctx *fasthttp.RequestCtx, run func(*chain.Engine) error) {
	if !s.hasChains(ctx) {
		return
	}
	if err := run(s.config.Chains); err != nil {
		s.failChain(ctx, err)
		return
	}
	ctx.SetStatusCode(fasthttp.StatusNoContent)
}

// resumeAll answers PUT /api/processes/resume-all with the number of chains that run again.
func (s *Server) resumeAll(ctx *fasthttp.RequestCtx) {
	if !s.hasChains(ctx) {
		return
	}
	work, cancel := serviceContext()
	defer cancel()
	n, err := s.config.Chains.ResumeAll(work)
	if err != nil && !errors.Is(err, broker.ErrBusy) {
		s.failChain(ctx, err)
		return
	}
	answer(ctx, resumedOut{n})
}

type resumedOut struct {
	Count int `json:"count"`
}

// publishEvent answers POST /api/events, {"type":…,"id":…}: any service may tell that something of its own is stale.
func (s *Server) publishEvent(ctx *fasthttp.RequestCtx) {
	var in eventIn
	if err := json.Unmarshal(ctx.PostBody(), &in); err != nil || !protocol.ValidName(in.Type) || len(in.ID) > eventID {
		fail(ctx, fasthttp.StatusBadRequest, protocol.StatusInvalid, `the body must be {"type":"<name>","id":"<text of at most `+strconv.Itoa(eventID)+` bytes>"}`)
		return
	}
	s.config.Events.Invalidate(in.Type, in.ID)
	ctx.SetStatusCode(fasthttp.StatusNoContent)
}

type eventIn struct {
	Type string `json:"type"`
	ID   string `json:"id,omitempty"`
}

// eventID is the longest id of an event in bytes.
const eventID = 256
