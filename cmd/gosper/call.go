package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"gosper/edge/client"
	"gosper/protocol"
)

func callCommand() command {
	return command{
		name:    "call",
		summary: "call one function and print the reply envelope; exit code 0 when its status is 0",
		example: "gosper call /user/clientCode\n" +
			"gosper call --nonce $(gosper nonce --name ann) /chat/public '{\"text\":\"hello\"}'\n" +
			"gosper call --line localhost:9000 --nonce $(gosper nonce --name ann) /chat/history '{\"limit\":5}'\n" +
			"GOSPER_SESSION=$TOKEN gosper call /chat/presence",
		run: runCall,
	}
}

// callOptions is what a call needs beside its words. session comes from the environment only: every user of a machine
// can read the arguments of a process.
type callOptions struct {
	server  serverFlags
	session string
}

func runCall(ctx context.Context, args []string, std stdio) int {
	flags := newFlags(callCommand(), "[flags] ROUTE [JSON]", std.out)
	o := callOptions{session: getenv("GOSPER_SESSION")}
	o.server.add(flags)
	timeout := flags.Duration("timeout", 10*time.Second, "how long all of it may take")
	words, code, done := parseMixed(flags, args, std)
	if done {
		return code
	}
	if len(words) < 1 || len(words) > 2 {
		return usageError(std, "gosper call", wantWords("ROUTE and JSON", "call"))
	}
	content := []byte("{}")
	if len(words) == 2 {
		content = []byte(words[1])
	}
	if !isObject(content) {
		return usageError(std, "gosper call", errors.New("the content must be a JSON object"))
	}
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	ok, err := call(ctx, o, words[0], content, std.out)
	switch {
	case err != nil:
		return failure(std, "gosper call", err)
	case !ok:
		return exitError
	}
	return exitOK
}

// call prints the reply and says whether its status is OK.
func call(ctx context.Context, o callOptions, route string, content []byte, out io.Writer) (ok bool, err error) {
	c, err := o.server.dial(ctx, client.Options{NoReconnect: true})
	if err != nil {
		return false, err
	}
	defer c.Close()
	if o.server.nonce != "" {
		if err := c.Register(ctx, o.server.nonce); err != nil {
			return printFailed(out, err)
		}
	}
	if o.session != "" {
		if err := c.Resume(ctx, o.session, nil); err != nil {
			return printFailed(out, err)
		}
	}
	e, err := c.CallRaw(ctx, route, content)
	if err != nil {
		return false, err
	}
	printEnvelope(out, e)
	return e.Status == protocol.StatusOK, nil
}

// printFailed prints the envelope of a login that was refused; any other error is the caller's.
func printFailed(out io.Writer, err error) (bool, error) {
	var status *client.StatusError
	if !errors.As(err, &status) {
		return false, err
	}
	printEnvelope(out, protocol.Envelope{Route: status.Route, Status: status.Status, Message: status.Message, Content: status.Content})
	return false, nil
}

func printEnvelope(out io.Writer, e protocol.Envelope) {
	fmt.Fprintf(out, "%s\n", protocol.AppendReply(nil, e.Route, e.MsgID, e.Status, e.Message, e.Content))
}

// isObject says whether b is one JSON object.
func isObject(b []byte) bool {
	return strings.HasPrefix(strings.TrimSpace(string(b)), "{") && protocol.ValidJSON(b)
}
