package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"

	"golang.org/x/term"

	"gosper/edge/client"
	"gosper/protocol"
)

func chatCommand() command {
	return command{
		name:    "chat",
		summary: "talk in a world: lines go to everyone; /family TEXT, /who, /quit",
		example: "gosper chat --world 0 --name ann --family foxes\n" +
			"echo hello | gosper chat --name bot\n" +
			"gosper chat --line localhost:9000 --name ann",
		run: runChat,
	}
}

// chatOptions are the flags of gosper chat.
type chatOptions struct {
	server              serverFlags
	internal            *internalAPI
	world, name, family string
}

func runChat(ctx context.Context, args []string, std stdio) int {
	var o chatOptions
	flags := newFlags(chatCommand(), "[flags]", std.out)
	o.server.add(flags)
	o.internal = newInternalAPI(flags)
	user := getenv("USER")
	if user == "" {
		user = "guest"
	}
	flags.StringVar(&o.world, "world", "0", "world to enter")
	flags.StringVar(&o.name, "name", user, "name to speak as; a nonce of the internal port lets it in, or --nonce")
	flags.StringVar(&o.family, "family", "", "family to belong to")
	words, code, done := parseMixed(flags, args, std)
	if done {
		return code
	}
	if len(words) > 0 {
		return usageError(std, "gosper chat", wantWords("flags only", "chat"))
	}
	if err := chat(ctx, o, std); err != nil {
		return failure(std, "gosper chat", err)
	}
	return exitOK
}

// chat runs one conversation until the input ends, the context ends or the server is gone for good.
func chat(ctx context.Context, o chatOptions, std stdio) error {
	nonce := o.server.nonce
	if nonce == "" {
		var err error
		if nonce, err = o.internal.playerNonce(ctx, o.world, o.name, o.family); err != nil {
			return err
		}
	}
	screen, restore, err := newScreen(std)
	if err != nil {
		return err
	}
	defer restore()
	c, err := o.server.dial(ctx, o.handlers(screen))
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Register(ctx, nonce); err != nil {
		return err
	}
	talk := &talk{client: c, screen: screen}
	lines := make(chan string)
	ended := make(chan error, 1)
	go func() { ended <- screen.read(lines) }()
	for {
		select {
		case line := <-lines:
			if quit, err := talk.line(ctx, line); quit || err != nil {
				return err
			}
		case err := <-ended:
			return err
		case <-c.Done():
			return c.Err()
		case <-ctx.Done():
			return nil
		}
	}
}

// handlers shows what comes in. A line client gets its next nonce where it got the first.
func (o *chatOptions) handlers(s *screen) client.Options {
	h := client.Options{
		OnPush: func(p client.Push) { s.print(pushText(p)) },
		OnGap:  func(client.Gap) { s.print("* something may have been said that did not reach you") },
		OnState: func(state client.State, err error) {
			if state != client.Closed {
				s.print("* " + state.String() + reason(err))
			}
		},
	}
	if o.server.nonce == "" {
		h.Nonce = func(ctx context.Context) (string, error) {
			return o.internal.playerNonce(ctx, o.world, o.name, o.family)
		}
	}
	return h
}

func reason(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}

// pushText is how a push looks: talk as name and text, "" for what this client does not show.
func pushText(p client.Push) string {
	chat, err := protocol.ParseChat(p.Content)
	switch {
	case err != nil:
		return ""
	case p.Route == protocol.RouteChatPublic:
		return printable(chat.Name) + ": " + printable(chat.Text)
	case p.Route == protocol.RouteChatFamily:
		return "[family] " + printable(chat.Name) + ": " + printable(chat.Text)
	}
	return ""
}

// printable takes out what could play tricks with a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, s)
}

// talk turns lines of input into calls.
type talk struct {
	client *client.Client
	screen *screen
}

// line handles one line. A refusal is shown and the talk goes on; other errors end it.
func (t *talk) line(ctx context.Context, line string) (quit bool, err error) {
	command, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	switch {
	case command == "":
		return false, nil
	case command == "/quit":
		return true, nil
	case command == "/who":
		err = t.who(ctx)
	case command == "/family":
		err = t.client.Call(ctx, protocol.RouteChatFamily, map[string]string{"text": strings.TrimSpace(rest)}, nil)
	case strings.HasPrefix(command, "/"):
		t.screen.print("* commands: /who, /family TEXT, /quit")
	default:
		err = t.client.Call(ctx, protocol.RouteChatPublic, map[string]string{"text": strings.TrimSpace(line)}, nil)
	}
	var status *client.StatusError
	if errors.As(err, &status) || errors.Is(err, client.ErrDisconnected) {
		t.screen.print("* not said: " + err.Error())
		return false, nil
	}
	return false, err
}

func (t *talk) who(ctx context.Context) error {
	var out struct {
		Count int      `json:"count"`
		Names []string `json:"names"`
	}
	if err := t.client.Call(ctx, "/chat/presence", nil, &out); err != nil {
		return err
	}
	for i, n := range out.Names {
		out.Names[i] = printable(n)
	}
	t.screen.print(fmt.Sprintf("* %d here: %s", out.Count, strings.Join(out.Names, ", ")))
	return nil
}

// screen reads lines and prints others between them: on a terminal without disturbing what is being typed, else plainly.
type screen struct {
	mu   sync.Mutex
	out  io.Writer
	in   *bufio.Reader  // nil on a terminal
	term *term.Terminal // nil on no terminal
}

func newScreen(std stdio) (s *screen, restore func(), err error) {
	in, ok := std.in.(*os.File)
	if !ok || !isTerminal(in) || !isTerminal(std.out) {
		return &screen{out: std.out, in: bufio.NewReader(std.in)}, func() {}, nil
	}
	old, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return nil, nil, fmt.Errorf("terminal: %w", err)
	}
	both := struct {
		io.Reader
		io.Writer
	}{in, std.out}
	return &screen{term: term.NewTerminal(both, "> ")}, func() { _ = term.Restore(int(in.Fd()), old) }, nil
}

// print shows one line; "" shows nothing.
func (s *screen) print(line string) {
	if line == "" {
		return
	}
	if s.term != nil {
		fmt.Fprintf(s.term, "%s %s\n", time.Now().Format(time.TimeOnly), line)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintln(s.out, line)
}

// read sends the lines of the input until it ends.
func (s *screen) read(lines chan<- string) error {
	for {
		line, err := "", error(nil)
		if s.term != nil {
			line, err = s.term.ReadLine()
		} else {
			line, err = s.in.ReadString('\n')
		}
		if line != "" {
			lines <- line
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
