package module

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"gosper/protocol"
)

// role is one kind of caller.
type role struct {
	name string
	has  Need
	who  Identity
}

// roles are all kinds of callers a door can bring, with what they have.
var roles = []role{
	{"nobody", 0, Identity{}},
	{"clientCode", NeedClientCode, Identity{}},
	{"login", NeedLogin, Identity{Account: "a", Login: "l", LoggedIn: true}},
	{"login, clientCode", NeedClientCode | NeedLogin, Identity{Account: "a", Login: "l", LoggedIn: true}},
	{"named by a service", NeedWorld, Identity{World: "0", Name: "Ann"}},
	{"named, account of a service", NeedWorld, Identity{Account: "a", World: "0", Name: "Ann"}},
	{"player", NeedWorld | NeedLogin, Identity{Account: "a", Login: "l", LoggedIn: true, World: "0", Name: "Ann"}},
	{"player, clientCode", NeedWorld | NeedLogin | NeedClientCode, Identity{Account: "a", Login: "l", LoggedIn: true, World: "0", Name: "Ann"}},
	{"world without a name", 0, Identity{World: "0"}},
}

// refusals are the messages with which a missing need is refused, in the order of checks.
var refusals = []struct {
	need    Need
	message string
}{
	{NeedClientCode, "clientCode is required."},
	{NeedLogin, messageNotLoggedIn},
	{NeedWorld, faultNoWorld.Message},
	{NeedConnection, faultNoConnection.Message},
}

// Goal: no function runs for a caller who lacks what it needs, and none refuses a caller who has it for that reason.
// Method: every function of the table, by every role, with and without a connection; the reply of a function itself
// never has the message of a missing need.
func TestAccessMatrix(t *testing.T) {
	r := newRig(t, nil)
	for _, f := range r.table.Functions() {
		for _, role := range roles {
			for _, connected := range []bool{false, true} {
				c := &Call{Route: f.Route, Door: "ws", Remote: "192.0.2.1", Content: []byte(`{}`), Who: role.who}
				if connected {
					p := r.connect()
					p.who, c.Session, role.has = role.who, p, role.has|NeedConnection
				}
				if role.has&NeedClientCode != 0 {
					c.ClientCode = r.table.tools.codes.newClient()
				}
				want := ""
				for _, refusal := range refusals {
					if f.Needs&refusal.need != 0 && role.has&refusal.need == 0 {
						want = refusal.message
						break
					}
				}
				reply := r.do(c)
				if want != "" && (reply.Message != want || reply.Status == protocol.StatusOK) {
					t.Errorf("%s as %s, connected %v: %d %q, want %q", f.Route, role.name, connected, reply.Status, reply.Message, want)
				}
				for _, refusal := range refusals {
					if want == "" && reply.Message == refusal.message && f.Needs&refusal.need == 0 && refusal.need != NeedConnection {
						t.Errorf("%s as %s, connected %v: refused with %q for no reason", f.Route, role.name, connected, reply.Message)
					}
				}
			}
		}
	}
}

// Goal: under its gate name a function that needs a login wants a token in the content, whatever the door says about
// the caller, and a wrong token is told from none. Method: every gate name without, with a wrong and with a good token.
func TestGateTokens(t *testing.T) {
	r := newRig(t, nil)
	p := r.play("0", "Ann", "")
	token, err := r.table.tools.sessionToken(p.identity(), p.identity().Login)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.table.Functions() {
		if f.Gate == "" || f.Needs&(NeedLogin|NeedWorld) == 0 {
			continue
		}
		for _, test := range []struct {
			content string
			want    protocol.Status // StatusOK: any that is not about the token
		}{
			{`{}`, protocol.StatusNoToken},
			{`{"token":""}`, protocol.StatusNoToken},
			{`{"token":"x"}`, protocol.StatusInvalidToken},
			{fmt.Sprintf(`{"token":%q,"world":"0"}`, token), protocol.StatusOK},
		} {
			reply := r.gate(f.Gate, test.content)
			if test.want == protocol.StatusOK && reply.Status != protocol.StatusNoToken && reply.Status != protocol.StatusInvalidToken &&
				reply.Status != protocol.StatusProgramming {
				continue
			}
			if reply.Status != test.want {
				t.Errorf("%s %.40s: status %d %s, want %d", f.Gate, test.content, reply.Status, reply.Message, test.want)
			}
		}
	}
}

// Goal: the table documents itself. Method: every function has a line, an example that decodes, and a unique name.
func TestTableIsDescribed(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range allFunctions() {
		if f.Doc == "" || !strings.HasSuffix(f.Doc, ".") || f.In == nil || f.Out == nil || !json.Valid([]byte(f.Example)) {
			t.Errorf("%s is not described: %q %q", f.Route, f.Doc, f.Example)
		}
		if seen[f.Route] || f.Gate != "" && seen[f.Gate] || f.Route[0] != '/' || strings.HasPrefix(f.Gate, "/") {
			t.Errorf("%s or %s is there twice or not well named", f.Route, f.Gate)
		}
		seen[f.Route], seen[f.Gate] = true, true
		if (f.run == nil) == (f.inline == nil) || f.Gate == "" {
			t.Errorf("%s must have either run or inline, and a gate name", f.Route)
		}
	}
}

// Goal: one client sees nothing of another world, family or account. Method: positions of foreign subjects in a resume
// give no subscription.
func TestResumeReadsOnlyOwnSubjects(t *testing.T) {
	r := newRig(t, nil)
	p := r.play("0", "Ann", "foxes")
	token, err := r.table.tools.sessionToken(p.identity(), p.identity().Login)
	if err != nil {
		t.Fatal(err)
	}
	var positions []string
	for _, subject := range []string{"chat.1.public", "chat.0.family.owls", "chat.>", "chat.*.public", ">", "user.other", "presence.1", "presence.0", ""} {
		positions = append(positions, fmt.Sprintf(`{"subject":%q,"epoch":1,"offset":1}`, subject))
	}
	q := r.connect()
	q.must("/session/resume", fmt.Sprintf(`{"token":%q,"positions":[%s]}`, token, strings.Join(positions, ",")), nil)
	want := fmt.Sprint([]string{"chat.0.family.foxes", "chat.0.public", "presence.0", "user." + p.identity().Account})
	if got := fmt.Sprint(q.Subscriptions()); got != want {
		t.Errorf("subscriptions %s, want %s", got, want)
	}
	if _, err := r.table.Authenticate(context.Background(), token); err != nil {
		t.Error("a resume must not end the token:", err)
	}
}
