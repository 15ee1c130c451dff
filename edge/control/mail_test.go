package control

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"gosper/broker/memory"
	"gosper/broker/post"
)

// mailRig is a server with a post office.
func mailRig(t *testing.T, limit int) *rig {
	t.Helper()
	store := memory.NewStore()
	office, err := post.Open(post.Options{Root: t.TempDir(), Store: store, BoxLimit: limit})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := office.Close(); err != nil {
			t.Error(err)
		}
		store.Close()
	})
	return newRig(t, func(c *Config) { c.Post = office })
}

func (r *rig) json(path, body string) string {
	r.t.Helper()
	_, text := r.request("internal", "POST", path, body, "Content-Type", "application/json")
	return text
}

// sendMail sends a mail and returns its key.
func (r *rig) sendMail(mail string) string {
	r.t.Helper()
	var out sendOut
	text := r.json("/send", `{"world":"0","uid":"7","mail":`+mail+`}`)
	if err := json.Unmarshal([]byte(text), &out); err != nil || out.Status != 0 || out.UID != "7" || out.Key == "" {
		r.t.Fatalf("%s, %v", text, err)
	}
	return out.Key
}

// Goal: the endpoints answer as services of the older system know them. Method: exact bodies, but for the key.
func TestMailEndpoints(t *testing.T) {
	r := mailRig(t, 2)
	empty := `{"mail":[],"count":{"cur":0,"max":2}}`
	if got := r.form("/new", "world", "0", "uid", "7"); got != empty {
		t.Error("empty:", got)
	}
	key := r.sendMail(`{"type":0,"from":"Ann","subj":"héllo","body":"a\r\nb","time":"ignored"}`)
	if body := r.json("/send", `{"world":0,"uid":7,"mail":{"type":"1","from":"","subj":"GIFT_1","body":"","items":"3:17:1","key":"g-1"}}`); body != `{"status":0,"uid":"7","key":"g-1"}` {
		t.Error("numbers, and a key of its own:", body)
	}
	if body := r.json("/send", `{"world":"0","uid":"7","mail":{"type":"0","from":"","subj":"","body":""}}`); body != `{"status":1,"uid":"7","key":"","message":"mailbox is full"}` {
		t.Error("full:", body)
	}
	got := r.form("/new", "world", "0", "uid", "7")
	var out mailsOut
	if err := json.Unmarshal([]byte(got), &out); err != nil || len(out.Mail) != 2 || out.Count.Cur != 2 {
		t.Fatal(got, err)
	}
	for i, m := range out.Mail {
		if m.Key == key {
			want := fmt.Sprintf(`{"read":0,"body":"a\r\nb","time":%q,"type":"0","from":"Ann","subj":"héllo","key":%q}`, m.Time, key)
			if !strings.Contains(got, want) || len(m.Time) != len("2006-01-02 15:04:05") {
				t.Errorf("mail %d: want %s in %s", i, want, got)
			}
		}
	}
	if got := r.form("/new", "world", "0", "uid", "7"); got != `{"mail":[],"count":{"cur":2,"max":2}}` {
		t.Error("not new any more:", got)
	}
	if got := r.form("/mark_read", "world", "0", "uid", "7", "key", key); got != `{"key":"`+key+`"}` {
		t.Error("read:", got)
	}
	if got := r.form("/mark_read", "world", "0", "uid", "7", "key", "../x"); got != `{"key":""}` {
		t.Error("read nothing:", got)
	}
	if got := r.form("/all", "world", "0", "uid", "7"); strings.Count(got, `"read":1`) != 1 || strings.Count(got, `"read":0`) != 1 || !strings.Contains(got, `"items":"3:17:1"`) {
		t.Error("all:", got)
	}
	if got := r.form("/delete_read", "world", "0", "uid", "7"); got != `{"keys":["`+key+`"]}` {
		t.Error("delete read:", got)
	}
	for _, want := range []string{`{"keys":["g-1"]}`, `{"keys":[]}`} {
		if got := r.form("/delete", "world", "0", "uid", "7", "key", "g-1"); got != want {
			t.Error("delete:", got)
		}
	}
	if got := r.json("/redeem_nonce", `{"keys":["g-1"]}`); got != `{"g-1":{"status":1}}` {
		t.Error("nonce of a deleted mail:", got)
	}
	if got := r.form("/admin/mail/reindex", "world", "0", "uid", "7"); got != `{"status":0}` {
		t.Error("reindex:", got)
	}
	if _, got := r.request("internal", "GET", "/admin/mail/box?world=0&uid=7", ""); got != empty {
		t.Error("peek:", got)
	}
}

// Goal: bad mails are status -1, bad requests 400, and neither leaves anything. Method: table.
func TestBadMail(t *testing.T) {
	r := mailRig(t, 0)
	for _, mail := range []string{
		`null`, `{}`, `{"type":"0","from":"","subj":""}`, `{"type":"4","from":"","subj":"","body":""}`, `{"type":"00","from":"","subj":"","body":""}`,
		`{"type":"1","from":"","subj":"","body":""}`, `{"type":"2","from":"","subj":"","body":""}`, `{"type":"3","from":"","subj":"","body":"","name":"F"}`,
		`{"type":"0","from":"a\u0000","subj":"","body":""}`, `{"type":"0","from":"","subj":"","body":"","key":"../../x"}`,
		`{"type":"0","from":"","subj":"","body":"` + strings.Repeat("x", post.DefaultBodyLimit+1) + `"}`,
	} {
		if got := r.json("/send", `{"world":"0","uid":"7","mail":`+mail+`}`); !strings.HasPrefix(got, `{"status":-1,"uid":"7","key":"","message":"`) {
			t.Errorf("%.60s: %s", mail, got)
		}
	}
	good := `{"type":"0","from":"","subj":"","body":""}`
	for _, uid := range []string{"", "..", "../7", "a/b", "a.b"} {
		if got := r.json("/send", `{"world":"0","uid":"`+uid+`","mail":`+good+`}`); !strings.HasPrefix(got, `{"status":-1,`) {
			t.Errorf("uid %q: %s", uid, got)
		}
		if got := r.form("/all", "world", "0", "uid", uid); !strings.Contains(got, `"status":1001`) {
			t.Errorf("uid %q: %s", uid, got)
		}
	}
	for _, body := range []string{``, `[]`, `{"world":"0"`, `{"mail":"x"}`} {
		if response, got := r.request("internal", "POST", "/send", body); response.StatusCode != 400 {
			t.Errorf("%s: %d %s", body, response.StatusCode, got)
		}
	}
	if got := r.form("/all", "world", "0", "uid", "7"); got != `{"mail":[],"count":{"cur":0,"max":50}}` {
		t.Error(got)
	}
	none := newRig(t, nil)
	if response, got := none.request("internal", "POST", "/send", `{}`); response.StatusCode != 503 || !strings.Contains(got, "no mailboxes") {
		t.Error(response.StatusCode, got)
	}
}

// Goal: what a mail offers is accepted once, by whoever comes first of 100 at the same instant. Method: a gift and requests,
// redeemed as nonces.
func TestMailNonceOnce(t *testing.T) {
	r := mailRig(t, 0)
	for _, mail := range []string{
		`{"type":"1","from":"system","subj":"GIFT_1","body":"","items":"3:17:1"}`, `{"type":"2","from":"a","subj":"","body":"","uid_sender":"9"}`,
		`{"type":"3","from":"a","subj":"FAMILY_REQUEST","body":"","uid_target":"9","name":"Foxes"}`,
	} {
		key := r.sendMail(mail)
		var wait sync.WaitGroup
		var won atomic.Int64
		for range 100 {
			wait.Go(func() {
				if got := r.json("/redeem_nonce", `{"keys":["`+key+`"]}`); strings.Contains(got, `"status":0`) {
					won.Add(1)
					if !strings.Contains(got, `"type":"`+mail[len(`{"type":"`):len(`{"type":"`)+1]+`"`) {
						t.Error(got)
					}
				}
			})
		}
		wait.Wait()
		if won.Load() != 1 {
			t.Errorf("%s was redeemed %d times", mail, won.Load())
		}
	}
	key := r.sendMail(`{"type":"0","from":"","subj":"","body":""}`)
	if got := r.json("/redeem_nonce", `{"keys":["`+key+`"]}`); !strings.Contains(got, `"status":1`) {
		t.Error("a simple mail offers nothing:", got)
	}
}
