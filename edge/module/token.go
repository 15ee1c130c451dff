package module

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gosper/broker"
)

// Kind says what a token is for.
type Kind string

// Kinds of tokens.
const (
	KindLogin   Kind = "login"   // names an account; what login and /issue_token give
	KindWorld   Kind = "world"   // names an account for a world service; /issue_token with is_session=1
	KindSession Kind = "session" // names a whole identity; for /session/resume
)

// Issuer is the iss claim of every token.
const Issuer = "gosper"

// tokenMax is the longest token in bytes that is looked at.
const tokenMax = 2048

// Claims is what a token says. Login is the id of the login it belongs to: a token counts only while the account's
// login record still names that id, which is how a new login replaces the old one.
type Claims struct {
	jwt.RegisteredClaims
	Account string `json:"uid"`
	Login   string `json:"lid,omitempty"`
	Kind    Kind   `json:"kind"`
	World   string `json:"world,omitempty"`
	Name    string `json:"name,omitempty"`
	Family  string `json:"family,omitempty"`
}

// ErrToken is returned for every token that does not count: forged, cut, expired, of another algorithm, replaced.
var ErrToken = errors.New("token is not valid")

// tokens signs and reads JWTs with HS256 and nothing else.
type tokens struct {
	key    []byte
	age    time.Duration
	now    func() time.Time
	parser *jwt.Parser

	mu   sync.Mutex
	good map[string]Claims // guarded by mu: tokens whose signature was checked
}

// goodMax bounds the tokens that are remembered: a phone brings its token with each request at the gate, and most of the
// time it takes to read one goes into JSON. When there are so many, it starts afresh.
const goodMax = 8192

// known returns the claims of a token that was read before and still counts.
func (t *tokens) known(token string) (Claims, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c, ok := t.good[token]
	if ok && !t.now().Before(c.ExpiresAt.Time) {
		delete(t.good, token)
		return Claims{}, false
	}
	return c, ok
}

func (t *tokens) remember(token string, c Claims) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.good) >= goodMax {
		clear(t.good)
	}
	t.good[strings.Clone(token)] = c
}

// newTokens returns tokens that count for age.
func newTokens(secret []byte, age time.Duration, now func() time.Time) *tokens {
	return &tokens{key: deriveKey(secret, "token"), age: age, now: now, good: map[string]Claims{}, parser: jwt.NewParser(
		jwt.WithValidMethods([]string{"HS256"}),
		jwt.WithIssuer(Issuer),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
		jwt.WithStrictDecoding(),
		jwt.WithTimeFunc(now),
	)}
}

// sign fills issuer and times and returns the token.
func (t *tokens) sign(c Claims) (string, error) {
	now := t.now()
	c.Issuer = Issuer
	c.IssuedAt = jwt.NewNumericDate(now)
	c.ExpiresAt = jwt.NewNumericDate(now.Add(t.age))
	return jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString(t.key)
}

// read checks signature, algorithm, issuer and times.
func (t *tokens) read(token string) (Claims, error) {
	var c Claims
	if len(token) > tokenMax {
		return c, ErrToken
	}
	if c, ok := t.known(token); ok {
		return c, nil
	}
	_, err := t.parser.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return t.key, nil })
	if err != nil {
		return Claims{}, ErrToken
	}
	t.remember(token, c)
	return c, nil
}

// logins is the record of which tokens of an account count: those that carry these ids.
type logins struct {
	Login string `json:"login"`
	World string `json:"world,omitempty"`
}

func loginKey(account string) string { return "login/" + account }

// loadLogins returns the account's record; without one the zero value and revision 0.
func (t *Tools) loadLogins(ctx context.Context, account string) (l logins, revision uint64, err error) {
	record, err := t.store.Get(ctx, loginKey(account))
	if errors.Is(err, broker.ErrNotFound) {
		return l, 0, nil
	}
	if err != nil {
		return l, 0, err
	}
	return l, record.Revision, json.Unmarshal(record.Value, &l)
}

// newLogin makes the newest login of an account, in one commit with ops, and closes the connections of the login it
// replaces, except keep. With share an existing login stays and is used on.
func (t *Tools) newLogin(ctx context.Context, account string, keep Session, share bool, ops ...broker.Op) (id string, err error) {
	if share {
		return t.sharedLogin(ctx, account, ops)
	}
	id = newLoginID()
	record, err := json.Marshal(logins{Login: id})
	if err != nil {
		return "", err
	}
	if _, err := t.store.Commit(ctx, append(ops, broker.OpPut(loginKey(account), record))...); err != nil {
		return "", err
	}
	t.replaceLogin(ctx, account, id, keep)
	return id, nil
}

// sharedLogin returns the login of an account, which it makes when there is none, and commits ops with that. A login that is made or
// ended meanwhile is not written over.
func (t *Tools) sharedLogin(ctx context.Context, account string, ops []broker.Op) (id string, err error) {
	for tried := uint64(math.MaxUint64); ; {
		l, revision, loadErr := t.loadLogins(ctx, account)
		if loadErr != nil || revision == tried {
			return "", cmp.Or(loadErr, err) // the same record again: the conflict is one of ops
		}
		tried, l.Login = revision, first(l.Login, newLoginID())
		record, markErr := json.Marshal(l)
		if markErr != nil {
			return "", markErr
		}
		_, err = t.store.Commit(ctx, append(slices.Clip(ops), broker.OpUpdate(loginKey(account), record, revision))...)
		if !overtaken(err) {
			return l.Login, err
		}
	}
}

// newWorldLogin makes the account's newest world token id, in place of the one before.
func (t *Tools) newWorldLogin(ctx context.Context, account string) (id string, err error) {
	for {
		l, revision, err := t.loadLogins(ctx, account)
		if err != nil {
			return "", err
		}
		l.World = newLoginID()
		record, err := json.Marshal(l)
		if err != nil {
			return "", err
		}
		op := broker.OpUpdate(loginKey(account), record, revision) // revision 0: must not exist
		_, err = t.store.Commit(ctx, op)
		if overtaken(err) {
			continue // another token was made meanwhile
		}
		return l.World, err
	}
}

// validate reads a token and checks that its login was not replaced. ErrToken, or an error of the store.
func (t *Tools) validate(ctx context.Context, token string) (Claims, error) {
	c, err := t.tokens.read(token)
	if err != nil {
		return c, err
	}
	if c.Account == "" {
		if c.Kind == KindSession && c.World != "" {
			return c, nil // a player that a trusted service named
		}
		return Claims{}, ErrToken
	}
	l, _, err := t.loadLogins(ctx, c.Account)
	if err != nil {
		return Claims{}, err
	}
	if !l.counts(c.Kind, c.Login) {
		return Claims{}, ErrToken
	}
	return c, nil
}

// counts says whether a token of a kind with a login id counts. A session belongs to the login or to the world token
// with which it began.
func (l *logins) counts(kind Kind, id string) bool {
	switch {
	case id == "":
		return false
	case kind == KindLogin:
		return id == l.Login
	case kind == KindWorld:
		return id == l.World
	}
	return id == l.Login || id == l.World
}

// identity returns who a token speaks for.
func (c *Claims) identity(clientCode string) Identity {
	return Identity{Account: c.Account, Login: c.Login, Name: c.Name, World: c.World, Family: c.Family,
		ClientCode: clientCode, LoggedIn: c.Account != ""}
}

// sessionToken returns the token with which a client comes back as who.
func (t *Tools) sessionToken(who Identity, login string) (string, error) {
	return t.tokens.sign(Claims{Account: who.Account, Login: login, Kind: KindSession,
		World: who.World, Name: who.Name, Family: who.Family})
}
