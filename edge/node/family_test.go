package node

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"gosper/protocol"
)

// player logs a device in by websocket, enters world 0 and opens a line connection for the same player.
func (p *process) player(name string) (web, phone *wire, account string) {
	p.t.Helper()
	web = p.websocket()
	web.call("/user/loginUnique", fmt.Sprintf(`{"unique_id":"device-%s"}`, name), nil)
	var entered struct{ Account string }
	web.call("/user/enterWorld", fmt.Sprintf(`{"world":"0","name":%q}`, name), &entered)
	var nonce struct{ Token string }
	web.call("/chat/token", `{}`, &nonce)
	phone = dial(p.t, p.line)
	phone.send("00REGISTER" + nonce.Token + "\r\n")
	phone.expect("00000000OK")
	return web, phone, entered.Account
}

// gather reads lines until each text was in one, and returns all lines. Lines of different subjects have no order.
func (w *wire) gather(texts ...string) (lines []string) {
	w.t.Helper()
	for len(texts) > 0 {
		line, err := w.r.ReadString('\n')
		if err != nil {
			w.t.Fatalf("no line with %q: %v, behind %q", texts, err, lines)
		}
		lines = append(lines, strings.TrimSpace(line))
		texts = slices.DeleteFunc(texts, func(text string) bool { return strings.Contains(line, text) })
	}
	return lines
}

// Goal: a phone on a raw line is in its family's talk from the moment its player is a member, and gets no FAMILY line
// from the moment it is removed. Method: one player with a page and a phone is let in, talked to and removed, by real
// bytes.
func TestFamilyLines(t *testing.T) {
	p := launch(t, t.TempDir(), nil)
	ann, annPhone, _ := p.player("Ann")
	ben, benPhone, account := p.player("Ben")
	ann.call("/family/create", `{"name":"foxes"}`, nil)
	annPhone.send("0000FAMILYalone\r\n")
	annPhone.gather(`"change":"created"`, "0000FAMILYAnn:alone")
	if answer := p.post("/register_nonce", fmt.Sprintf(`{"nonce":"letter","payload":{"type":"3","uid_target":%q,"name":"foxes"}}`, account)); answer != `{"status":0}` {
		t.Fatal(answer)
	}
	ben.call("/family/respond", `{"key":"letter"}`, nil)
	annPhone.send("0000FAMILYwelcome\r\n")
	annPhone.gather(`"change":"joined"`, "0000FAMILYAnn:welcome")
	benPhone.gather(`"change":"joined"`, "0000FAMILYAnn:welcome")
	benPhone.send("0000FAMILYthanks\r\n")
	benPhone.gather("0000FAMILYBen:thanks")
	annPhone.gather("0000FAMILYBen:thanks")

	ann.call("/family/remove", `{"gn_target":"Ben"}`, nil)
	annPhone.send("0000FAMILYhe is gone\r\n")
	annPhone.gather(`"change":"removed"`, "0000FAMILYAnn:he is gone")
	benPhone.send("000000PINGx\r\n")
	for _, line := range benPhone.gather(`"change":"removed"`, "000000PONGx") {
		if strings.HasPrefix(line, "0000FAMILY") {
			t.Errorf("removed, and heard %q", line)
		}
	}
	benPhone.send("0000FAMILYhello?\r\n") // a breach of the protocol now
	if line, err := benPhone.r.ReadString('\n'); err == nil {
		t.Errorf("talks to a family it is not in: %q", line)
	}
}

// Goal: a family that was told to end does so at its time though the node was killed meanwhile, and what was answered
// before the kill is there. Method: kill -9 right behind the answer, a config file with a short time.
func TestFamilyEndsAfterKill(t *testing.T) {
	data := t.TempDir()
	settings := filepath.Join(data, "config")
	if err := os.MkdirAll(settings, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(settings, "family.json"), []byte(`{"general":{"disband_hours":0.0003}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	p := launch(t, data, nil)
	ann, _, _ := p.player("Ann")
	ann.call("/family/create", `{"name":"foxes"}`, nil)
	ann.call("/family/notice", `{"msg":"it was nice"}`, nil)
	ann.call("/family/disband", `{}`, nil)
	p.cmd.Process.Signal(syscall.SIGKILL)
	p.cmd.Wait()
	p = launch(t, data, p)
	web := p.websocket()
	web.call("/user/loginUnique", `{"unique_id":"device-Ann"}`, nil)
	var entered struct{ Family string }
	pushes := web.call("/user/enterWorld", `{"world":"0"}`, &entered)
	if entered.Family == "" {
		return // it ended before we came
	}
	ended := func(e protocol.Envelope) bool {
		var c struct{ Change string }
		return e.Route == "/family/changed" && json.Unmarshal(e.Content, &c) == nil && c.Change == "ended"
	}
	for !slices.ContainsFunc(pushes, ended) {
		pushes = append(pushes, web.envelope())
	}
	var player struct{ Family string }
	web.call("/user/player", `{}`, &player)
	if player.Family != "" {
		t.Errorf("still in %q", player.Family)
	}
}
