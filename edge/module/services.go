package module

import (
	"context"
	"encoding/json"
	"time"

	"gosper/broker"
	"gosper/broker/post"
	"gosper/protocol"
)

// Methods of Table that trusted services and the operator use through the internal HTTP server. All of them may
// block, so none is called on an event loop.

// Authenticate returns whom a token speaks for: ErrToken when it does not count, or its player is banned.
func (t *Table) Authenticate(ctx context.Context, token string) (Identity, error) {
	claims, err := t.tools.validate(ctx, token)
	if err != nil {
		return Identity{}, err
	}
	who := claims.identity("")
	if t.tools.banned(&who) != nil {
		return Identity{}, ErrToken
	}
	return who, t.tools.settleFamily(ctx, &who)
}

// IssueToken makes the newest login token of an account, which ends all its older tokens and connections, or with
// world its newest world token, which ends only the world token before. The account may be one that another service
// keeps: broker.ErrBadName if its id is not 1 to 32 of A-Z a-z 0-9 _ -.
func (t *Table) IssueToken(ctx context.Context, account string, world bool) (string, error) {
	if !protocol.ValidName(account) {
		return "", broker.ErrBadName
	}
	kind, issue := KindLogin, func() (string, error) { return t.tools.newLogin(ctx, account, nil, t.tools.options.SeveralLogins) }
	if world {
		kind, issue = KindWorld, func() (string, error) { return t.tools.newWorldLogin(ctx, account) }
	}
	id, err := issue()
	if err != nil {
		return "", err
	}
	return t.tools.tokens.sign(Claims{Account: account, Login: id, Kind: kind})
}

// RegisterNonce keeps a payload under a key for one redemption, for at most ttl (0 or more than Options.NonceAge: that
// long). broker.ErrExists when the key is still open, broker.ErrBadName when it is empty or too long, a Fault when the
// payload is too large. A payload with world and gn lets a client in by REGISTER.
func (t *Table) RegisterNonce(ctx context.Context, key string, payload map[string]string, ttl time.Duration) error {
	if key == "" || len(key) > nonceMax {
		return broker.ErrBadName
	}
	value, err := json.Marshal(payload)
	if err != nil {
		return err
	}
	if len(value) > payloadMax {
		return refuse(protocol.StatusTooMuch, "payload is too large")
	}
	if ttl <= 0 || ttl > t.tools.options.NonceAge {
		ttl = t.tools.options.NonceAge
	}
	return t.tools.registry.Create(ctx, nonceKey(key), value, ttl)
}

// RedeemNonce takes the payload of a key: broker.ErrNotFound when it was never there, expired or taken. Of any number
// of callers one gets it.
func (t *Table) RedeemNonce(ctx context.Context, key string) (map[string]string, error) {
	if key == "" || len(key) > nonceMax {
		return nil, broker.ErrNotFound
	}
	value, err := t.tools.registry.Get(ctx, nonceKey(key))
	if err != nil {
		return nil, err
	}
	var payload map[string]string
	if json.Unmarshal(value, &payload) == nil && payload[nonceBox] != "" {
		if err := t.tools.redeemMail(ctx, key, payload); err != nil {
			return nil, err
		}
	}
	if value, err = t.tools.registry.Take(ctx, nonceKey(key)); err != nil {
		return nil, err
	}
	clear(payload) // what was taken counts, should it be another
	return payload, json.Unmarshal(value, &payload)
}

// DropNonce closes a nonce that nobody shall redeem any more.
func (t *Table) DropNonce(ctx context.Context, key string) { t.tools.closeDoor(ctx, key) }

// MailOut is a mail as clients and services know it.
type MailOut = mailOut

// ShowMail returns a mail as clients and services know it.
func (t *Table) ShowMail(m *post.Mail) MailOut { return t.tools.mailOut(m) }

// Has says whether the table has a function of this route or gate name. It may be called on a loop.
func (t *Table) Has(route string) bool {
	f, _ := t.index.find(route)
	return f != nil
}

// Functions that stand for those which a worker elsewhere runs: what they need, and their rate.
var (
	workerFunction = Function{Route: "worker", Needs: NeedLogin, Class: ClassWrite, run: nothing}
	openFunction   = Function{Route: "worker", Class: ClassAuth, run: nothing}
)

func nothing(*Tools, *Call) (any, error) { return empty{}, nil }

// Admit checks a call of the gate whose function a worker elsewhere runs: its token, unless open, and its rate. c.Who is
// filled in before done is called, exactly once, from any goroutine; a status that is not OK is the answer. It never
// blocks.
func (t *Table) Admit(c *Call, open bool, done func(Reply)) {
	f := &workerFunction
	if open {
		f = &openFunction
	}
	j := &job{table: t, call: c, function: f, gate: true, done: done}
	switch {
	case !j.byToken() && !j.withinRate():
		j.answer(nil, faultTooMany)
	case !t.pool.try(j.run):
		j.answer(nil, faultBusy)
	}
}

// Outbox returns the e-mails that wait to be sent.
func (t *Table) Outbox() *Outbox { return t.tools.outbox }
