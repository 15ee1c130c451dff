package node

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	library "github.com/beanstalkd/go-beanstalk"
	"github.com/emersion/go-smtp"

	"gosper/broker/mailer/mailertest"
	"gosper/protocol"
)

// letters is an SMTP server that keeps what it gets.
type letters struct{ got chan string }

func (l letters) NewSession(*smtp.Conn) (smtp.Session, error) { return l, nil }
func (l letters) Mail(string, *smtp.MailOptions) error        { return nil }
func (l letters) Rcpt(string, *smtp.RcptOptions) error        { return nil }
func (l letters) Reset()                                      {}
func (l letters) Logout() error                               { return nil }
func (l letters) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	l.got <- string(b)
	return err
}

var emailCode = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-[0-9a-f]{6}`)

// Goal: who registers gets an e-mail over SMTP, and its code logs in; when the server comes only after a kill,
// the e-mail still comes. Method: a registration while nobody listens at the SMTP port, SIGKILL, the server, a restart.
func TestRegistrationByEmail(t *testing.T) {
	addr := freeAddrs(t, 1)[0]
	data := t.TempDir()
	env := []string{"GOSPER_SMTP_ADDR=" + addr, "GOSPER_SMTP_TLS=none", "GOSPER_MAIL_FROM=game@example.com"}
	p := launch(t, data, nil, env...)
	client := newStranger(p)
	if e := client.ask("/user/register", `{"username":"alfred","email":"alfred@example.com"}`); e.Status != protocol.StatusOK {
		t.Fatalf("register: %+v", e)
	}
	p.cmd.Process.Signal(syscall.SIGKILL)
	p.cmd.Wait()

	post := letters{make(chan string, 10)}
	server := smtp.NewServer(post)
	server.Addr, server.Domain = addr, "localhost"
	ended := make(chan error, 1)
	go func() { ended <- server.ListenAndServe() }()
	defer func() {
		server.Close()
		<-ended
	}()
	p = launch(t, data, p, env...)
	var letter string
	select {
	case letter = <-post.got:
	case <-time.After(patience):
		t.Fatal("no e-mail")
	}
	code := emailCode.FindString(letter)
	if code == "" || !strings.Contains(letter, "To: <alfred@example.com>") {
		t.Fatal(letter)
	}
	client.wire = p.websocket()
	if e := client.ask("/user/loginWithEmailCode", fmt.Sprintf(`{"emailCode":%q}`, code)); e.Status != protocol.StatusOK || !strings.Contains(string(e.Content), `"enterNewPassword"`) {
		t.Errorf("%+v %s", e, e.Content)
	}
}

// Goal: the same with a server that others wrote, which wants STARTTLS and a password. Method: Exim as a process and a node as
// a process that trusts its certificate; a websocket registers, the code of the mail in Exim's Maildir logs in.
func TestRegistrationThroughExim(t *testing.T) {
	server := mailertest.New(t)
	server.Start(t)
	p := launch(t, t.TempDir(), nil, "GOSPER_SMTP_ADDR="+server.Addr, "GOSPER_SMTP_USER="+server.User, "GOSPER_SMTP_PASSWORD="+server.Password,
		"GOSPER_MAIL_FROM=Pond <game@example.com>", "SSL_CERT_FILE="+server.Certificate.CertFile)
	client := newStranger(p)
	if e := client.ask("/user/register", `{"username":"berta","email":"berta@example.com"}`); e.Status != protocol.StatusOK {
		t.Fatalf("register: %+v", e)
	}
	letter := server.Mail(t)
	code := emailCode.Find(letter)
	if code == nil || !bytes.Contains(letter, []byte("To: <berta@example.com>")) {
		t.Fatalf("%s", letter)
	}
	if e := client.ask("/user/loginWithEmailCode", fmt.Sprintf(`{"emailCode":%q}`, code)); e.Status != protocol.StatusOK || !strings.Contains(string(e.Content), `"enterNewPassword"`) {
		t.Errorf("%+v %s", e, e.Content)
	}
}

// stranger is a websocket client of nobody yet, known by its client code.
type stranger struct {
	*wire
	code string
}

func newStranger(p *process) *stranger {
	w := p.websocket()
	var client struct{ ClientCode string }
	w.call("/user/clientCode", `{}`, &client)
	return &stranger{w, client.ClientCode}
}

func (s *stranger) ask(route, content string) protocol.Envelope {
	s.t.Helper()
	s.send(string(protocol.AppendMaskedFrame(nil, protocol.OpText, [4]byte{}, fmt.Appendf(nil, `{"route":%q,"msgId":7,"clientCode":%q,"content":%s}`, route, s.code, content))))
	return s.envelope()
}

// await reads messages until a push of the route comes.
func (w *wire) await(route string) protocol.Envelope {
	w.t.Helper()
	for {
		op, payload := w.frame()
		if op != protocol.OpText {
			continue // a ping
		}
		e, err := protocol.ParseEnvelope(payload)
		if err != nil {
			w.t.Fatal(err)
		}
		if e.Route == route {
			return e
		}
	}
}

// Goal: every connection of an empire hears at the second it is due that a building is done, though the node was killed
// meanwhile, and the building stands on the grid. Method: two websockets and a line of one account; SIGKILL between
// order and time.
func TestBuildingAcrossKill(t *testing.T) {
	data := t.TempDir()
	kinds := filepath.Join(t.TempDir(), "buildings.json")
	if err := os.WriteFile(kinds, []byte(`{"house":[{"seconds":10,"pattern":"block"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	env := "GOSPER_BUILDINGS_FILE=" + kinds
	p := launch(t, data, nil, env)
	first := p.websocket()
	first.call("/user/loginUnique", `{"unique_id":"device"}`, nil)
	var entered struct{ Session string }
	first.call("/user/enterWorld", `{"world":"0","name":"Ann"}`, &entered)
	var created struct{ Game struct{ ID string } }
	first.call("/game/create", `{"name":"pond","color":"3cfaa0","interval":500,"persistent":true,"grids":[{"width":32,"height":32,"rule":"B3/S23","topology":"torus","mode":"owners","owners":16}]}`, &created)
	game := created.Game
	var made struct {
		ID   string `json:"building_id"`
		Body string `json:"body_id"`
		Ends int64  `json:"ends"`
	}
	first.call("/building/upgrade", fmt.Sprintf(`{"body_id":"%s/0","kind":"house","x":5,"y":6}`, game.ID), &made)
	p.cmd.Process.Signal(syscall.SIGKILL)
	p.cmd.Wait()
	p = launch(t, data, p, env)

	browsers := []*wire{p.websocket(), p.websocket()}
	for _, b := range browsers {
		b.call("/session/resume", fmt.Sprintf(`{"token":%q}`, entered.Session), nil)
	}
	var nonce struct{ Token string }
	browsers[0].call("/chat/token", `{}`, &nonce)
	phone := dial(t, p.line)
	phone.send("00REGISTER" + nonce.Token + "\r\n")
	phone.expect("00000000OK")
	if left := time.Until(time.UnixMilli(made.Ends)); left < 0 {
		t.Logf("the machine is slow: the restart took until %v after the time", -left)
	}
	for _, b := range browsers {
		e := b.await("/building/upgraded")
		if late := time.Since(time.UnixMilli(made.Ends)); late < -10*time.Millisecond || late > time.Second {
			t.Logf("the news came %v after the time", late)
		}
		var news struct {
			Building string `json:"building_id"`
			Body     string `json:"body_id"`
			Empire   string `json:"empire_id"`
		}
		if err := json.Unmarshal(e.Content, &news); err != nil || news.Building != made.ID || news.Body != made.Body || news.Empire == "" {
			t.Errorf("%s %v", e.Content, err)
		}
	}
	if text, err := phone.r.ReadString('\n'); err != nil || !strings.HasPrefix(text, "000000PUSH") || !strings.Contains(text, made.ID) {
		t.Errorf("the phone got %q, %v", text, err)
	}
	var stats struct{ Grids []struct{ Population int } }
	browsers[0].call("/game/stats", fmt.Sprintf(`{"game":%q}`, game.ID), &stats)
	if len(stats.Grids) != 1 || stats.Grids[0].Population != 4 {
		t.Errorf("%+v", stats)
	}
}

// Goal: what the beanstalkd port has acknowledged survives SIGKILL, in order, and what was reserved is ready again. Method: a
// client library, three kills.
func TestJobsAcrossKills(t *testing.T) {
	addr := freeAddrs(t, 1)[0]
	data := t.TempDir()
	var p *process
	put := 0
	for range 3 {
		p = launch(t, data, p, "GOSPER_BEANSTALK_ADDR="+addr)
		c, err := library.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			if _, err := c.Put(fmt.Append(nil, put), 5, 0, time.Hour); err != nil {
				t.Fatal(err)
			}
			put++
		}
		if _, _, err := c.Reserve(time.Second); err != nil {
			t.Fatal(err)
		}
		p.cmd.Process.Signal(syscall.SIGKILL)
		p.cmd.Wait()
		c.Close()
	}
	launch(t, data, p, "GOSPER_BEANSTALK_ADDR="+addr)
	c, err := library.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for want := range put {
		id, body, err := c.Reserve(time.Second)
		if err == nil {
			err = c.Delete(id)
		}
		if err != nil || string(body) != fmt.Sprint(want) {
			t.Fatalf("got %q, want %d, %v", body, want, err)
		}
	}
	if _, _, err := c.Reserve(0); err == nil {
		t.Error("there are more jobs than were put")
	}
}
