package module

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"gosper/broker"
	"gosper/protocol"
)

// Codes of six digits live in the Registry, as older services know them:
//
//	nonce.verify.email.<account>.<status>.<code> = address
//
// There is one for an account and status at a time, and tries are rare, so that none is found by trying.
const (
	verifyAge    = 300 * time.Second
	verifyBind   = 0
	verifyUnbind = 1
)

// verifyRate bounds the e-mails that one account can have sent, and tryRate the codes that it can try.
var (
	verifyRate = Rate{PerSecond: 1.0 / 60, Burst: 5}
	tryRate    = Rate{PerSecond: 0.1, Burst: 10}
)

func verifyKeys(account string, status int) string {
	return "nonce.verify.email." + account + "." + strconv.Itoa(status) + "."
}

type emailIn struct {
	Email string `json:"email"`
}

func bindEmail(t *Tools, c *Call, in *emailIn) (empty, error) {
	email := strings.TrimSpace(in.Email)
	a, err := t.boundAccount(c)
	if err != nil {
		return empty{}, err
	}
	if !validEmail(email) {
		return empty{}, refuseGate(protocol.StatusInvalid, 96, "email is no address that a mail can be sent to")
	}
	if _, err := t.takeEmail(c.Context, a, email); err != nil {
		return empty{}, err
	}
	return empty{}, t.sendVerify(c, a, email, verifyBind)
}

func unbindEmail(t *Tools, c *Call, in *emailIn) (empty, error) {
	a, err := t.boundAccount(c)
	switch {
	case err != nil:
		return empty{}, err
	case a.Email == "":
		return empty{}, refuseGate(protocol.StatusInvalid, 98, "the account has no e-mail address")
	case fold(strings.TrimSpace(in.Email)) != fold(a.Email):
		return empty{}, refuseGate(protocol.StatusInvalid, 97, "email is not the address of the account")
	}
	return empty{}, t.sendVerify(c, a, a.Email, verifyUnbind)
}

// boundAccount reads the account of the caller, which must have a name and a password.
func (t *Tools) boundAccount(c *Call) (*account, error) {
	a, err := t.ownAccount(c)
	if err == nil && (a == nil || a.Stage != stageComplete) {
		err = refuseGate(protocol.StatusPrerequisite, 99, "the account is not bound: use bind_account first")
	}
	return a, err
}

// takeEmail returns the writes that give the account an address, if it has none and the address is free.
func (t *Tools) takeEmail(ctx context.Context, a *account, email string) (writes, error) {
	if a.Email != "" {
		return nil, refuseGate(protocol.StatusInvalid, 98, "the account has an e-mail address already")
	}
	w := writes{}
	other, err := t.findAccount(ctx, emailKey(email))
	if err != nil || other == nil {
		return w, err
	}
	if !other.stale(t.now(), t.options.EmailCodeAge) {
		return nil, refuseGate(protocol.StatusInvalid, 97, "this address belongs to another account")
	}
	w.remove(other)
	return w, nil
}

// sendVerify makes the only code of an account and status, and sends it.
func (t *Tools) sendVerify(c *Call, a *account, email string, status int) error {
	if !t.limits.allowRate(caller{ClassAuth, "verify", a.ID}, verifyRate, t.now()) {
		return refuseGate(protocol.StatusRefused, 95, "too many codes were sent: wait a minute")
	}
	old, err := t.registry.List(c.Context, verifyKeys(a.ID, status), 100)
	if err != nil {
		return err
	}
	for _, entry := range old {
		if err := t.registry.Delete(c.Context, entry.Key); err != nil {
			return err
		}
	}
	number, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		return err
	}
	code := fmt.Sprintf("%06d", number)
	if err := t.registry.Set(c.Context, verifyKeys(a.ID, status)+code, []byte(email), verifyAge); err != nil {
		return err
	}
	template := EmailBind
	if status == verifyUnbind {
		template = EmailUnbind
	}
	return t.commitWithEmail(c.Context, Email{Template: template, To: email, Username: a.Username, Code: code, Created: t.now()})
}

type verifyIn struct {
	Code   string `json:"code"`
	Status int    `json:"status"`
}

type verifyOut struct {
	Email string `json:"email"`

	unbound bool
}

// gateStatus tells game clients which of both was done.
func (o verifyOut) gateStatus() protocol.Status {
	if o.unbound {
		return verifyUnbind
	}
	return verifyBind
}

func verifyEmailCode(t *Tools, c *Call, in *verifyIn) (verifyOut, error) {
	invalid := refuseGate(protocol.StatusInvalid, 99, "the code is wrong or too old")
	switch {
	case in.Status != verifyBind && in.Status != verifyUnbind:
		return verifyOut{}, refuseGate(protocol.StatusInvalid, 90, "status must be 0 (bind) or 1 (unbind)")
	case len(in.Code) != 6 || strings.Trim(in.Code, "0123456789") != "":
		return verifyOut{}, invalid
	case !t.limits.allowRate(caller{ClassAuth, "code", c.Who.Account}, tryRate, t.now()):
		return verifyOut{}, refuseGate(protocol.StatusRefused, 95, "too many codes were tried: wait a minute")
	}
	email, err := t.registry.Take(c.Context, verifyKeys(c.Who.Account, in.Status)+in.Code)
	if errors.Is(err, broker.ErrNotFound) {
		return verifyOut{}, invalid
	}
	if err != nil {
		return verifyOut{}, err
	}
	out := verifyOut{Email: string(email), unbound: in.Status == verifyUnbind}
	for range mostTries {
		if err = t.setEmail(c, &out); !overtaken(err) {
			break
		}
	}
	return out, err
}

// setEmail binds or unbinds a proven address.
func (t *Tools) setEmail(c *Call, out *verifyOut) error {
	a, err := t.boundAccount(c)
	if err != nil {
		return err
	}
	var ops []broker.Op
	if out.unbound {
		if a.Email != out.Email {
			return refuseGate(protocol.StatusInvalid, 98, "the account has another e-mail address now")
		}
		a.Email = ""
		w := writes{emailKey(out.Email): broker.OpDelete(emailKey(out.Email), broker.AnyRevision)}
		ops = w.take(a)
	} else {
		w, err := t.takeEmail(c.Context, a, out.Email)
		if err != nil {
			return err
		}
		a.Email = out.Email
		ops = w.take(a, emailKey(out.Email))
	}
	_, err = t.store.Commit(c.Context, ops...)
	return err
}
