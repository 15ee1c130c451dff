package redis

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gosper/broker/redis/redistest"
)

// Goal: every form of address is read as documented, and what is wrong is named without the password. Method: a table.
func TestURL(t *testing.T) {
	good := []struct {
		url, prefix, user, set string
		addrs                  []string
		tls                    bool
		db                     int
	}{
		{url: "redis://host", prefix: "gosper", addrs: []string{"host:6379"}},
		{url: "redis://anna:secret@host:7000/3?prefix=w1", prefix: "w1", user: "anna", addrs: []string{"host:7000"}, db: 3},
		{url: "rediss://host:7000?skip_verify&flush_delay=20us", prefix: "gosper", addrs: []string{"host:7000"}, tls: true},
		{url: "redis://a:1?addr=b:2&addr=c:3", prefix: "gosper", addrs: []string{"a:1", "b:2", "c:3"}},
		{url: "redis://a:1?addr=b:2&master_set=main", prefix: "gosper", addrs: []string{"a:1", "b:2"}, set: "main"},
		{url: "unix:///run/redis.sock", prefix: "gosper", addrs: []string{"/run/redis.sock"}},
	}
	for _, g := range good {
		o, prefix, err := clientOption(g.url)
		if err != nil || prefix != g.prefix || o.Username != g.user || o.Sentinel.MasterSet != g.set ||
			!slices.Equal(o.InitAddress, g.addrs) || (o.TLSConfig != nil) != g.tls || o.SelectDB != g.db {
			t.Errorf("%s: %v, prefix %q, %+v", g.url, err, prefix, o)
		}
	}
	bad := map[string]string{
		"":                            "begins with",
		"http://host":                 "begins with",
		"redis://:secret@host:port":   "not a URL",
		"redis://:secret@host/x":      "database",
		"redis://host?color=red":      "color",
		"redis://host?prefix=a{b":     "prefix",
		"redis://host?ca=/etc/ca.pem": "rediss",
		"rediss://host?cert=/x":       "belong together",
		"redis://host?flush_delay=1h": "flush_delay",
	}
	for text, want := range bad {
		if err := Check(text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	for _, text := range []string{"rediss://host?ca=/no/such", "rediss://host?cert=/no/such&key=/no/such"} {
		if _, err := Open(Options{URL: text}); err == nil || !strings.Contains(err.Error(), "/no/such") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// FuzzURL gives the reader any text: it answers with a client's options or an error, and never fails hard.
func FuzzURL(f *testing.F) {
	for _, text := range []string{"redis://a:b@c:1/2?prefix=x&addr=d:3", "rediss://[::1]:1?skip_verify", "unix:///x?db=1", "redis://%zz", "redis://h?flush_delay=1us"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		option, _, err := parse(text)
		if err == nil && len(option.InitAddress) == 0 {
			t.Errorf("%q has no address", text)
		}
	})
}

// Goal: TLS with a certificate that only a file vouches for, a client certificate, and a user of the ACL with no more
// rights than documented, on a server that lets nobody else in. Method: a real server; a chat and a registry call.
func TestTLSAndUser(t *testing.T) {
	redistest.Need(t)
	dir := t.TempDir()
	cert, key := selfSigned(t, dir)
	acl := filepath.Join(dir, "users")
	if err := os.WriteFile(acl, []byte("user default on nopass ~* &* +ping\nuser anna on >p@ss ~gosper:* &* +@read +@write +@pubsub +@scripting +@connection +info +time +cluster +scan\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	port := redistest.FreePort(t)
	s := redistest.Start(t, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert, "--aclfile", acl)
	files := "?ca=" + url.QueryEscape(cert) + "&cert=" + url.QueryEscape(cert) + "&key=" + url.QueryEscape(key)
	for _, text := range []string{"redis://anna:p%40ss@" + s.Addr(), "rediss://anna:p%40ss@127.0.0.1:" + port + files} {
		r := open(t, text)
		c := newCrowd(t, r, "crowd")
		c.talk(r)
		if err := r.Registry().Set(t.Context(), "nonce", []byte("x"), time.Minute); err != nil {
			t.Error(err)
		}
		if list, err := r.Registry().List(t.Context(), "non", 10); err != nil || len(list) != 1 {
			t.Error(list, err)
		}
		if _, err := r.Registry().Count(t.Context(), "sum", 1, time.Minute); err != nil {
			t.Error(err)
		}
		r.Close()
	}
	for _, text := range []string{"redis://anna:wrong@" + s.Addr(), "rediss://anna:p%40ss@127.0.0.1:" + port, "redis://" + s.Addr()} {
		if r, err := Open(Options{URL: text}); err == nil {
			r.Close()
			t.Errorf("%s: connected", text)
		} else if strings.Contains(err.Error(), "p@ss") || strings.Contains(err.Error(), "wrong@") {
			t.Error("the error shows the password:", err)
		}
	}
	r, err := Open(Options{URL: "redis://anna@" + s.Addr(), Password: "p@ss"})
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
}

// selfSigned writes a certificate for 127.0.0.1 and its key.
func selfSigned(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "EC PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}
