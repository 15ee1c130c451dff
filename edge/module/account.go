package module

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"gosper/broker"
	"gosper/protocol"
)

const (
	usernameMin = 3   // characters
	passwordMin = 5   // characters
	emailMax    = 254 // bytes, RFC 5321
)

// accountFunctions are the functions of staged registration and of login.
func accountFunctions() []Function {
	return []Function{
		define(Function{Route: "/user/clientCode", Gate: "get_client_code", Class: ClassOpen,
			Doc:     "Gives a client code: a good one comes back unchanged, otherwise a new one is made.",
			Example: `{}`}, clientCode),
		define(Function{Route: "/user/register", Gate: "register", Needs: NeedClientCode, Class: ClassAuth,
			Doc:     "Begins a registration and sends an e-mail code. A guest who is logged in keeps the account.",
			Example: `{"username":"alfred","email":"alfred@example.com"}`}, register),
		define(Function{Route: "/user/loginWithEmailCode", Gate: "login_with_email_code", Needs: NeedClientCode, Class: ClassAuth,
			Doc:     "Logs in with the code of an e-mail; a password can be set then.",
			Example: `{"emailCode":"8c5f5d6e-1f7e-4f0e-9d0c-2f3f0a4f3d57-0a1b2c"}`}, loginWithEmailCode),
		define(Function{Route: "/user/enterNewPassword", Gate: "enter_new_password", Needs: NeedClientCode | NeedLogin, Class: ClassAuth,
			Doc:     "Sets the password and ends every other connection and token of the account.",
			Example: `{"password":"Secret1"}`}, enterNewPassword),
		define(Function{Route: "/user/loginWithPassword", Gate: "login_with_password", Needs: NeedClientCode, Class: ClassAuth,
			Doc:     "Logs in with username and password.",
			Example: `{"username":"alfred","password":"Secret1"}`}, loginWithPassword),
		define(Function{Route: "/user/forgotPassword", Gate: "forgot_password", Needs: NeedClientCode, Class: ClassAuth,
			Doc:     "Sends an e-mail code to the account of a username or address, if there is one.",
			Example: `{"usernameOrEmail":"alfred"}`}, forgotPassword),
		define(Function{Route: "/user/logout", Gate: "logout", Needs: NeedClientCode, Class: ClassWrite,
			Doc:     "Ends the login of this connection; with everywhere, and always through the gate, also all its tokens and other connections.",
			Example: `{"everywhere":false}`}, logout),
	}
}

type clientCodeOut struct {
	ClientCode string `json:"clientCode"`
}

func clientCode(t *Tools, c *Call, _ *empty) (clientCodeOut, error) {
	code := c.ClientCode
	if !t.codes.validClient(code) {
		code = t.codes.newClient()
	}
	return clientCodeOut{code}, nil
}

// stageOut is the answer of the steps of a registration.
type stageOut struct {
	Stage    string `json:"loginStage"`
	Username string `json:"username,omitempty"`
	Session  string `json:"session,omitempty"`
}

type emailCodeIn struct {
	EmailCode  string `json:"emailCode"`
	EmailCode2 string `json:"email_code"`
}

func loginWithEmailCode(t *Tools, c *Call, in *emailCodeIn) (stageOut, error) {
	code := strings.TrimSpace(first(in.EmailCode, in.EmailCode2))
	if code == "" {
		return stageOut{}, refuse(protocol.StatusUnknown, "Email Code is missing")
	}
	if !t.codes.validEmail(code) {
		return stageOut{}, refuse(protocol.StatusInvalid, "Invalid Email Code")
	}
	value, err := t.registry.Take(c.Context, emailCodeKey(code))
	if errors.Is(err, broker.ErrNotFound) {
		return stageOut{}, refuse(protocol.StatusMissing, "Email Registration no longer valid.")
	}
	if err != nil {
		return stageOut{}, err
	}
	var known emailCode
	if err := json.Unmarshal(value, &known); err != nil {
		return stageOut{}, err
	}
	a, err := t.loadAccount(c.Context, known.Account)
	if errors.Is(err, broker.ErrNotFound) {
		return stageOut{}, refuse(protocol.StatusMissing, "User cannot be found.")
	}
	if err != nil {
		return stageOut{}, err
	}
	if a.Email != known.Email || a.Stage != stageEmailCode && !known.Forgot {
		return stageOut{}, refuse(protocol.StatusMissing, "Email Registration no longer valid.")
	}
	return t.confirmEmail(c, a)
}

// confirmEmail moves a registration on after a right code and logs the account in. The stage of a complete account
// stays, so that its old password counts until it sets a new one.
func (t *Tools) confirmEmail(c *Call, a *account) (stageOut, error) {
	var ops []broker.Op
	if a.Stage == stageEmailCode {
		a.Stage = stageNewPassword
		op, err := a.save()
		if err != nil {
			return stageOut{}, err
		}
		ops = append(ops, op)
	}
	session, _, err := t.logIn(c, a, t.options.SeveralLogins, ops...)
	return stageOut{Stage: stageNewPassword, Username: a.Username, Session: session}, err
}

type passwordIn struct {
	Password string `json:"password"`
}

func enterNewPassword(t *Tools, c *Call, in *passwordIn) (stageOut, error) {
	a, err := t.loadAccount(c.Context, c.Who.Account)
	if errors.Is(err, broker.ErrNotFound) {
		return stageOut{}, refuse(protocol.StatusMissing, "User cannot be found.")
	}
	if err != nil {
		return stageOut{}, err
	}
	if a.Stage != stageComplete && a.Stage != stageNewPassword {
		return stageOut{}, refuse(protocol.StatusMissing, "Cannot change password yet")
	}
	if err := checkPassword(in.Password); err != nil {
		return stageOut{}, err
	}
	if a.Password, err = t.passwords.hash(c.Context, in.Password); err != nil {
		return stageOut{}, err
	}
	a.Stage = stageComplete
	op, err := a.save()
	if err != nil {
		return stageOut{}, err
	}
	session, _, err := t.logIn(c, a, false, op) // whoever knew the old password is out
	return stageOut{Stage: stageComplete, Session: session}, err
}

// checkPassword checks a new password. A refusal never holds the password.
func checkPassword(password string) error {
	if utf8.RuneCountInString(password) < passwordMin {
		return refuse(protocol.StatusInvalid, "Password must be at least 5 characters long")
	}
	if len(password) > passwordMax {
		return refuse(protocol.StatusTooMuch, "Password must be at most 256 bytes long")
	}
	var number, lower, upper bool
	for _, r := range password {
		number = number || unicode.IsDigit(r)
		lower = lower || unicode.IsLower(r)
		upper = upper || unicode.IsUpper(r)
	}
	if !number || !lower || !upper {
		return refuse(protocol.StatusInvalid, "Password must contain numbers, lowercase and uppercase")
	}
	return nil
}

type credentialsIn struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// loggedInOut is the answer of a login.
type loggedInOut struct {
	Session string `json:"session,omitempty"`
}

func loginWithPassword(t *Tools, c *Call, in *credentialsIn) (loggedInOut, error) {
	switch {
	case strings.TrimSpace(in.Username) == "":
		return loggedInOut{}, refuse(protocol.StatusInvalid, "username is missing")
	case in.Password == "":
		return loggedInOut{}, refuse(protocol.StatusInvalid, "password is missing")
	case c.Who.LoggedIn:
		return loggedInOut{}, refuse(protocol.StatusInvalid, "Already logged in")
	}
	a, err := t.authenticate(c, in.Username, in.Password)
	if err != nil {
		return loggedInOut{}, err
	}
	session, _, err := t.logInKnown(c, a)
	return loggedInOut{session}, err
}

// authenticate returns the account of right credentials. A wrong name and a wrong password give the same answer
// after the same time.
func (t *Tools) authenticate(c *Call, nameOrEmail, password string) (*account, error) {
	if !t.limits.allowRate(caller{ClassAuth, "name", fold(strings.TrimSpace(nameOrEmail))}, t.options.GuessRate, t.now()) {
		return nil, refuse(protocol.StatusRefused, "too many tries for this name, wait a little")
	}
	a, err := t.findByName(c.Context, nameOrEmail)
	if err != nil {
		return nil, err
	}
	kept := ""
	if a != nil {
		kept = a.Password
	}
	if len(password) > passwordMax {
		password = password[:passwordMax]
		kept = "" // no such password was ever kept
	}
	right, err := t.passwords.check(c.Context, password, kept)
	if err != nil {
		return nil, err
	}
	if !right {
		return nil, faultCredentials
	}
	return a, nil
}

var faultCredentials = refuseGate(protocol.StatusInvalid, 1, "Incorrect credentials")

// logIn makes the newest login of an account in one commit with ops, and lets the call's connection speak for it. It
// returns a session token and the login's id. The player of the connection stays when the account is the same. share
// is that of newLogin.
func (t *Tools) logIn(c *Call, a *account, share bool, ops ...broker.Op) (session, login string, err error) {
	who := Identity{Account: a.ID, ClientCode: c.ClientCode, LoggedIn: true}
	if c.Who.Account == a.ID {
		who.World, who.Name, who.Family = c.Who.World, c.Who.Name, c.Who.Family
	}
	if fault := t.banned(&who); fault != nil {
		return "", "", fault
	}
	if c.Session != nil && !t.online.attach(a.ID, c.Session) {
		return "", "", refuse(protocol.StatusRefused, "too many connections of this account")
	}
	if who.Login, err = t.newLogin(c.Context, a.ID, c.Session, share, ops...); err != nil {
		if c.Session != nil {
			t.online.attach(c.Who.Account, c.Session)
		}
		return "", "", err
	}
	if _, err := t.speakAs(c, &who, nil); err != nil {
		return "", "", err
	}
	if c.Session != nil { // a login that came meanwhile may not have found this connection: see sessionResume
		if l, _, err := t.loadLogins(c.Context, a.ID); err == nil && !l.counts(KindSession, who.Login) {
			c.Session.Close(protocol.CloseReplaced)
			return "", "", refuse(protocol.StatusExpired, messageExpired)
		}
	}
	session, err = t.sessionToken(who, who.Login)
	return session, who.Login, err
}

// logInKnown is logIn for who knew the password of a, unless the account has another one since.
func (t *Tools) logInKnown(c *Call, a *account) (session, login string, err error) {
	err = again(func() error {
		now, err := t.loadAccount(c.Context, a.ID)
		if err != nil {
			return err
		}
		if now.Password != a.Password {
			return faultCredentials
		}
		same, err := now.save()
		if err != nil {
			return err
		}
		session, login, err = t.logIn(c, now, t.options.SeveralLogins, same)
		return err
	})
	return session, login, err
}

type forgotIn struct {
	UsernameOrEmail  string `json:"usernameOrEmail"`
	UsernameOrEmail2 string `json:"username_or_email"`
}

// forgotPassword answers at once and looks for the account afterwards, so that neither the answer nor its time tells
// whether there is one.
func forgotPassword(t *Tools, _ *Call, in *forgotIn) (empty, error) {
	name := strings.TrimSpace(first(in.UsernameOrEmail, in.UsernameOrEmail2))
	if name == "" {
		return empty{}, refuse(protocol.StatusMissing, "username_or_email is required")
	}
	if !t.later(func(ctx context.Context) { t.sendForgotten(ctx, name) }) {
		return empty{}, faultBusy
	}
	return empty{}, nil
}

// sendForgotten puts an e-mail with a code in the outbox if the account exists.
func (t *Tools) sendForgotten(ctx context.Context, name string) {
	a, err := t.findByName(ctx, name)
	if err == nil && (a == nil || a.Email == "") {
		return
	}
	if err == nil && !t.limits.allowRate(caller{ClassAuth, "forgot", a.ID}, Rate{PerSecond: 1.0 / 60, Burst: 3}, t.now()) {
		return // the owner's mailbox must not be flooded by strangers
	}
	var code string
	if err == nil {
		code, err = t.newEmailCode(ctx, emailCode{Account: a.ID, Email: a.Email, Forgot: true})
	}
	if err == nil {
		err = t.commitWithEmail(ctx, Email{Template: EmailForgot, To: a.Email, Username: a.Username, Code: code, Created: t.now()})
	}
	if err != nil {
		t.log.Error("forgotten password: e-mail was not written", "error", err)
	}
}

type logoutIn struct {
	Everywhere bool   `json:"everywhere"`
	Token      string `json:"token"` // through the gate, where there is no connection that is logged in
}

func logout(t *Tools, c *Call, in *logoutIn) (empty, error) {
	account, everywhere := c.Who.Account, in.Everywhere && c.Who.LoggedIn
	if c.Door == DoorGate {
		claims, err := t.validate(c.Context, in.Token)
		if errors.Is(err, ErrToken) {
			return empty{}, faultBadToken
		}
		if err != nil {
			return empty{}, err
		}
		account, everywhere = claims.Account, claims.Account != ""
	}
	if everywhere {
		if err := t.store.Delete(c.Context, loginKey(account), broker.AnyRevision); err != nil && !errors.Is(err, broker.ErrNotFound) {
			return empty{}, err
		}
		t.replaceLogin(c.Context, account, "", c.Session)
	}
	_, err := t.speakAs(c, &Identity{ClientCode: c.ClientCode}, nil)
	return empty{}, err
}
