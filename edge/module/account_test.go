package module

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gosper/broker"
	"gosper/protocol"
)

// Goal: accounts, logins and players outlive the process. Method: a second table on the same store.
func TestAccountsOutliveTheTable(t *testing.T) {
	r := newRig(t, nil)
	p := r.complete("alfred", "Secret1")
	var entered struct{ Session string }
	p.must("/user/enterWorld", `{"world":"0","name":"Alf"}`, &entered)
	r.join(p, "foxes")
	r.table.Close()
	again, err := New(Config{Options: r.table.tools.options, Store: r.store, Registry: r.reg, Bus: r.bus,
		Secret: []byte("0123456789abcdef"), Log: r.table.tools.log})
	if err != nil {
		t.Fatal(err)
	}
	r.table = again
	q := r.connect()
	q.must("/session/resume", fmt.Sprintf(`{"token":%q}`, entered.Session), nil)
	if who := q.identity(); who.Name != "Alf" || who.World != "0" || who.Family != "foxes" || !who.LoggedIn {
		t.Errorf("resumed as %+v", who)
	}
	r.connect().must("/user/loginWithPassword", `{"username":"alfred","password":"Secret1"}`, nil)
	if reply := r.connect().call("/session/resume", fmt.Sprintf(`{"token":%q}`, entered.Session)); reply.Status != protocol.StatusExpired {
		t.Errorf("the token of the replaced login: status %d", reply.Status)
	}
}

// Goal: of two registrations of one name at the same time one wins, and no half account stays. Method: race, then
// compare the records.
func TestRegistrationRace(t *testing.T) {
	r := newRig(t, nil)
	var wait sync.WaitGroup
	replies := make([]Reply, 8)
	for i := range replies {
		p := r.connect()
		wait.Go(func() {
			replies[i] = p.call("/user/register", fmt.Sprintf(`{"username":"alfred","email":"a%d@example.com"}`, i))
		})
	}
	wait.Wait()
	won := 0
	for _, reply := range replies {
		switch {
		case reply.Status == protocol.StatusOK:
			won++
		case reply.Message != "Username not available" && reply.Status != protocol.StatusBusy:
			t.Errorf("loser got %d %s", reply.Status, reply.Message)
		}
	}
	if n := r.count("account/") + r.count("username/") + r.count("email/") + r.count(outboxPrefix); won != 1 || n != 4 {
		t.Errorf("%d won, %d records; want 1 and 4", won, n)
	}
}

// count returns how many records have a prefix.
func (r *rig) count(prefix string) int {
	r.t.Helper()
	records, err := r.store.List(context.Background(), prefix, "", 1000)
	if err != nil {
		r.t.Fatal(err)
	}
	return len(records)
}

// Goal: a wrong name costs the same work as a wrong password. Method: compare the fastest of a few tries of each;
// without the hash of the unknown name it would be a thousand times faster, so a busy machine does not matter.
func TestUnknownNamesTakeTheSameTime(t *testing.T) {
	r := newRig(t, nil)
	r.complete("alfred", "Secret1")
	fastest := func(content string) time.Duration {
		best := time.Hour
		for range 3 {
			begin := time.Now()
			if reply := r.connect().call("/user/loginWithPassword", content); reply.Message != "Incorrect credentials" || string(reply.Content) != `{"data":null}` {
				t.Fatalf("%s: %d %s %s", content, reply.Status, reply.Message, reply.Content)
			}
			best = min(best, time.Since(begin))
		}
		return best
	}
	known := fastest(`{"username":"alfred","password":"Wrong1"}`)
	unknown := fastest(`{"username":"nobody","password":"Wrong1"}`)
	long := fastest(`{"username":"alfred","password":"` + strings.Repeat("x", passwordMax+1) + `"}`)
	if unknown < known/20 || long < known/20 {
		t.Errorf("known %v, unknown %v, too long %v: a caller can tell", known, unknown, long)
	}
}

// Goal: a password never comes back, in whatever reply. Method: send one in every member of every function.
func TestPasswordsAreNotEchoed(t *testing.T) {
	r := newRig(t, nil)
	p := r.complete("alfred", "Secret1")
	const secret = "hunter2"
	id := p.identity().Account
	for _, f := range r.table.Functions() {
		content := fmt.Sprintf(`{"password":%q,"username":"alfred","value":"alfred","identifier":"account","email":"x@example.com"}`, secret)
		if reply := p.call(f.Route, content); strings.Contains(reply.Message+string(reply.Content), secret) {
			t.Errorf("%s: %s %s", f.Route, reply.Message, reply.Content)
		}
	}
	record, err := r.store.Get(context.Background(), accountKey(id))
	if err != nil || strings.Contains(string(record.Value), "Secret1") {
		t.Errorf("the record holds the password, or %v", err)
	}
}

// Goal: a forgotten password gives a code that logs in once, whatever the stage, and the old password counts until the
// new one is set. Method: the whole way.
func TestForgottenPassword(t *testing.T) {
	r := newRig(t, nil)
	r.complete("alfred", "Secret1")
	p := r.connect()
	p.must("/user/forgotPassword", `{"usernameOrEmail":"alfred@example.com"}`, nil)
	var code string
	for deadline := time.Now().Add(patience); code == "" && time.Now().Before(deadline); {
		for _, e := range r.emails() {
			if e.Template == EmailForgot {
				code = e.Code
			}
		}
	}
	q := r.connect()
	q.must("/user/loginWithEmailCode", fmt.Sprintf(`{"emailCode":%q}`, code), nil)
	if reply := r.connect().call("/user/loginWithEmailCode", fmt.Sprintf(`{"emailCode":%q}`, code)); reply.Status == protocol.StatusOK {
		t.Error("the code counted twice")
	}
	if _, err := r.table.tools.authenticate(&Call{Context: context.Background()}, "alfred", "Secret1"); err != nil {
		t.Error("the old password:", err)
	}
	q.must("/user/enterNewPassword", `{"password":"Secret2"}`, nil)
	r.connect().must("/user/loginWithPassword", `{"username":"alfred","password":"Secret2"}`, nil)
	if reply := r.connect().call("/user/loginWithPassword", `{"username":"alfred","password":"Secret1"}`); reply.Status == protocol.StatusOK {
		t.Error("the old password counts after the new one was set")
	}
}

// Goal: a new login ends the older connections, unless the option lets several be. Method: both.
func TestSingleLogin(t *testing.T) {
	for _, several := range []bool{false, true} {
		r := newRig(t, func(o *Options) { o.SeveralLogins = several })
		r.complete("alfred", "Secret1").hangUp()
		one, two := r.connect(), r.connect()
		var first, second loggedInOut
		one.must("/user/loginWithPassword", `{"username":"alfred","password":"Secret1"}`, &first)
		tab := r.connect()
		tab.must("/session/resume", fmt.Sprintf(`{"token":%q}`, first.Session), nil)
		two.must("/user/loginWithPassword", `{"username":"alfred","password":"Secret1"}`, &second)
		replaced := one.closeCode() == protocol.CloseReplaced && tab.closeCode() == protocol.CloseReplaced
		if replaced == several || two.closeCode() != 0 {
			t.Errorf("several %v: closed %d, %d, %d", several, one.closeCode(), tab.closeCode(), two.closeCode())
		}
		if _, err := r.table.Authenticate(context.Background(), first.Session); (err == nil) != several {
			t.Errorf("several %v: the older token: %v", several, err)
		}
	}
}

// afterLogin is a store that calls a function after the next record of logins was read, or written.
type afterLogin struct {
	broker.Store
	next, written atomic.Pointer[func()]
}

func (s *afterLogin) Commit(ctx context.Context, ops ...broker.Op) ([]uint64, error) {
	revisions, err := s.Store.Commit(ctx, ops...)
	if strings.HasPrefix(ops[len(ops)-1].Key, loginKey("")) {
		if next := s.written.Swap(nil); next != nil {
			(*next)()
		}
	}
	return revisions, err
}

func (s *afterLogin) Get(ctx context.Context, key string) (broker.Record, error) {
	record, err := s.Store.Get(ctx, key)
	if strings.HasPrefix(key, loginKey("")) {
		if next := s.next.Swap(nil); next != nil {
			(*next)()
		}
	}
	return record, err
}

// Goal: no connection of an older login stays, also when the newer one comes between the look at the login and the connection's
// entry. Method: a login in that moment, for each way in that brings an older one.
func TestLoginMeanwhile(t *testing.T) {
	for _, route := range []string{"/session/register", "/session/resume"} {
		store := &afterLogin{}
		r := newRigOn(t, nil, func(s broker.Store) broker.Store {
			store.Store = s
			return store
		})
		ann := r.play("0", "Ann", "")
		var nonce struct{ Token string }
		ann.must("/chat/token", `{}`, &nonce)
		late, fresh := r.connect(), r.connect()
		content := map[string]string{"/session/register": fmt.Sprintf(`{"nonce":%q}`, nonce.Token), "/session/resume": fmt.Sprintf(`{"token":%q}`, ann.token())}[route]
		login := func() { fresh.must("/user/loginUnique", `{"unique_id":"device-0Ann"}`, nil) }
		store.next.Store(&login)
		if reply := late.call(route, content); reply.Status == protocol.StatusOK || late.closeCode() != protocol.CloseReplaced || fresh.closeCode() != 0 {
			t.Errorf("%s: %d %s, closed with %v and %v", route, reply.Status, reply.Message, late.closeCode(), fresh.closeCode())
		}
	}
}

// Goal: of two logins at once the one that was written last stays, alone. Method: a login while another is written and has not yet
// ended the older ones.
func TestLoginsAtOnce(t *testing.T) {
	store := &afterLogin{}
	r := newRigOn(t, nil, func(s broker.Store) broker.Store {
		store.Store = s
		return store
	})
	late, fresh := r.connect(), r.connect()
	login := func() { fresh.must("/user/loginUnique", `{"unique_id":"device"}`, nil) }
	store.written.Store(&login)
	if reply := late.call("/user/loginUnique", `{"unique_id":"device"}`); reply.Status != protocol.StatusExpired {
		t.Errorf("the older login: %d %s", reply.Status, reply.Message)
	}
	if late.closeCode() != protocol.CloseReplaced || fresh.closeCode() != 0 {
		t.Errorf("closed with %v and %v", late.closeCode(), fresh.closeCode())
	}
}

// Goal: where several logins may be, one more leaves a world token alone, and does not bring back what a new password has ended.
// Method: a login beside a world token; one that has read the record when the password is set.
func TestSharedLogin(t *testing.T) {
	store := &afterLogin{}
	r := newRigOn(t, func(o *Options) { o.SeveralLogins = true }, func(s broker.Store) broker.Store {
		store.Store = s
		return store
	})
	owner := r.complete("alfred", "Secret1")
	const known = `{"username":"alfred","password":"Secret1"}`
	world, err := r.table.IssueToken(t.Context(), owner.identity().Account, true)
	if err != nil {
		t.Fatal(err)
	}
	var thief loggedInOut
	r.connect().must("/user/loginWithPassword", known, &thief)
	if _, err := r.table.Authenticate(t.Context(), world); err != nil {
		t.Error("a world token after another login:", err)
	}
	set := func() { owner.must("/user/enterNewPassword", `{"password":"Secret2"}`, nil) }
	store.next.Store(&set)
	late := r.connect()
	if reply := late.call("/user/loginWithPassword", known); reply.Status != protocol.StatusInvalid || late.identity().LoggedIn {
		t.Errorf("the old password while the new one is set: %d %s", reply.Status, reply.Message)
	}
	if _, err := r.table.Authenticate(t.Context(), thief.Session); err == nil || owner.closeCode() != 0 {
		t.Errorf("a token of before the new password: %v; its owner is closed with %v", err, owner.closeCode())
	}
}

// Goal: a code that went to a wrong address is of no use after the address was put right. Method: a guest registers
// twice, a stranger tries the first code.
func TestCodeOfWrongAddress(t *testing.T) {
	r := newRig(t, nil)
	p := r.connect()
	p.must("/user/loginUnique", `{"unique_id":"x"}`, nil)
	p.must("/user/register", `{"username":"anna","email":"wrong@example.com"}`, nil)
	p.must("/user/register", `{"username":"anna","email":"anna@example.com"}`, nil)
	emails := r.emails()
	if reply := r.connect().call("/user/loginWithEmailCode", fmt.Sprintf(`{"emailCode":%q}`, emails[0].Code)); reply.Status != protocol.StatusMissing {
		t.Errorf("status %d %s", reply.Status, reply.Message)
	}
	p.must("/user/loginWithEmailCode", fmt.Sprintf(`{"emailCode":%q}`, emails[1].Code), nil)
}

// Goal: a new password ends every other login, also where several may be. Method: two logins, one sets a password.
func TestNewPasswordEndsOtherLogins(t *testing.T) {
	r := newRig(t, func(o *Options) { o.SeveralLogins = true })
	r.complete("alfred", "Secret1").hangUp()
	one, two := r.connect(), r.connect()
	var thief loggedInOut
	one.must("/user/loginWithPassword", `{"username":"alfred","password":"Secret1"}`, &thief)
	two.must("/user/loginWithPassword", `{"username":"alfred","password":"Secret1"}`, nil)
	two.must("/user/enterNewPassword", `{"password":"Secret2"}`, nil)
	if _, err := r.table.Authenticate(context.Background(), thief.Session); err == nil || one.closeCode() != protocol.CloseReplaced || two.closeCode() != 0 {
		t.Errorf("token %v, closed %d and %d", err, one.closeCode(), two.closeCode())
	}
}

// Goal: connections of an account have a bound, and gone ones free their place. Method: the bound, one more, one gone.
func TestConnectionsOfAnAccount(t *testing.T) {
	r := newRig(t, nil)
	p := r.play("0", "Ann", "")
	token, err := r.table.tools.sessionToken(p.identity(), p.identity().Login)
	if err != nil {
		t.Fatal(err)
	}
	resume := fmt.Sprintf(`{"token":%q}`, token)
	var last *peer
	for range accountConnections - 1 {
		last = r.connect()
		last.must("/session/resume", resume, nil)
	}
	if reply := r.connect().call("/session/resume", resume); reply.Status != protocol.StatusRefused {
		t.Errorf("one too many: status %d", reply.Status)
	}
	last.hangUp()
	r.connect().must("/session/resume", resume, nil)
}

// Goal: logout ends the login of a connection, and everywhere when asked. Method: tokens and subscriptions afterwards.
func TestLogout(t *testing.T) {
	r := newRig(t, nil)
	p := r.play("0", "Ann", "")
	token, err := r.table.tools.sessionToken(p.identity(), p.identity().Login)
	if err != nil {
		t.Fatal(err)
	}
	tab := r.connect()
	tab.must("/session/resume", fmt.Sprintf(`{"token":%q}`, token), nil)
	p.must("/user/logout", `{}`, nil)
	if len(p.Subscriptions()) != 0 || p.identity().LoggedIn || tab.closeCode() != 0 {
		t.Errorf("after logout: %v, %+v, other closed %d", p.Subscriptions(), p.identity(), tab.closeCode())
	}
	tab.must("/user/logout", `{"everywhere":true}`, nil)
	if _, err := r.table.Authenticate(context.Background(), token); !errors.Is(err, ErrToken) {
		t.Error("after logout everywhere:", err)
	}
}

// Goal: the outbox has a bound, keeps its order and counts what leaves. Method: fill it, send one, fill again.
func TestOutboxBound(t *testing.T) {
	r := newRig(t, func(o *Options) { o.MailOutbox = 2 })
	register := func(name string) protocol.Status {
		return r.connect().call("/user/register", fmt.Sprintf(`{"username":%q,"email":"%s@example.com"}`, name, name)).Status
	}
	if a, b, c := register("anna"), register("bert"), register("cleo"); a != 0 || b != 0 || c != protocol.StatusBusy {
		t.Fatalf("statuses %d %d %d", a, b, c)
	}
	emails := r.emails()
	if len(emails) != 2 || emails[0].Username != "anna" || emails[1].Username != "bert" {
		t.Fatalf("outbox %+v", emails)
	}
	if err := r.table.Outbox().Delete(context.Background(), emails[0].ID); err != nil {
		t.Fatal(err)
	}
	if err := r.table.Outbox().Delete(context.Background(), emails[0].ID); !errors.Is(err, broker.ErrNotFound) {
		t.Error("deleted twice:", err)
	}
	if s := register("cleo"); s != 0 {
		t.Errorf("after one was sent: status %d", s)
	}
}
