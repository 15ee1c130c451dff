package module

import (
	"errors"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"gosper/broker"
	"gosper/protocol"
)

// Accounts of game clients begin as guests of a device. Later they get an account name and a password, and then an
// e-mail address, which a code of six digits proves.

// bindFunctions bind guests to what their players know by heart.
func bindFunctions() []Function {
	return []Function{
		define(Function{Route: "/user/bindAccount", Gate: "bind_account", Needs: NeedLogin, Class: ClassAuth,
			Doc:     "Gives a guest an account name and a password; from then on the device alone does not log in.",
			Example: `{"account":"alfred","password":"Secret1"}`}, bindAccount),
		define(Function{Route: "/user/bindEmail", Gate: "bind_email", Needs: NeedLogin, Class: ClassAuth,
			Doc:     "Sends a code of six digits to an address, which becomes the account's by it.",
			Example: `{"email":"alfred@example.com"}`}, bindEmail),
		define(Function{Route: "/user/unbindEmail", Gate: "unbind_email", Needs: NeedLogin, Class: ClassAuth,
			Doc:     "Sends a code of six digits to the account's address, which is the account's no longer by it.",
			Example: `{"email":"alfred@example.com"}`}, unbindEmail),
		define(Function{Route: "/user/verifyEmailCode", Gate: "verify_email_code", Needs: NeedLogin, Class: ClassAuth,
			Doc:     "Proves an address by its code: status 0 binds it, 1 unbinds it.",
			Example: `{"code":"493817","status":0}`}, verifyEmailCode),
	}
}

// accountName is what game clients may be called: as older clients check it themselves.
var accountName = regexp.MustCompile(`^[_a-z][_a-z0-9]{4,23}$`)

// Length of a password in characters, as older clients check it themselves.
const (
	bindPasswordMin = 6
	bindPasswordMax = 30
)

type bindAccountIn struct {
	Account  string `json:"account"`
	Password string `json:"password"`
}

type bindAccountOut struct {
	Account string `json:"account"`
}

func bindAccount(t *Tools, c *Call, in *bindAccountIn) (bindAccountOut, error) {
	name := strings.ToLower(in.Account)
	if !accountName.MatchString(name) {
		return bindAccountOut{}, refuseGate(protocol.StatusInvalid, 99, "account must be 5 to 24 of a-z 0-9 _, and not begin with a digit")
	}
	if n := utf8.RuneCountInString(in.Password); n < bindPasswordMin || n > bindPasswordMax || strings.ContainsFunc(in.Password, notInPassword) {
		return bindAccountOut{}, refuseGate(protocol.StatusInvalid, 98, "password must be 6 to 30 characters without blanks")
	}
	if _, _, err := t.bindable(c, name); err != nil {
		return bindAccountOut{}, err
	}
	password, err := t.passwords.hash(c.Context, in.Password)
	if err != nil {
		return bindAccountOut{}, err
	}
	for range mostTries {
		a, w, err := t.bindable(c, name)
		if err != nil {
			return bindAccountOut{}, err
		}
		a.Username, a.Email, a.Password, a.Stage = name, "", password, stageComplete
		_, err = t.store.Commit(c.Context, w.take(a, usernameKey(name))...)
		if !overtaken(err) {
			return bindAccountOut{name}, err
		}
	}
	return bindAccountOut{}, faultBusy
}

func notInPassword(r rune) bool {
	return r == utf8.RuneError || unicode.IsSpace(r) || !unicode.IsPrint(r)
}

// bindable returns the call's account if it is a guest and the name is free, with the writes that make it so: an
// unfinished registration, its own or an old one of somebody else, gives way.
func (t *Tools) bindable(c *Call, name string) (*account, writes, error) {
	a, err := t.ownAccount(c)
	if err != nil {
		return nil, nil, err
	}
	if a == nil || a.Stage != "" && a.Stage != stageEmailCode {
		return nil, nil, refuseGate(protocol.StatusInvalid, 96, "this account is bound already")
	}
	w := writes{}
	other, err := t.findAccount(c.Context, usernameKey(name))
	if err != nil {
		return nil, nil, err
	}
	if other != nil && other.ID != a.ID {
		if !other.stale(t.now(), t.options.EmailCodeAge) {
			return nil, nil, refuseGate(protocol.StatusInvalid, 97, "this account name is taken")
		}
		w.remove(other)
	}
	if a.Username != "" {
		w.remove(a)
	}
	return a, w, nil
}

// ownAccount reads the account of the caller; nil when another service keeps it.
func (t *Tools) ownAccount(c *Call) (*account, error) {
	a, err := t.loadAccount(c.Context, c.Who.Account)
	if errors.Is(err, broker.ErrNotFound) {
		return nil, nil
	}
	return a, err
}
