package main

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"gosper/edge/node"
)

// lineClient is a client of the line door.
type lineClient struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

// dialLine lets a player in by a nonce.
func dialLine(t *testing.T, n *node.Node, name string) *lineClient {
	t.Helper()
	code, nonce, errs := run0("nonce", "--name", name)
	if code != exitOK {
		t.Fatal(errs)
	}
	conn, err := net.Dial("tcp", n.Addr("line").String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute))
	c := &lineClient{t, conn, bufio.NewReader(conn)}
	c.send("00REGISTER" + strings.TrimSpace(nonce))
	return c
}

func (c *lineClient) send(line string) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c, "%s\r\n", line); err != nil {
		c.t.Fatal(err)
	}
}

// want reads the next line, which has to begin and to go on like this.
func (c *lineClient) want(prefix, part string) {
	c.t.Helper()
	line, err := c.in.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, prefix) || !strings.Contains(line, part) {
		c.t.Errorf("got %q, %v, want %s… %s", line, err, prefix, part)
	}
}

// moderate runs one command that has to succeed, and returns what it printed.
func moderate(t *testing.T, words ...string) string {
	t.Helper()
	code, out, errs := run0(append([]string{"moderate"}, words...)...)
	if code != exitOK || errs != "" {
		t.Fatalf("%v: exit %d, %q", words, code, errs)
	}
	return out
}

// Goal: operators mute and ban from a shell, a line client feels it at once and is told, and what was said is found in
// the chat log, also after a new start. Method: the commands as a shell would run them, and bytes on the line door.
func TestModerateAndChatlog(t *testing.T) {
	data := t.TempDir()
	keep := func(o *node.Options) { o.ChatLog, o.Data = true, data }
	n := testNode(t, keep)
	ann := dialLine(t, n, "Ann")
	ann.want("00000000OK", "")
	ann.send("0000PUBLIChello glider")
	ann.want("0000PUBLICAnn:hello glider", "")
	if out := moderate(t, "--name", "Ann", "--for", "1h", "--reason", "flood", "--by", "eve", "mute"); !strings.Contains(out, "flood") || !strings.Contains(out, "no account") {
		t.Errorf("mute printed %q", out)
	}
	ann.send("0000PUBLICagain")
	ann.want("000000PUSH", `"status":1010`)
	ann.send(`000000CALL{"route":"/chat/public","msgId":1,"content":{"text":"again"}}`)
	ann.want("00000REPLY", "you are muted until ")
	if out := moderate(t, "list"); strings.Count(out, "\n") != 1 || !strings.HasPrefix(out, "mute") {
		t.Errorf("list printed %q", out)
	}
	moderate(t, "--name", "Ann", "unmute")
	ann.send("0000PUBLICfree again")
	ann.want("0000PUBLICAnn:free again", "")
	ann.send(`000000CALL{"route":"/chat/report","msgId":2,"content":{"name":"Ann","reason":"me"}}`)
	ann.want("00000REPLY", `"status":0`)
	reports := moderate(t, "reports")
	id, _, _ := strings.Cut(reports, " ")
	if !strings.Contains(reports, "Ann reports Ann  me") {
		t.Errorf("reports printed %q", reports)
	}
	moderate(t, "resolve", id)
	if out := moderate(t, "reports", "--json"); out != "" {
		t.Errorf("a report that was resolved is there: %q", out)
	}
	moderate(t, "--name", "Ann", "ban")
	ann.send(`000000CALL{"route":"/chat/presence","msgId":3}`)
	ann.want("00000REPLY", "you are banned")
	ann.want("00000CLOSE", "4010 banned")
	if late := dialLine(t, n, "Ann"); true {
		if line, err := late.in.ReadString('\n'); err == nil {
			t.Errorf("the banned came in: %q", line)
		}
	}
	if out := moderate(t, "list", "--past", "--json"); strings.Count(out, "\n") != 2 || !strings.Contains(out, `"lifted"`) {
		t.Errorf("list --past printed %q", out)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	testNode(t, keep)
	for _, search := range []struct{ flags, want string }{
		{"", "Ann: hello glider|Ann: free again"}, {"--text GLIDER", "Ann: hello glider"}, {"--world 7", ""}, {"--public --name ann --since 1h --limit 1", "Ann: hello glider"},
		{"--family foxes", ""}, {"--json --limit 1", `"name":"Ann","text":"hello glider"`},
	} {
		code, out, errs := run0(append([]string{"chatlog"}, strings.Fields(search.flags)...)...)
		lines := 0
		for want := range strings.SplitSeq(search.want, "|") {
			if want != "" {
				lines++
			}
			if !strings.Contains(out, want) {
				t.Errorf("chatlog %s: %q, want %s", search.flags, out, want)
			}
		}
		if code != exitOK || errs != "" || strings.Count(out, "\n") != lines {
			t.Errorf("chatlog %s: exit %d, %q, %q", search.flags, code, out, errs)
		}
	}
	for _, args := range [][]string{{"chatlog", "x"}, {"chatlog", "--since", "-1h"}, {"chatlog", "--since", "1h", "--from", "x"}, {"moderate"}, {"moderate", "mute"}, {"moderate", "kick"}} {
		if code, _, errs := run0(args...); code != exitUsage || strings.Count(errs, "\n") != 1 {
			t.Errorf("%v: exit %d, %q", args, code, errs)
		}
	}
	for _, args := range [][]string{{"chatlog", "--from", "x"}, {"chatlog", "--world", "a.b"}, {"chatlog", "--limit", "1", "--family", "a", "--public"},
		{"moderate", "--name", "Ann", "unmute"}, {"moderate", "--uid", "../x", "ban"}, {"moderate", "--uid", "x", "--for", "-1h", "ban"}, {"moderate", "resolve", "x"}} {
		if code, _, errs := run0(args...); code != exitError || strings.Count(errs, "\n") != 1 || strings.Contains(errs, "internal error") {
			t.Errorf("%v: exit %d, %q", args, code, errs)
		}
	}
}

// Goal: a node without a chat log says so. Method: a search on one.
func TestNoChatlog(t *testing.T) {
	testNode(t)
	if code, _, errs := run0("chatlog"); code != exitError || !strings.Contains(errs, "--chat-log") {
		t.Errorf("exit %d, %q", code, errs)
	}
}
