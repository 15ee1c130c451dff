package module

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"gosper/protocol"
)

var rewrite = flag.Bool("rewrite", false, "write what was answered into the scripts of testdata")

// volatile values of replies, as scripts show them.
var volatile = []struct {
	pattern *regexp.Regexp
	name    string
}{
	{regexp.MustCompile(`eyJ[\w-]+\.[\w-]+\.[\w-]+`), "<jwt>"},
	{regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-[0-9a-f]{6}`), "<code>"},
	{regexp.MustCompile(`\b[0-9a-f]{32}\b`), "<id>"},
	{regexp.MustCompile(`"\d{30,39}"`), `"<nonce>"`},
	{regexp.MustCompile(`"created":\d+`), `"created":<time>`},
	{regexp.MustCompile(`"frame":"[^"]+"`), `"frame":"<base64>"`},
	{regexp.MustCompile(`"epoch":[1-9]\d*`), `"epoch":<epoch>`},
	{regexp.MustCompile(`"joined":\d+`), `"joined":<time>`},
	{regexp.MustCompile(`"(cooling|cd_time|seconds)":[1-9]\d*`), `"$1":<seconds>`},
	{regexp.MustCompile(`\["\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"`), `["<date>"`},
	{regexp.MustCompile(`"time":\d+`), `"time":<time>`},
	{regexp.MustCompile(`"(created|modified|deadline|begun|ended)":"[^"]+"`), `"$1":"<time>"`},
	{regexp.MustCompile(`"time":"[\d-]+ [\d:]+"`), `"time":"<time>"`},
	{regexp.MustCompile(`"since":\d+`), `"since":<time>`},
	{regexp.MustCompile(`"until":\d+`), `"until":<time>`},
	{regexp.MustCompile(`\b[0-9a-f]{13}-[\w-]{22}`), `<key>`},
}

// script is one conversation under way.
type script struct {
	rig      *rig
	peers    map[string]*peer
	name     string // of the client that speaks
	now      *peer
	accounts map[string]string // the client that first spoke for an account
	vars     map[string]string // $name in a command
}

// Goal: whole conversations give exactly the replies clients rely on. Method: scripts in testdata. A command is
// answered behind "----"; "as NAME" changes the client, "pass 5h" lets time go on, "gate NAME JSON" calls by gate name,
// "edit PAYLOAD" is an EDIT line, "hear ROUTE" waits for the first push of a route and shows it,
// any other line is a route and its content. $code is the newest e-mail code, $token, $session, $key (of a mail) and $game the newest of each,
// $NAME the account of a client.
func TestConversations(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(names) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) { runScript(t, name) })
	}
}

func runScript(t *testing.T, name string) {
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	rig := newRig(t, nil)
	rig.openChains(new(shop))
	s := &script{rig: rig, peers: map[string]*peer{}, accounts: map[string]string{}, vars: map[string]string{}}
	var out strings.Builder
	for block := range strings.SplitSeq(strings.TrimSpace(string(b)), "\n\n") {
		command, want, _ := strings.Cut(block, "\n----\n")
		if strings.HasPrefix(command, "#") {
			out.WriteString(block + "\n\n")
			continue
		}
		var got []string
		for line := range strings.Lines(command) {
			if reply := s.do(t, strings.TrimSpace(line)); reply != "" {
				got = append(got, reply)
			}
		}
		answer := strings.Join(got, "\n")
		if answer != want && !*rewrite {
			t.Errorf("%s\n got: %s\nwant: %s", command, answer, want)
		}
		out.WriteString(command)
		if answer != "" {
			out.WriteString("\n----\n" + answer)
		}
		out.WriteString("\n\n")
	}
	if *rewrite {
		if err := os.WriteFile(name, []byte(strings.TrimSpace(out.String())+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// do runs one line and returns the reply with volatile values named.
func (s *script) do(t *testing.T, line string) string {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "as":
		if s.peers[rest] == nil {
			s.peers[rest] = s.rig.connect()
		}
		s.name, s.now = rest, s.peers[rest]
		return ""
	case "pass":
		d, err := time.ParseDuration(rest)
		if err != nil {
			t.Fatal(err)
		}
		s.rig.pass(d)
		return ""
	case "hear":
		return s.plain(s.now.heard(rest))
	case "closed":
		return fmt.Sprint(s.now.closeCode())
	}
	if emails := s.rig.emails(); len(emails) > 0 {
		s.vars["$code"] = emails[len(emails)-1].Code
	}
	for id, name := range s.accounts {
		s.vars["$"+name] = id
	}
	for name, value := range s.vars {
		rest = strings.ReplaceAll(rest, name, value)
	}
	if word == "edit" {
		return s.edit(rest)
	}
	var reply Reply
	if word == "gate" {
		name, content, _ := strings.Cut(rest, " ")
		reply = s.rig.gate(name, content)
	} else {
		reply = s.now.call(word, rest)
	}
	s.remember(reply.Content)
	return s.plain(fmt.Sprintf("%d %s %s", reply.Status, reply.Message, reply.Content))
}

// edit sends the payload of an EDIT line.
func (s *script) edit(payload string) string {
	who := s.now.identity()
	done := make(chan string, 1)
	s.rig.table.EditLine(&who, []byte(payload), func(reply []byte, status protocol.Status) { done <- fmt.Sprintf("%d %s", status, reply) })
	return s.plain(<-done)
}

// plain names what is different each time.
func (s *script) plain(text string) string {
	if s.now != nil && s.now.identity().Account != "" && s.accounts[s.now.identity().Account] == "" {
		s.accounts[s.now.identity().Account] = s.name
	}
	for id, name := range s.accounts {
		text = strings.ReplaceAll(text, id, "<"+name+">")
	}
	if id := s.vars["$game"]; id != "" {
		text = strings.ReplaceAll(text, id, "<game>")
	}
	for _, v := range volatile {
		text = v.pattern.ReplaceAllString(text, v.name)
	}
	return text
}

// remember keeps what later lines may name.
func (s *script) remember(content []byte) {
	var c struct {
		Token, Session string
		Key            string
		Game           struct{ ID string }
		Mail           []struct{ Key string }
	}
	if json.Unmarshal(content, &c) != nil {
		return
	}
	if c.Game.ID != "" {
		s.vars["$game"] = c.Game.ID
	}
	if c.Key != "" {
		s.vars["$key"] = c.Key
	}
	if len(c.Mail) > 0 {
		s.vars["$key"] = c.Mail[len(c.Mail)-1].Key
	}
	if c.Token != "" {
		s.vars["$token"] = c.Token
	}
	if c.Session != "" {
		s.vars["$session"] = c.Session
	}
}
