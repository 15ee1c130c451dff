package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"gosper/edge/client"
)

// How commands read their arguments and reach a server that runs: its client ports through edge/client, its internal
// port by HTTP.

// getenv is how the commands that talk to servers read their environment.
var getenv = os.Getenv

// parseMixed is parseFlags for commands whose flags may stand before and after their words, which it returns.
func parseMixed(flags *flag.FlagSet, args []string, std stdio) (words []string, code int, done bool) {
	for {
		if code, done := parseFlags(flags, args, std); done {
			return nil, code, true
		}
		if flags.NArg() == 0 {
			return words, exitOK, false
		}
		words, args = append(words, flags.Arg(0)), flags.Args()[1:]
	}
}

// wantWords is the error of a command that got too few or too many words.
func wantWords(what, command string) error {
	return fmt.Errorf("want %s; gosper %s --help tells more", what, command)
}

// serverFlags say which door of which server a command uses.
type serverFlags struct {
	url, line, nonce string
}

func (s *serverFlags) add(flags *flag.FlagSet) {
	flags.StringVar(&s.url, "url", "ws://localhost:8080/ws", "websocket of the server; wss:// for TLS")
	flags.StringVar(&s.line, "line", "", "use the line door at this host:port instead; lines://host:port for TLS")
	flags.StringVar(&s.nonce, "nonce", "", "nonce to register with; the line door always needs one")
}

// dial connects to the chosen door.
func (s *serverFlags) dial(ctx context.Context, o client.Options) (*client.Client, error) {
	target, named := s.url, "--url"
	if s.line != "" {
		target, named = s.line, "--line"
		if !strings.Contains(target, "://") {
			target = "line://" + target
		}
	}
	c, err := client.Dial(ctx, target, o)
	if errors.Is(err, syscall.ECONNREFUSED) {
		err = fmt.Errorf("%w; start a node with gosper serve, or name the address of one with %s", err, named)
	}
	return c, err
}

// stream starts a GET whose answer has no end. The caller closes it.
func (a *internalAPI) stream(ctx context.Context, path string) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+friendly(*a.addr)+path, nil)
	if err != nil {
		return nil, err
	}
	if a.token != "" {
		request.Header.Set("Authorization", "Bearer "+a.token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("%w at %s: %w", errNoNode, *a.addr, err)
	}
	if response.StatusCode != http.StatusOK {
		defer response.Body.Close()
		answer, _ := io.ReadAll(io.LimitReader(response.Body, 1024))
		return nil, fmt.Errorf("the node answered %s: %s", response.Status, messageOf(answer))
	}
	return response.Body, nil
}

// playerNonce registers a nonce that lets a player in once, within two minutes.
func (a *internalAPI) playerNonce(ctx context.Context, world, name, family string) (string, error) {
	nonce := rand.Text()
	body := map[string]any{
		"nonce":   nonce,
		"payload": map[string]string{"world": world, "gn": name, "fn": family},
		"ttl":     int(2 * time.Minute / time.Second),
	}
	var out struct {
		Status  int    `json:"status"`
		Message string `json:"message"`
	}
	if err := a.json(ctx, "/register_nonce", body, &out); err != nil {
		return "", err
	}
	if out.Status != 0 {
		return "", errors.New("nonce: " + out.Message)
	}
	return nonce, nil
}

// isTerminal says whether w is a terminal that can move its cursor.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
