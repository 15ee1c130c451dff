package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"gosper/protocol"
)

func tailCommand() command {
	return command{
		name:    "tail",
		summary: "follow a subject: * stands for one word of it, > for all that follow",
		example: "gosper tail 'chat.>'\ngosper tail --json chat.0.public | jq .data",
		run:     runTail,
	}
}

func runTail(ctx context.Context, args []string, std stdio) int {
	flags := newFlags(tailCommand(), "[flags] SUBJECT", std.out)
	api := newInternalAPI(flags)
	asJSON := flags.Bool("json", false, "print the JSON objects as they come, one a line")
	words, code, done := parseMixed(flags, args, std)
	if done {
		return code
	}
	if len(words) != 1 {
		return usageError(std, "gosper tail", wantWords("one SUBJECT", "tail"))
	}
	stream, err := api.stream(ctx, "/admin/tail?subject="+url.QueryEscape(words[0]))
	if err == nil {
		defer stream.Close()
		err = follow(stream, std.out, *asJSON)
	}
	if err != nil && ctx.Err() == nil { // an interrupt is how a tail ends
		return failure(std, "gosper tail", err)
	}
	return exitOK
}

// tailMessage is one line of the stream.
type tailMessage struct {
	Subject string          `json:"subject"`
	Time    time.Time       `json:"time"`
	Epoch   uint64          `json:"epoch"`
	Offset  uint64          `json:"offset"`
	Data    json.RawMessage `json:"data"`
	Lost    int64           `json:"lost"`
}

// follow prints the stream until it ends, which it does only when the server goes.
func follow(stream io.Reader, out io.Writer, asJSON bool) error {
	in := bufio.NewReader(stream)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 1 {
			if asJSON {
				if _, err := out.Write(line); err != nil {
					return err
				}
			} else if err := printTail(out, line); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return errors.New("the server ended the stream")
		}
		if err != nil {
			return err
		}
	}
}

// printTail prints one message for people: chat as talk, everything else as it is.
func printTail(out io.Writer, line []byte) error {
	var m tailMessage
	if err := json.Unmarshal(line, &m); err != nil {
		return fmt.Errorf("the server sent %.80q: %w", line, err)
	}
	if m.Lost > 0 {
		fmt.Fprintf(out, "… %d messages were left out: this reader was too slow\n", m.Lost)
	}
	text := string(m.Data)
	if push, err := protocol.ParsePush(m.Data); err == nil {
		text = push.Route + " " + string(push.Content)
		if chat, err := protocol.ParseChat(push.Content); err == nil {
			text = fmt.Sprintf("%s: %s", printable(chat.Name), printable(chat.Text))
		}
	}
	at := ""
	if m.Offset != 0 {
		at = fmt.Sprintf("#%d ", m.Offset)
	}
	fmt.Fprintf(out, "%s %s %s%s\n", m.Time.Local().Format(time.TimeOnly), m.Subject, at, text)
	return nil
}
