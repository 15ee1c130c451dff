package module

import (
	"encoding/json"
	"errors"
	"strings"

	"gosper/broker"
	"gosper/protocol"
)

// gateAccountFunctions are the logins that game clients use through the gate; by route they work on every door.
func gateAccountFunctions() []Function {
	return []Function{
		define(Function{Route: "/user/loginUnique", Gate: "login_unique", Class: ClassAuth,
			Doc:     "Logs a device in by its secret unique id; the first time this makes a guest account.",
			Example: `{"unique_id":"4f1c2d3e5a6b"}`}, loginUnique),
		define(Function{Route: "/user/login", Gate: "login", Class: ClassAuth,
			Doc:     "Logs in with an account name or e-mail address and a password.",
			Example: `{"identifier":"account","value":"alfred","password":"Secret1"}`}, login),
	}
}

// uniqueMax is the longest unique id in bytes.
const uniqueMax = 256

type uniqueIn struct {
	Unique  string `json:"unique_id"`
	Unique2 string `json:"uniqueId"`
}

type uniqueOut struct {
	Token   string `json:"token"`
	Session string `json:"session,omitempty"`
	New     bool   `json:"isNew"`
}

// gateStatus tells game clients a new account from a known one.
func (o uniqueOut) gateStatus() protocol.Status {
	if o.New {
		return 1
	}
	return protocol.StatusOK
}

func loginUnique(t *Tools, c *Call, in *uniqueIn) (uniqueOut, error) {
	unique := first(in.Unique, in.Unique2)
	switch {
	case unique == "":
		return uniqueOut{}, refuseGate(protocol.StatusMissing, 99, "unique_id is empty")
	case strings.ContainsAny(unique, " \t\r\n"):
		return uniqueOut{}, refuseGate(protocol.StatusBadCharacters, 96, "unique_id has spaces")
	case len(unique) > uniqueMax:
		return uniqueOut{}, refuseGate(protocol.StatusTooMuch, 97, "unique_id is too long")
	}
	for {
		out, err := t.loginDevice(c, deviceHash(unique))
		if errors.Is(err, broker.ErrExists) {
			continue // the same device came twice at once: now it is known
		}
		return out, err
	}
}

// loginDevice logs in the account of a device, which it makes when there is none: broker.ErrExists when another call
// was faster.
func (t *Tools) loginDevice(c *Call, hash string) (uniqueOut, error) {
	a, err := t.findAccount(c.Context, deviceKey(hash))
	if err != nil {
		return uniqueOut{}, err
	}
	if a != nil && a.Stage == stageComplete {
		return uniqueOut{}, refuseGate(protocol.StatusRefused, 2, "account is bound, use login")
	}
	var ops []broker.Op
	isNew := a == nil
	if isNew {
		a = &account{ID: newAccountID(), Device: hash, Staged: t.now()}
		value, err := json.Marshal(a)
		if err != nil {
			return uniqueOut{}, err
		}
		ops = []broker.Op{broker.OpCreate(deviceKey(hash), []byte(a.ID)), broker.OpCreate(accountKey(a.ID), value)}
	}
	session, id, err := t.logIn(c, a, t.options.SeveralLogins, ops...)
	if err != nil {
		return uniqueOut{}, err
	}
	token, err := t.loginTokenOf(a, id)
	return uniqueOut{Token: token, Session: session, New: isNew}, err
}

// loginTokenOf returns the token of a login of an account.
func (t *Tools) loginTokenOf(a *account, login string) (string, error) {
	return t.tokens.sign(Claims{Account: a.ID, Login: login, Kind: KindLogin})
}

type loginIn struct {
	Identifier string `json:"identifier"`
	Value      string `json:"value"`
	Password   string `json:"password"`
}

type loginOut struct {
	Token   string `json:"token"`
	Account string `json:"account"`
	Email   string `json:"email"`
	Phone   string `json:"phone_number"`
	Session string `json:"session,omitempty"`
}

func login(t *Tools, c *Call, in *loginIn) (loginOut, error) {
	switch in.Identifier {
	case "account", "email", "phone_number":
	default:
		return loginOut{}, refuseGate(protocol.StatusInvalid, 99, "identifier must be account, email or phone_number")
	}
	if in.Value == "" || in.Password == "" {
		return loginOut{}, refuseGate(protocol.StatusMissing, 1, "value and password are required")
	}
	name := in.Value
	if in.Identifier == "phone_number" {
		name = "" // no account has one yet: fails like every wrong name, in the same time
	}
	a, err := t.authenticate(c, name, in.Password)
	if err != nil {
		return loginOut{}, err
	}
	session, id, err := t.logInKnown(c, a)
	if err != nil {
		return loginOut{}, err
	}
	token, err := t.loginTokenOf(a, id)
	return loginOut{Token: token, Account: a.Username, Email: a.Email, Session: session}, err
}
