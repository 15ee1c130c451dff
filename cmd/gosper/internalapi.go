package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"gosper/edge/node"
)

// internalAPI talks to the internal port of a node.
type internalAPI struct {
	addr  *string
	token string // from the environment only: every user of a machine can read the arguments of a process
}

// newInternalAPI adds the flag with which a command names the node.
func newInternalAPI(flags *flag.FlagSet) *internalAPI {
	addr := os.Getenv("GOSPER_INTERNAL_ADDR")
	if addr == "" {
		addr = node.DefaultOptions().InternalAddr
	}
	return &internalAPI{addr: flags.String("internal-addr", addr, "internal port of the node"), token: os.Getenv("GOSPER_INTERNAL_TOKEN")}
}

// errNoNode is returned when nothing listens at the internal address.
var errNoNode = errors.New("no node answers")

// apiTimeout bounds one request, apiAnswer the bytes of its answer.
const (
	apiTimeout = 10 * time.Second
	apiAnswer  = 16 << 20
)

// form posts a form to the internal port and decodes the JSON answer into out.
func (a *internalAPI) form(ctx context.Context, path string, form url.Values, out any) error {
	return a.exchange(ctx, http.MethodPost, path, "application/x-www-form-urlencoded", []byte(form.Encode()), out)
}

// json posts a JSON body and decodes the JSON answer into out.
func (a *internalAPI) json(ctx context.Context, path string, body, out any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return a.exchange(ctx, http.MethodPost, path, "application/json", b, out)
}

// get decodes the JSON answer of a GET into out.
func (a *internalAPI) get(ctx context.Context, path string, out any) error {
	return a.exchange(ctx, http.MethodGet, path, "", nil, out)
}

// errInterrupted is returned when the user ends a command that waits for an answer.
var errInterrupted = errors.New("interrupted")

// exchange sends one request and decodes the answer. No connection is an errNoNode, the end of ctx errInterrupted.
func (a *internalAPI) exchange(ctx context.Context, method, path, kind string, body []byte, out any) error {
	within, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(within, method, "http://"+friendly(*a.addr)+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	if a.token != "" {
		request.Header.Set("Authorization", "Bearer "+a.token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil && ctx.Err() != nil {
		return errInterrupted
	}
	if err != nil {
		return fmt.Errorf("%w at %s (%w); start one with gosper serve, or name its port with --internal-addr", errNoNode, *a.addr, err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, apiAnswer))
	if err != nil && ctx.Err() != nil {
		return errInterrupted
	}
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusAccepted {
		return fmt.Errorf("the node answered %s: %s", response.Status, messageOf(answer))
	}
	return json.Unmarshal(answer, out)
}

// messageOf finds the message of an error answer.
func messageOf(answer []byte) string {
	var e struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(answer, &e) == nil && e.Message != "" {
		return e.Message
	}
	return strings.TrimSpace(string(answer[:min(200, len(answer))]))
}

// friendly turns the address of a listener into one that can be dialled from this machine.
func friendly(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}
