package target

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"gosper/broker/chain"
	"gosper/protocol"
)

// client returns an HTTP client that follows no redirect, uses no proxy and keeps no cookies.
func (g *Gateway) client(private bool) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:            g.o.dialer(private).DialContext,
			TLSClientConfig:        g.o.TLS.Clone(),
			TLSHandshakeTimeout:    g.o.DialTimeout,
			MaxIdleConnsPerHost:    maxConcurrency, // a service has no more than the calls that it allows at a time
			IdleConnTimeout:        g.o.Idle,
			MaxResponseHeaderBytes: 64 << 10,
			ForceAttemptHTTP2:      true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// methods are those that a message may use.
var methods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// request makes an HTTP call.
func (g *Gateway) request(ctx context.Context, s *chain.Step, p place) chain.Outcome {
	r, used, err := g.newRequest(ctx, s, p)
	if err != nil {
		return refused("not allowed", err)
	}
	client := g.public
	if p.service.Private {
		client = g.within
	}
	begun := time.Now()
	answer, err := client.Do(r)
	if err != nil {
		return g.unreached(ctx, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, int64(g.o.Answer)+1))
	switch {
	case err != nil:
		return g.unreached(ctx, err)
	case len(body) > g.o.Answer:
		return refused("too large", fmt.Errorf("the answer has more than %d bytes", g.o.Answer))
	}
	body = hide(body, used)
	n := note{Status: answer.StatusCode, Kind: kindOf(answer.Header, used), Millis: time.Since(begun).Milliseconds()}
	out := chain.Outcome{}
	switch code := answer.StatusCode; {
	case code >= 200 && code < 300:
		out.Response.OK = true
	case code == http.StatusSwitchingProtocols:
		return refused("not allowed", errors.New("the service wants another protocol"))
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests, code >= 500:
		out.Response.Error, out.Retry = true, true
		out.After = retryAfter(answer.Header.Get("Retry-After"), g.o.Now())
	case code >= 300 && code < 400:
		n.Reason = "redirect" // where to is the service's choice, and not ours to follow
	}
	if utf8.Valid(body) {
		out.Response.Data = string(body)
	} else {
		n.Encoding, out.Response.Data = "base64", base64.StdEncoding.EncodeToString(body)
	}
	out.Response.Metadata = n.String()
	return out
}

// kindLength is how much of the type of an answer is kept.
const kindLength = 128

// kindOf returns the type of an answer, which is text of the service.
func kindOf(h http.Header, used []string) string {
	kind := hide([]byte(strings.ToValidUTF8(h.Get("Content-Type"), "")), used)
	return strings.ToValidUTF8(string(kind[:min(len(kind), kindLength)]), "")
}

// hide blots out secrets that a service sends back.
func hide(text []byte, secrets []string) []byte {
	for _, secret := range secrets {
		text = bytes.ReplaceAll(text, []byte(secret), []byte("***"))
	}
	return text
}

// newRequest makes the request, and returns the secrets that are in it.
func (g *Gateway) newRequest(ctx context.Context, s *chain.Step, p place) (*http.Request, []string, error) {
	method := strings.ToUpper(s.Request.Method)
	if !slices.Contains(methods, method) {
		return nil, nil, fmt.Errorf("method must be one of %s", strings.Join(methods, ", "))
	}
	r, err := http.NewRequestWithContext(ctx, method, p.origin+p.path, strings.NewReader(s.Request.Payload))
	if err != nil || r.URL.User != nil || r.URL.Scheme+"://"+r.URL.Host != p.origin {
		return nil, nil, errors.New("endpoint is no path") // whatever it is, it must not change the host
	}
	r.Host = hostOf(r.URL)
	if method == http.MethodGet || s.Request.Payload == "" {
		r.Body, r.GetBody, r.ContentLength = nil, nil, 0
	}
	var used []string
	for name, value := range p.service.Headers {
		if value, err = g.fill(value, &used); err != nil {
			return nil, nil, fmt.Errorf("header %s: %w", name, err)
		}
		r.Header.Set(name, value)
	}
	if r.Body != nil && r.Header.Get("Content-Type") == "" {
		r.Header.Set("Content-Type", contentType(s.Request.Payload))
	}
	r.Header.Set("User-Agent", "gosper")
	r.Header.Set("Idempotency-Key", s.Key)
	r.Header.Set("Work-Hash", s.Hash)
	r.Header.Set("Work-Order", strconv.Itoa(s.Order))
	return r, used, nil
}

// hostOf returns the host of a request as its service expects it: without the port that the scheme has anyway.
func hostOf(u *url.URL) string {
	if u.Port() == ports[u.Scheme] {
		return strings.TrimSuffix(u.Host, ":"+u.Port())
	}
	return u.Host
}

func contentType(payload string) string {
	if protocol.ValidJSON([]byte(payload)) {
		return "application/json"
	}
	return "text/plain; charset=utf-8"
}

// unreached is the outcome of a call that failed on its way.
func (g *Gateway) unreached(ctx context.Context, err error) chain.Outcome {
	switch {
	case errors.Is(err, errPrivate):
		refusals.Inc()
		return refused("not allowed", errPrivate)
	case over(ctx):
		return failed("timeout", errors.New("no answer in time"))
	}
	var whole *url.Error // whose text has the path with it
	if errors.As(err, &whole) {
		err = whole.Err
	}
	return failed("unreachable", err)
}

// retryAfter reads the header of that name: seconds or a date. At most an hour is believed.
func retryAfter(text string, now time.Time) time.Duration {
	const most = time.Hour
	if seconds, err := strconv.Atoi(text); err == nil {
		return min(most, max(0, time.Duration(min(seconds, 1<<20))*time.Second))
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(most, max(0, at.Sub(now)))
	}
	return 0
}
