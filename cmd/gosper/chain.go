package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"gosper/broker/chain"
)

func chainCommand() command {
	return command{
		name:    "chain",
		summary: "submit work chains and follow them",
		example: "gosper chain submit work.json\ngosper chain submit --seal items.json      # {\"work_message\":{\"items\":[…]}}: sets the hash\n" +
			"gosper chain watch 9e107d9d372bb6826bd81d3542a419d6\ngosper chain status 9e107d9d372bb6826bd81d3542a419d6\ngosper chain cancel 9e107d9d372bb6826bd81d3542a419d6",
		run: runChain,
	}
}

// chainTool is one run of gosper chain.
type chainTool struct {
	api    *internalAPI
	asJSON bool
	seal   bool
	io     stdio
}

func runChain(ctx context.Context, args []string, io stdio) int {
	const usage = "[flags] submit FILE | status HASH | watch HASH | cancel HASH"
	flags := newFlags(chainCommand(), usage, io.out)
	c := chainTool{api: newInternalAPI(flags), io: io}
	flags.BoolVar(&c.asJSON, "json", false, "print statuses as JSON, one a line")
	flags.BoolVar(&c.seal, "seal", false, "submit: make the hash of the items, whatever the file says; - reads from standard input")
	words, code, done := parseMixed(flags, args, io)
	if done {
		return code
	}
	if len(words) != 2 {
		return usageError(io, "gosper chain", errors.New("say "+usage[len("[flags] "):]))
	}
	work := map[string]func(context.Context, string) error{"submit": c.submit, "status": c.status, "watch": c.watch, "cancel": c.cancel}[words[0]]
	if work == nil {
		return usageError(io, "gosper chain", fmt.Errorf("unknown word %q: say submit, status, watch or cancel", words[0]))
	}
	if err := work(ctx, words[1]); err != nil {
		return failure(io, "gosper chain", err)
	}
	return exitOK
}

// submit sends a work message and prints its hash.
func (c *chainTool) submit(ctx context.Context, name string) error {
	message, err := readMessage(name)
	if err != nil {
		return err
	}
	if c.seal {
		if message, err = sealed(message); err != nil {
			return err
		}
	}
	var s chain.Status
	if err := c.api.exchange(ctx, http.MethodPost, "/work", "application/json", message, &s); err != nil {
		return err
	}
	return c.print(&s, false)
}

// readMessage reads a file, or standard input.
func readMessage(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(io.LimitReader(os.Stdin, int64(chain.Limits{}.WithDefaults().Message)+1))
	}
	return os.ReadFile(name)
}

// sealed sets the hash of a JSON work message.
func sealed(message []byte) ([]byte, error) {
	var m struct {
		Message map[string]json.RawMessage `json:"work_message"`
	}
	if err := json.Unmarshal(message, &m); err != nil || m.Message["items"] == nil {
		return nil, errors.New(`the file is not {"work_message":{"items":[…]}}`)
	}
	hash, err := chain.HashOf(m.Message["items"])
	if err != nil {
		return nil, err
	}
	m.Message["hash"] = json.RawMessage(`"` + hash + `"`)
	return json.Marshal(m)
}

func (c *chainTool) status(ctx context.Context, hash string) error {
	s, err := c.get(ctx, hash, 0)
	if err != nil {
		return err
	}
	return c.print(s, true)
}

func (c *chainTool) get(ctx context.Context, hash string, wait time.Duration) (*chain.Status, error) {
	var s chain.Status
	err := c.api.get(ctx, fmt.Sprintf("/work/%s?wait=%g", url.PathEscape(hash), wait.Seconds()), &s)
	return &s, err
}

// watchWait is how long one look at a chain may take: shorter than what a request may take.
const watchWait = time.Second

// watch prints the chain each time it has moved, until it has ended. A chain that has not been completed is a failure.
func (c *chainTool) watch(ctx context.Context, hash string) error {
	for last := ""; ; {
		s, err := c.get(ctx, hash, watchWait)
		if errors.Is(err, errInterrupted) {
			return fmt.Errorf("%w; the chain goes on", err)
		}
		if err != nil {
			return err
		}
		if now := moves(s); now != last {
			last = now
			if err := c.print(s, true); err != nil {
				return err
			}
		}
		switch {
		case s.State == chain.Completed:
			return nil
		case s.Over():
			return fmt.Errorf("the chain is %s: %s", s.State, s.Reason)
		}
	}
}

// moves is a text that changes whenever a chain moves.
func moves(s *chain.Status) string {
	var b strings.Builder
	b.WriteString(string(s.State))
	for i := range s.Items {
		fmt.Fprintf(&b, " %s%d", s.Items[i].State, s.Items[i].Attempts)
	}
	return b.String()
}

func (c *chainTool) cancel(ctx context.Context, hash string) error {
	var s chain.Status
	if err := c.api.exchange(ctx, http.MethodPost, "/work/"+url.PathEscape(hash)+"/cancel", "", nil, &s); err != nil {
		return err
	}
	return c.print(&s, true)
}

// print writes a status: a line for the chain, and with items one for each.
func (c *chainTool) print(s *chain.Status, items bool) error {
	if c.asJSON {
		return json.NewEncoder(c.io.out).Encode(s)
	}
	fmt.Fprintf(c.io.out, "%s  %s", s.Hash, s.State)
	if s.Reason != "" {
		fmt.Fprintf(c.io.out, "  (%s)", s.Reason)
	}
	fmt.Fprintln(c.io.out)
	for i := range s.Items {
		it := &s.Items[i]
		if !items {
			break
		}
		fmt.Fprintf(c.io.out, "  %-6d %-18s %s", it.Order, it.State, it.Target)
		if it.Attempts > 1 {
			fmt.Fprintf(c.io.out, "  attempt %d", it.Attempts)
		}
		if it.Response != nil {
			fmt.Fprintf(c.io.out, "  %s", it.Response.Metadata)
		}
		fmt.Fprintln(c.io.out)
	}
	return nil
}
