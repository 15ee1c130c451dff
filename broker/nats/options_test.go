package nats

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"gosper/broker"
)

// Goal: a wrong option is named, and no secret of the URL is shown. Method: a table.
func TestOptions(t *testing.T) {
	for _, c := range []struct{ url, want string }{
		{"nats://localhost:4222", ""},
		{"localhost:4222", ""},
		{"tls://u:secret@a:1,tls://b:2?replicas=3&creds=/x", ""},
		{"", "must be nats://"},
		{"redis://a:1", "not redis://"},
		{"nats://u:secret@a:1?replicas=x", "replicas must be a number"},
		{"nats://u:secret@a:1?replicas=6", "1 to 5"},
		{"nats://u:secret@a:1?color=red", `unknown parameter "color"`},
		{"nats://u:secret@a:1?x=%zz", "cannot be read"},
		{"nats://u:secret@a:1/path", "must be nats://"},
		{"nats://u:secret@%zz", "must be nats://"},
	} {
		err := CheckURL(c.url)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.url, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error shows the password", c.url)
		}
	}
	o, err := Options{URL: "nats://a?replicas=3&creds=f"}.withDefaults()
	if err != nil || o.URL != "nats://a" || o.Replicas != 3 || o.Creds != "f" {
		t.Errorf("%+v, %v", o, err)
	}
}

// Goal: a password that comes by itself is used, and not without a user. Method: a server with a user, and Options of it.
func TestPassword(t *testing.T) {
	s := boot(t, &server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true,
		Username: "an n", Password: "p:w@"})
	addr := s.Addr().String()
	with(t, Options{URL: "nats://an%20n@" + addr, Password: "p:w@"})
	with(t, Options{URL: "an%20n:p%3Aw%40@" + addr})
	for _, o := range []Options{{URL: "nats://" + addr, Password: "p:w@"}, {URL: "nats://an%20n@" + addr, Password: "wrong"}} {
		if _, err := Open(context.Background(), o); err == nil || strings.Contains(err.Error(), "p:w@") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// Goal: the settings that are shipped for servers are what the promise needs. Method: the server reads them, with the
// environment they name, and runs with the ports changed; a bus opens there.
func TestShippedSettings(t *testing.T) {
	for name, value := range map[string]string{"NATS_NAME": "n1", "NATS_STORE": t.TempDir(), "NATS_ROUTES": "[nats://127.0.0.1:1]",
		"NATS_USER": "gosper", "NATS_PASSWORD": "secret"} {
		t.Setenv(name, value)
	}
	o, err := server.ProcessConfigFile("../../deploy/nats/nats-server.conf")
	if err != nil {
		t.Fatal(err)
	}
	if !o.JetStream || !o.SyncAlways || o.Cluster.Name != "gosper" || len(o.Routes) != 1 || o.Username != "gosper" {
		t.Errorf("JetStream %v, sync always %v, cluster %q, routes %v, user %q", o.JetStream, o.SyncAlways, o.Cluster.Name, o.Routes, o.Username)
	}
	o.Host, o.Port, o.HTTPPort, o.NoSigs, o.NoLog = "127.0.0.1", -1, 0, true, true
	o.Cluster, o.Routes = server.ClusterOpts{}, nil // the others are not there
	with(t, Options{URL: "nats://gosper@" + boot(t, o).Addr().String(), Password: "secret"})
}

// Goal: Open says what is missing. Method: no server; a server without JetStream; more replicas than servers.
func TestOpenFails(t *testing.T) {
	t.Parallel()
	plain := bootPlain(t)
	js := start(t, t.TempDir(), -1)
	for _, c := range []struct{ url, want string }{
		{"nats://127.0.0.1:1", "no servers"},
		{plain.ClientURL(), "is JetStream on"},
		{js.ClientURL() + "?replicas=3", "replicas"},
	} {
		opensNot(t, Options{URL: c.url, StartWait: time.Second}, c.want)
	}
}

// Goal: Open waits for servers that are about to start. Method: a proxy that drops the first connection.
func TestOpenWaits(t *testing.T) {
	t.Parallel()
	p := newProxy(t, start(t, t.TempDir(), -1).Addr().String())
	p.set(false, true)
	done := make(chan error, 1)
	go func() {
		b, err := Open(t.Context(), Options{URL: p.url(), StartWait: patience})
		if err == nil {
			err = b.Close()
		}
		done <- err
	}()
	eventually(t, "the first try", func() bool { return p.turnedAway() > 0 })
	p.set(false, false)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// opensNot fails the test unless Open says what is wrong. It has the more time the slower the machine is.
func opensNot(t *testing.T, o Options, want string) {
	t.Helper()
	for ; ; o.StartWait *= 3 {
		_, err := Open(context.Background(), o)
		if err != nil && strings.Contains(err.Error(), want) {
			return
		}
		if err == nil || o.StartWait > patience {
			t.Fatalf("%s: %v, want %q", o.URL, err, want)
		}
	}
}

// Goal: what a stamp says is what is read. Method: a table of stamps there and back; the fuzzer for the rest.
func TestStamp(t *testing.T) {
	at := time.UnixMicro(1_700_000_000_000_001)
	for _, s := range []stamp{
		{node: "abc", n: 7, at: at},
		{node: "abc", at: at, Position: broker.Position{Epoch: 1<<53 - 1, Offset: 9}, first: 3, age: time.Hour, anchor: 12},
	} {
		if got, ok := readStamp(s.header()); !ok || got != s {
			t.Errorf("%+v came back as %+v, %v", s, got, ok)
		}
	}
}

// FuzzStamp reads any header: no panic, and what is taken is written back the same.
func FuzzStamp(f *testing.F) {
	for _, text := range []string{"", "a 1 2", "a 1 2 3 4 4 0 0", "a 1 2 3 4 5 0 0", "a -1 2", "a 1 2 3", " 1 2", "a 1 2 3 4 4 0 0 9"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, ok := readStamp(nats.Header{stampHeader: {text}})
		if !ok {
			return
		}
		if again, ok := readStamp(s.header()); !ok || again != s {
			t.Errorf("%q is %+v, then %+v", text, s, again)
		}
	})
}
