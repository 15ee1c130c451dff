package module

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gosper/broker"
	"gosper/protocol"
)

// Goal: only an untouched, unexpired HS256 token of this node for the newest login counts. Method: every known way to
// forge or bend one.
func TestTokenAttacks(t *testing.T) {
	r := newRig(t, nil)
	ctx := context.Background()
	good, err := r.table.IssueToken(ctx, "alfred", false)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := r.table.tools.validate(ctx, good)
	if err != nil {
		t.Fatal(err)
	}
	key := r.table.tools.tokens.key
	signed := func(method jwt.SigningMethod, key any, change func(*Claims)) string {
		c := claims
		if change != nil {
			change(&c)
		}
		token, err := jwt.NewWithClaims(method, c).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	parts := strings.Split(good, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`))
	attacks := map[string]string{
		"empty":           "",
		"alg none":        signed(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil),
		"alg none, as is": none + "." + parts[1] + ".",
		"alg none, tag":   none + "." + parts[1] + "." + parts[2],
		"HS384":           signed(jwt.SigningMethodHS384, key, nil),
		"HS512":           signed(jwt.SigningMethodHS512, key, nil),
		"other key":       signed(jwt.SigningMethodHS256, []byte("another key of this length......"), nil),
		"empty key":       signed(jwt.SigningMethodHS256, []byte{}, nil),
		"raw secret":      signed(jwt.SigningMethodHS256, []byte("0123456789abcdef"), nil),
		"expired":         signed(jwt.SigningMethodHS256, key, func(c *Claims) { c.ExpiresAt = jwt.NewNumericDate(r.clock().Add(-time.Second)) }),
		"no expiry":       signed(jwt.SigningMethodHS256, key, func(c *Claims) { c.ExpiresAt = nil }),
		"not yet issued":  signed(jwt.SigningMethodHS256, key, func(c *Claims) { c.IssuedAt = jwt.NewNumericDate(r.clock().Add(time.Hour)) }),
		"other issuer":    signed(jwt.SigningMethodHS256, key, func(c *Claims) { c.Issuer = "somebody" }),
		"no issuer":       signed(jwt.SigningMethodHS256, key, func(c *Claims) { c.Issuer = "" }),
		"no login":        signed(jwt.SigningMethodHS256, key, func(c *Claims) { c.Login = "" }),
		"other login":     signed(jwt.SigningMethodHS256, key, func(c *Claims) { c.Login = newLoginID() }),
		"unknown account": signed(jwt.SigningMethodHS256, key, func(c *Claims) { c.Account = "eve" }),
		"no account":      signed(jwt.SigningMethodHS256, key, func(c *Claims) { c.Account = "" }),
		"world of login":  signed(jwt.SigningMethodHS256, key, func(c *Claims) { c.Kind = KindWorld }),
		"cut":             good[:len(good)-1],
		"cut to two":      parts[0] + "." + parts[1],
		"four parts":      good + ".x",
		"many dots":       strings.Repeat(".", tokenMax),
		"too long":        good + strings.Repeat("x", tokenMax),
		"blank behind":    good + " ",
		"padding":         good + "=",
		"payload changed": parts[0] + "." + parts[1][:len(parts[1])-2] + "xx." + parts[2],
	}
	for name, token := range attacks {
		if _, err := r.table.Authenticate(ctx, token); !errors.Is(err, ErrToken) {
			t.Errorf("%s: error %v, want ErrToken", name, err)
		}
		reply := r.connect().call("/session/resume", fmt.Sprintf(`{"token":%q}`, token))
		if reply.Status == protocol.StatusOK {
			t.Errorf("%s: resumed", name)
		}
	}
	// The last character of base64 has unused bits: setting them must not give a second spelling of a token.
	for i := range base64Alphabet {
		other := good[:len(good)-1] + base64Alphabet[i:i+1]
		if _, err := r.table.Authenticate(ctx, other); other != good && err == nil {
			t.Errorf("a second spelling counts: …%s", other[len(other)-4:])
		}
	}
	if _, err := r.table.Authenticate(ctx, good); err != nil {
		t.Error("the good token:", err)
	}
	r.pass(31 * 24 * time.Hour)
	if _, err := r.table.Authenticate(ctx, good); !errors.Is(err, ErrToken) {
		t.Error("after its time:", err)
	}
}

const base64Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// Goal: login and world tokens replace each other as services expect. Method: the table of who is still valid after
// each issue.
func TestTokensReplaceEachOther(t *testing.T) {
	r := newRig(t, nil)
	ctx := context.Background()
	valid := func(token string) bool {
		_, err := r.table.Authenticate(ctx, token)
		return err == nil
	}
	issue := func(world bool) string {
		token, err := r.table.IssueToken(ctx, "alfred", world)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	login1 := issue(false)
	world1 := issue(true)
	if !valid(login1) || !valid(world1) {
		t.Fatal("a world token ended the login")
	}
	world2 := issue(true)
	if valid(world1) || !valid(world2) || !valid(login1) {
		t.Fatal("a world token must replace the world token only")
	}
	login2 := issue(false)
	if valid(login1) || valid(world2) || !valid(login2) {
		t.Fatal("a login must replace everything")
	}
	if _, err := r.table.IssueToken(ctx, "a.b", false); !errors.Is(err, broker.ErrBadName) {
		t.Error("a name with a dot:", err)
	}
}

// Goal: a nonce lets exactly one caller in, and registers once. Method: many callers at the same time.
func TestNonceRace(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Workers, o.Queue = 16, 256 })
	ctx := context.Background()
	var registered, redeemed, entered atomic.Int32
	run := func(work func()) {
		var wait sync.WaitGroup
		for range 32 {
			wait.Go(work)
		}
		wait.Wait()
	}
	payload := map[string]string{"world": "0", "gn": "Ann"}
	run(func() {
		if r.table.RegisterNonce(ctx, "n", payload, time.Minute) == nil {
			registered.Add(1)
		}
	})
	run(func() {
		if p, err := r.table.RedeemNonce(ctx, "n"); err == nil && p["gn"] == "Ann" {
			redeemed.Add(1)
		}
	})
	if err := r.table.RegisterNonce(ctx, "n", payload, time.Minute); err != nil {
		t.Fatal("a redeemed nonce is free again:", err)
	}
	peers := make(chan *peer, 32)
	for range 32 {
		peers <- r.connect()
	}
	run(func() {
		p := <-peers
		if p.call("/session/register", `{"nonce":"n"}`).Status == protocol.StatusOK {
			entered.Add(1)
		}
	})
	if registered.Load() != 1 || redeemed.Load() != 1 || entered.Load() != 1 {
		t.Errorf("registered %d, redeemed %d, entered %d; want 1 each", registered.Load(), redeemed.Load(), entered.Load())
	}
}

// Goal: a nonce of another kind is neither taken nor lost by REGISTER. Method: register with the nonce of a gift.
func TestRegisterLeavesForeignNonces(t *testing.T) {
	r := newRig(t, nil)
	ctx := context.Background()
	for name, payload := range map[string]map[string]string{
		"gift":       {"type": "1", "items": "3:1:5"},
		"bad world":  {"world": "a.b", "gn": "Ann"},
		"bad name":   {"world": "0", "gn": "A\r\nB"},
		"bad family": {"world": "0", "gn": "Ann", "fn": "*"},
		"bad uid":    {"world": "0", "gn": "Ann", "uid": ">"},
	} {
		if err := r.table.RegisterNonce(ctx, name, payload, 0); err != nil {
			t.Fatal(err)
		}
		if reply := r.connect().call("/session/register", fmt.Sprintf(`{"nonce":%q}`, name)); reply.Status == protocol.StatusOK {
			t.Errorf("%s: registered", name)
		}
		if _, err := r.table.RedeemNonce(ctx, name); err != nil {
			t.Errorf("%s: lost: %v", name, err)
		}
	}
	for _, nonce := range []string{"", strings.Repeat("x", nonceMax+1), "never made", "a\r\nb", "*", ">"} {
		if reply := r.connect().call("/session/register", fmt.Sprintf(`{"nonce":%q}`, nonce)); reply.Status != protocol.StatusInvalid {
			t.Errorf("%.20q: status %d", nonce, reply.Status)
		}
	}
}
