package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"gosper/broker"
	"gosper/broker/chain"
	"gosper/protocol"
)

// Endpoints of work chains: messages in, answers that come later in, completions out.

const (
	longPoll        = 30 * time.Second // longest wait of a long poll
	completionsMost = 100              // completions in one answer
	mimeProtobuf    = "application/x-protobuf"
)

// workOut is a chain as services see it.
type workOut struct {
	chain.Status
	New bool `json:"new"` // this very message made the chain
}

// submitWork answers POST /work: the body is a work message, JSON or protobuf. 202 for a new chain, 200 for a known one.
func (s *Server) submitWork(ctx *fasthttp.RequestCtx) {
	if !s.hasChains(ctx) {
		return
	}
	w, err := chain.ParseWork(ctx.PostBody(), s.config.Chains.Limits())
	if err != nil {
		s.failChain(ctx, err)
		return
	}
	work, cancel := serviceContext()
	defer cancel()
	status, isNew, err := s.config.Chains.Submit(work, w, "")
	if err != nil {
		s.failChain(ctx, err)
		return
	}
	answer(ctx, workOut{status, isNew})
	if isNew {
		ctx.SetStatusCode(fasthttp.StatusAccepted)
	}
}

// getWork answers GET /work/{hash}[?wait=<seconds>]: the chain's status, at once or when it has ended. To a client that
// accepts protobuf only, it is a completion message, or a notification message of a chain that has not ended.
func (s *Server) getWork(ctx *fasthttp.RequestCtx) {
	if !s.hasChains(ctx) {
		return
	}
	wait, ok := waitOf(ctx)
	if !ok {
		return
	}
	work, cancel := s.pollContext(wait)
	defer cancel()
	status, err := s.config.Chains.Wait(work, partOf(ctx))
	if err != nil {
		s.failChain(ctx, err)
		return
	}
	if string(ctx.Request.Header.Peek("Accept")) != mimeProtobuf {
		answer(ctx, status)
		return
	}
	b := chain.AppendProtoNotification
	if status.Over() {
		b = chain.AppendProtoCompletion
	}
	ctx.SetContentType(mimeProtobuf)
	ctx.SetBody(b(nil, status.Hash, status.Results()))
}

// cancelWork answers POST /work/{hash}/cancel with the status of the chain, which has ended then.
func (s *Server) cancelWork(ctx *fasthttp.RequestCtx) {
	if !s.hasChains(ctx) {
		return
	}
	work, cancel := serviceContext()
	defer cancel()
	status, err := s.config.Chains.Cancel(work, partOf(ctx))
	if err != nil {
		s.failChain(ctx, err)
		return
	}
	answer(ctx, status)
}

// notifiedOut tells how many items took an answer.
type notifiedOut struct {
	Taken int `json:"taken"`
}

// notify answers POST /notifications: the body is a notification message, JSON or protobuf, with answers that items
// await.
func (s *Server) notify(ctx *fasthttp.RequestCtx) {
	if !s.hasChains(ctx) {
		return
	}
	hash, items, err := chain.ParseNotification(ctx.PostBody(), s.config.Chains.Limits())
	taken := 0
	if err == nil {
		work, cancel := serviceContext()
		defer cancel()
		taken, err = s.config.Chains.Notify(work, hash, items)
	}
	if err != nil {
		s.failChain(ctx, err)
		return
	}
	answer(ctx, notifiedOut{taken})
}

// completion is one completion message with what acknowledges it.
type completion struct {
	Receipt string          `json:"receipt"`
	Message json.RawMessage `json:"message"`
}

// completions answers GET /completions[?wait=<seconds>&max=<n>]: completion messages that nobody has taken, at once or
// when one comes. Each comes again after two minutes unless it is acknowledged.
func (s *Server) completions(ctx *fasthttp.RequestCtx) {
	wait, ok := waitOf(ctx)
	if !ok {
		return
	}
	most, err := ctx.QueryArgs().GetUint("max")
	if errors.Is(err, fasthttp.ErrNoArgValue) {
		most, err = 1, nil
	}
	if err != nil || most < 1 || most > completionsMost {
		fail(ctx, fasthttp.StatusBadRequest, protocol.StatusInvalid, fmt.Sprintf("max must be 1 to %d", completionsMost))
		return
	}
	owner := completionOwners.Add(1)
	list := []completion{}
	for len(list) < most {
		job, err := s.takeCompletion(owner, wait)
		if errors.Is(err, broker.ErrNotFound) || errors.Is(err, broker.ErrDeadlineSoon) {
			break
		}
		if err != nil {
			s.failed500(ctx, "completions", err)
			return
		}
		list = append(list, completion{fmt.Sprintf("%d-%d", job.ID, job.Lease), job.Body})
		wait = 0
	}
	answer(ctx, map[string][]completion{"completions": list})
}

// completionOwners numbers long polls among the owners of leases, apart from connections and workers.
var completionOwners = func() *atomic.Uint64 {
	n := new(atomic.Uint64)
	n.Store(1<<63 | 1<<61)
	return n
}()

func (s *Server) takeCompletion(owner uint64, wait time.Duration) (broker.Job, error) {
	type result struct {
		job broker.Job
		err error
	}
	got := make(chan result, 1)
	cancel := s.config.Queue.Reserve(broker.Reservation{Owner: owner, Tubes: []string{chain.CompletionTube}, Wait: wait,
		Got: func(j broker.Job, err error) { got <- result{j, err} }})
	select {
	case r := <-got:
		return r.job, r.err
	case <-s.closed:
		cancel()
		if r := <-got; r.err == nil {
			return r.job, nil // it came at the last moment
		}
		return broker.Job{}, broker.ErrNotFound
	}
}

// pollContext bounds a long poll, which also ends when the server does.
func (s *Server) pollContext(wait time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	go func() {
		select {
		case <-s.closed:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// ackCompletion answers POST /completions/ack, a form with receipt: this completion does not come again.
func (s *Server) ackCompletion(ctx *fasthttp.RequestCtx) {
	var id, lease uint64
	if n, err := fmt.Sscanf(string(ctx.PostArgs().Peek("receipt")), "%d-%d", &id, &lease); n != 2 || err != nil || lease == 0 {
		fail(ctx, fasthttp.StatusBadRequest, protocol.StatusInvalid, "receipt must be one of GET /completions")
		return
	}
	settled := make(chan error, 1)
	s.config.Queue.Delete(id, lease, func(err error) { settled <- err })
	switch err := <-settled; {
	case errors.Is(err, broker.ErrNotFound):
		fail(ctx, fasthttp.StatusConflict, protocol.StatusInvalid, "too late: the completion is no longer yours")
	case err != nil:
		s.failed500(ctx, "completions", err)
	default:
		answer(ctx, done{})
	}
}

// waitOf reads the seconds that a long poll may take. It answers when they cannot be.
func waitOf(ctx *fasthttp.RequestCtx) (time.Duration, bool) {
	text := string(ctx.QueryArgs().Peek("wait"))
	if text == "" {
		return 0, true
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(seconds) || seconds < 0 || seconds > longPoll.Seconds() {
		fail(ctx, fasthttp.StatusBadRequest, protocol.StatusInvalid, fmt.Sprintf("wait must be 0 to %g seconds", longPoll.Seconds()))
		return 0, false
	}
	return time.Duration(seconds * float64(time.Second)), true
}

// hasChains answers for a node without chains.
func (s *Server) hasChains(ctx *fasthttp.RequestCtx) bool {
	if s.config.Chains == nil {
		fail(ctx, fasthttp.StatusServiceUnavailable, protocol.StatusBusy, "this node runs no work chains")
		return false
	}
	return true
}

// failChain answers with an error of the engine.
func (s *Server) failChain(ctx *fasthttp.RequestCtx, err error) {
	switch {
	case errors.Is(err, chain.ErrBadWork):
		fail(ctx, fasthttp.StatusBadRequest, protocol.StatusInvalid, err.Error())
	case errors.Is(err, broker.ErrNotFound):
		fail(ctx, fasthttp.StatusNotFound, protocol.StatusInvalid, "there is no chain of this hash")
	case errors.Is(err, chain.ErrForeign), errors.Is(err, chain.ErrEnded), errors.Is(err, chain.ErrRunning), errors.Is(err, chain.ErrUnasked):
		fail(ctx, fasthttp.StatusConflict, protocol.StatusInvalid, err.Error())
	case errors.Is(err, broker.ErrBusy), errors.Is(err, broker.ErrDiskFull), errors.Is(err, broker.ErrClosed):
		ctx.Response.Header.Set("Retry-After", "1")
		fail(ctx, fasthttp.StatusServiceUnavailable, protocol.StatusBusy, err.Error())
	default:
		s.failed500(ctx, "chain", err)
	}
}
