package module

import (
	"encoding/json"
	"errors"
	"net/mail"
	"strings"
	"unicode/utf8"

	"gosper/broker"
	"gosper/protocol"
)

type registerIn struct {
	Username string `json:"username"`
	Email    string `json:"email"`
}

func register(t *Tools, c *Call, in *registerIn) (stageOut, error) {
	in.Username, in.Email = strings.TrimSpace(in.Username), strings.TrimSpace(in.Email)
	if err := checkRegistration(in); err != nil {
		return stageOut{}, err
	}
	a, ops, err := t.newRegistration(c, in)
	if err != nil {
		return stageOut{}, err
	}
	code, err := t.newEmailCode(c.Context, emailCode{Account: a.ID, Email: in.Email})
	if err != nil {
		return stageOut{}, err
	}
	err = t.commitWithEmail(c.Context, Email{Template: EmailRegistration, To: in.Email, Username: in.Username, Code: code, Created: t.now()}, ops...)
	if errors.Is(err, broker.ErrExists) || errors.Is(err, broker.ErrConflict) {
		_, _, err = t.newRegistration(c, in) // somebody was faster: find out who has what
		if err == nil {
			err = faultBusy
		}
	}
	if err != nil {
		return stageOut{}, err
	}
	return stageOut{Stage: stageEmailCode, Username: in.Username}, nil
}

// checkRegistration checks the form of what was typed.
func checkRegistration(in *registerIn) error {
	switch {
	case utf8.RuneCountInString(in.Username) < usernameMin:
		return refuse(protocol.StatusInvalid, "Username must be at least 3 characters long")
	case !protocol.ValidDisplayName(in.Username) || strings.Contains(in.Username, "@"):
		return refuse(protocol.StatusBadCharacters, "Username must be at most 32 printable characters without @")
	case in.Email == "":
		return refuse(protocol.StatusInvalid, "Email is missing")
	case !validEmail(in.Email):
		return refuse(protocol.StatusInvalid, "Email is invalid")
	}
	return nil
}

// validEmail takes plain addresses only, without a display name or a quoted part.
func validEmail(email string) bool {
	address, err := mail.ParseAddress(email)
	return err == nil && len(email) <= emailMax && address.Address == email && !strings.ContainsAny(email, "\" \t\r\n")
}

// newRegistration checks that the names are free and returns the account and the writes that take them.
func (t *Tools) newRegistration(c *Call, in *registerIn) (*account, []broker.Op, error) {
	byName, err := t.findAccount(c.Context, usernameKey(in.Username))
	if err != nil {
		return nil, nil, err
	}
	byEmail, err := t.findAccount(c.Context, emailKey(in.Email))
	if err != nil {
		return nil, nil, err
	}
	a, err := t.guestOf(c)
	if err != nil {
		return nil, nil, err
	}
	free := func(other *account) bool {
		return other == nil || other.ID == a.ID || other.stale(t.now(), t.options.EmailCodeAge)
	}
	switch {
	case !free(byName):
		return nil, nil, refuse(protocol.StatusInvalid, "Username not available")
	case !free(byEmail):
		return nil, nil, refuse(protocol.StatusInvalid, "Email is not available")
	}
	w := writes{}
	w.remove(byName)
	w.remove(byEmail)
	if a.Username != "" {
		w.remove(a) // a guest who began before, perhaps with a wrong address
	}
	a.Username, a.Email, a.Stage, a.Staged = in.Username, in.Email, stageEmailCode, t.now()
	return a, w.take(a, usernameKey(a.Username), emailKey(a.Email)), nil
}

// guestOf returns the account of a guest who is logged in and has confirmed no e-mail address, which a registration
// then completes, or a new account.
func (t *Tools) guestOf(c *Call) (*account, error) {
	if c.Who.LoggedIn {
		a, err := t.loadAccount(c.Context, c.Who.Account)
		if err == nil && a.Device != "" && (a.Stage == "" || a.Stage == stageEmailCode) {
			return a, nil
		}
		if err != nil && !errors.Is(err, broker.ErrNotFound) {
			return nil, err
		}
	}
	return &account{ID: newAccountID()}, nil
}

// writes gathers one write a key: a key that is freed and taken again in one commit is put.
type writes map[string]broker.Op

// remove frees the names that an abandoned registration holds; a guest keeps the rest of the account. A nil account
// holds nothing.
func (w writes) remove(a *account) {
	if a == nil {
		return
	}
	w[accountKey(a.ID)] = broker.OpDelete(accountKey(a.ID), a.revision)
	if a.Device != "" {
		w.update(&account{ID: a.ID, Device: a.Device, Staged: a.Staged, revision: a.revision})
	}
	w[usernameKey(a.Username)] = broker.OpDelete(usernameKey(a.Username), broker.AnyRevision)
	w[emailKey(a.Email)] = broker.OpDelete(emailKey(a.Email), broker.AnyRevision)
}

// take enters a, to whom keys of names belong from now on, and returns all writes.
func (w writes) take(a *account, keys ...string) []broker.Op {
	for _, key := range keys {
		if _, freed := w[key]; freed {
			w[key] = broker.OpPut(key, []byte(a.ID)) // guarded by the revision of the abandoned account
		} else {
			w[key] = broker.OpCreate(key, []byte(a.ID))
		}
	}
	w.update(a)
	ops := make([]broker.Op, 0, len(w))
	for _, op := range w {
		ops = append(ops, op)
	}
	return ops
}

// update writes the record itself. Revision 0: it must not exist yet.
func (w writes) update(a *account) {
	value, err := json.Marshal(a)
	if err != nil {
		panic(err) // a struct of strings and a time always encodes
	}
	w[accountKey(a.ID)] = broker.OpUpdate(accountKey(a.ID), value, a.revision)
}
