package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"gosper/broker"
	"gosper/edge/module"
	"gosper/protocol"
)

// serviceTime bounds the work of one internal request.
const serviceTime = 10 * time.Second

func serviceContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), serviceTime)
}

// statusOut is an answer of the auth endpoints, whose statuses are 0 for yes and 1 for no.
type statusOut struct {
	Status  int    `json:"status"`
	Message string `json:"message,omitempty"`
	Data    any    `json:"data,omitempty"`
}

// issueToken answers POST /issue_token with form uid, and prev_token or is_session=0|1: {"token": …}. Every new login
// token replaces the one before, so prev_token needs no look.
func (s *Server) issueToken(ctx *fasthttp.RequestCtx) {
	work, cancel := serviceContext()
	defer cancel()
	args := ctx.PostArgs()
	token, err := s.config.Table.IssueToken(work, string(args.Peek("uid")), string(args.Peek("is_session")) == "1")
	switch {
	case errors.Is(err, broker.ErrBadName):
		fail(ctx, fasthttp.StatusBadRequest, protocol.StatusInvalid, "uid must be 1 to 32 of A-Z a-z 0-9 _ -")
	case err != nil:
		s.failed500(ctx, "issue_token", err)
	default:
		answer(ctx, map[string]string{"token": token})
	}
}

// validateToken answers POST /validate_token with form token: {"status":0,"data":{"uid":…}} or {"status":1}.
func (s *Server) validateToken(ctx *fasthttp.RequestCtx) {
	work, cancel := serviceContext()
	defer cancel()
	who, err := s.config.Table.Authenticate(work, string(ctx.PostArgs().Peek("token")))
	switch {
	case errors.Is(err, module.ErrToken):
		answer(ctx, statusOut{Status: 1})
	case err != nil:
		s.failed500(ctx, "validate_token", err)
	default:
		answer(ctx, statusOut{Data: map[string]string{"uid": who.Account}})
	}
}

// registerNonce answers POST /register_nonce with JSON {"nonce", "payload":{…}, "ttl":seconds}: {"status":0}, or 1 when
// the nonce is open already. ttl may be missing.
func (s *Server) registerNonce(ctx *fasthttp.RequestCtx) {
	var in struct {
		Nonce   string         `json:"nonce"`
		Payload map[string]any `json:"payload"`
		TTL     int            `json:"ttl"`
	}
	if !decodeBody(ctx, &in) {
		return
	}
	payload := make(map[string]string, len(in.Payload))
	for key, value := range in.Payload {
		payload[key] = textOf(value)
	}
	work, cancel := serviceContext()
	defer cancel()
	err := s.config.Table.RegisterNonce(work, in.Nonce, payload, time.Duration(in.TTL)*time.Second)
	var fault *module.Fault
	switch {
	case err == nil:
		answer(ctx, statusOut{})
	case errors.Is(err, broker.ErrExists):
		answer(ctx, statusOut{Status: 1, Message: "nonce exists already"})
	case errors.Is(err, broker.ErrBadName):
		fail(ctx, fasthttp.StatusBadRequest, protocol.StatusInvalid, "nonce must have 1 to 128 bytes")
	case errors.As(err, &fault):
		fail(ctx, fasthttp.StatusBadRequest, fault.Status, fault.Message)
	default:
		s.failed500(ctx, "register_nonce", err)
	}
}

// redeemMax is the most keys of one /redeem_nonce.
const redeemMax = 128

// redeemNonce answers POST /redeem_nonce with JSON {"keys":[…]}: for each key {"status":0, …payload} or {"status":1}.
func (s *Server) redeemNonce(ctx *fasthttp.RequestCtx) {
	var in struct {
		Keys []string `json:"keys"`
	}
	if !decodeBody(ctx, &in) {
		return
	}
	if len(in.Keys) > redeemMax {
		fail(ctx, fasthttp.StatusBadRequest, protocol.StatusTooMuch, "too many keys")
		return
	}
	work, cancel := serviceContext()
	defer cancel()
	out := make(map[string]map[string]any, len(in.Keys))
	for _, key := range in.Keys {
		if out[key] != nil {
			continue // named twice: redeemed once
		}
		payload, err := s.config.Table.RedeemNonce(work, key)
		if err != nil && !errors.Is(err, broker.ErrNotFound) {
			s.log.Error("nonce was not redeemed", "error", err)
		}
		out[key] = redeemed(payload, err)
	}
	answer(ctx, out)
}

// redeemed is the answer for one key. Its status is ours whatever the payload says.
func redeemed(payload map[string]string, err error) map[string]any {
	if err != nil {
		return map[string]any{"status": 1}
	}
	out := make(map[string]any, len(payload)+1)
	for key, value := range payload {
		out[key] = value
	}
	out["status"] = 0
	return out
}

// decodeBody reads a JSON body, or answers that it is none. Numbers keep their spelling.
func decodeBody(ctx *fasthttp.RequestCtx, into any) bool {
	d := json.NewDecoder(bytes.NewReader(ctx.PostBody()))
	d.UseNumber()
	if err := d.Decode(into); err != nil || d.More() {
		fail(ctx, fasthttp.StatusBadRequest, protocol.StatusUnknown, "body must be one JSON object")
		return false
	}
	return true
}

// textOf returns a payload value as the text in which it comes back.
func textOf(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case nil:
		return ""
	}
	b, err := json.Marshal(value)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// failed500 logs an error and answers without it.
func (s *Server) failed500(ctx *fasthttp.RequestCtx, what string, err error) {
	s.log.Error(what+" failed", "error", err)
	fail(ctx, fasthttp.StatusInternalServerError, protocol.StatusInternal, "internal error, see the log")
}
