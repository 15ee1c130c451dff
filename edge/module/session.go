package module

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"gosper/broker"
	"gosper/protocol"
)

// sessionFunctions give a connection its identity: by nonce, or by the token of an earlier connection.
func sessionFunctions() []Function {
	return []Function{
		define(Function{Route: protocol.RouteRegister, Gate: "register_session", Needs: NeedConnection, Class: ClassOpen,
			Doc:     "Takes a nonce of /chat/token or of a trusted service and speaks as the player it names.",
			Example: `{"nonce":"263882790666882119330412398567834650213"}`}, sessionRegister),
		define(Function{Route: protocol.RouteResume, Gate: "resume_session", Needs: NeedConnection, Class: ClassOpen,
			Doc:     "Comes back with a session token; named positions are followed by what was missed.",
			Example: `{"token":"eyJ…","positions":[{"subject":"chat.0.public","epoch":7,"offset":42}]}`}, sessionResume),
	}
}

// sessionOut is the answer of every function that changes who a connection speaks as.
type sessionOut struct {
	Account  string             `json:"account,omitempty"`
	Name     string             `json:"name,omitempty"`
	World    string             `json:"world,omitempty"`
	Family   string             `json:"family,omitempty"`
	LoggedIn bool               `json:"loggedIn"`
	Session  string             `json:"session"`
	Subjects []protocol.Resumed `json:"subjects"`
}

// newSessionOut returns the answer for who, with a fresh session token.
func (t *Tools) newSessionOut(who Identity, subjects []protocol.Resumed) (sessionOut, error) {
	token, err := t.sessionToken(who, who.Login)
	if subjects == nil {
		subjects = []protocol.Resumed{}
	}
	return sessionOut{Account: who.Account, Name: who.Name, World: who.World, Family: who.Family,
		LoggedIn: who.LoggedIn, Session: token, Subjects: subjects}, err
}

// subjectsOf lists what an identity gets without asking.
func subjectsOf(who Identity) []string {
	var subjects []string
	if who.World != "" {
		subjects = append(subjects, protocol.ChatSubject(who.World, ""))
		if who.Family != "" {
			subjects = append(subjects, protocol.ChatSubject(who.World, who.Family))
		}
	}
	if who.Account != "" {
		subjects = append(subjects, protocol.UserSubject(who.Account))
	}
	return subjects
}

// mayRead says whether an identity may get a subject. It guards every way a client can name one.
func (t *Tools) mayRead(who Identity, subject string) bool {
	return slices.Contains(subjectsOf(who), subject) ||
		who.World != "" && (subject == protocol.PresenceSubject(who.World) || t.isGame(subject))
}

// speakAs makes the call's connection speak as who: it gets the subjects of who, from the named positions on, and
// nothing that only the former identity may read. The family of who becomes the one that its player is a member of. Without
// a connection (gate, HTTP) nothing else happens. When it fails the connection speaks as before.
func (t *Tools) speakAs(c *Call, who *Identity, since []protocol.Position) ([]protocol.Resumed, error) {
	s := c.Session
	if s == nil {
		return nil, t.settleFamily(c.Context, who)
	}
	if !t.online.attach(who.Account, s) {
		return nil, refuse(protocol.StatusRefused, "too many connections of this account")
	}
	l := t.families.rooms.lock(s.ID())
	l.Lock()
	defer l.Unlock()
	out, err := t.speakLocked(c, who, since)
	if err != nil {
		t.online.attach(c.Who.Account, s)
	}
	return out, err
}

// speakLocked is speakAs for a connection. The caller holds its lock.
func (t *Tools) speakLocked(c *Call, who *Identity, since []protocol.Position) ([]protocol.Resumed, error) {
	if err := t.settleFamily(c.Context, who); err != nil {
		return nil, err
	}
	s := c.Session
	if fault := t.banned(who); fault != nil { // looked for after attach, so that a ban at this moment finds the connection or is found
		return nil, fault
	}
	had := s.Subscriptions()
	subjects := subjectsOf(*who)
	for _, p := range since {
		if t.mayRead(*who, p.Subject) && !slices.Contains(subjects, p.Subject) {
			subjects = append(subjects, p.Subject)
		}
	}
	out, err := t.subscribe(c.Context, s, subjects, had, since)
	if err != nil {
		return nil, err
	}
	s.SetIdentity(*who)
	for _, subject := range had {
		if !t.mayRead(*who, subject) {
			s.Unsubscribe(subject)
		}
	}
	return out, nil
}

// subscribe adds subjects to a connection, all or none of the new ones.
func (t *Tools) subscribe(ctx context.Context, s Session, subjects, had []string, since []protocol.Position) ([]protocol.Resumed, error) {
	out := make([]protocol.Resumed, 0, len(subjects))
	for i, subject := range subjects {
		var from broker.Position
		for _, p := range since {
			if p.Subject == subject {
				from = broker.Position{Epoch: p.Epoch, Offset: p.Offset}
			}
		}
		at, recovered, err := s.Subscribe(ctx, subject, from)
		if err != nil {
			for _, undo := range subjects[:i] {
				if !slices.Contains(had, undo) {
					s.Unsubscribe(undo)
				}
			}
			return nil, err
		}
		out = append(out, protocol.Resumed{Position: protocol.Position{Subject: subject, Epoch: at.Epoch, Offset: at.Offset}, Recovered: recovered})
	}
	return out, nil
}

type registerNonceIn struct {
	Nonce string `json:"nonce"`
}

func sessionRegister(t *Tools, c *Call, in *registerNonceIn) (sessionOut, error) {
	who, err := t.redeemPlayer(c.Context, in.Nonce)
	if err != nil {
		return sessionOut{}, err
	}
	who.ClientCode = c.ClientCode
	subjects, err := t.speakAs(c, &who, nil)
	if err != nil {
		return sessionOut{}, err
	}
	if err := t.checkLogin(c.Context, who); err != nil { // again: see sessionResume
		c.Session.Close(protocol.CloseReplaced)
		return sessionOut{}, err
	}
	return t.newSessionOut(who, subjects)
}

func sessionResume(t *Tools, c *Call, in *protocol.ResumeRequest) (sessionOut, error) {
	if in.Token == "" {
		return sessionOut{}, refuse(protocol.StatusMissing, "token is missing")
	}
	if len(in.Positions) > t.options.ResumePositions {
		return sessionOut{}, refuse(protocol.StatusTooMuch, "too many positions")
	}
	claims, err := t.validate(c.Context, in.Token)
	if errors.Is(err, ErrToken) {
		return sessionOut{}, refuse(protocol.StatusExpired, messageExpired)
	}
	if err != nil {
		return sessionOut{}, err
	}
	who := claims.identity(c.ClientCode)
	subjects, err := t.speakAs(c, &who, in.Positions)
	if err != nil {
		return sessionOut{}, err
	}
	// A login that came between the check above and speakAs did not know this connection: check again.
	if _, err := t.validate(c.Context, in.Token); err != nil {
		c.Session.Close(protocol.CloseReplaced)
		return sessionOut{}, refuse(protocol.StatusExpired, messageExpired)
	}
	return t.newSessionOut(who, subjects)
}

// Nonces live in the Registry under nonce.<key>, with their payload as a JSON object of texts. The payload of a nonce
// that lets a player in has world, gn (the name) and perhaps fn (the family), uid and lid.
func nonceKey(nonce string) string { return "nonce." + protocol.EscapeToken(nonce) }

// nonceMax is the longest nonce, and payloadMax the largest payload, in bytes.
const (
	nonceMax   = 128
	payloadMax = 16 << 10
)

// registerNonce keeps a payload for one redemption. A nonce that is still open is refused with broker.ErrExists.
func (t *Tools) registerNonce(ctx context.Context, nonce string, payload map[string]string) error {
	value, err := json.Marshal(payload)
	if err != nil {
		return err
	}
	return t.registry.Create(ctx, nonceKey(nonce), value, t.options.ChatNonceAge)
}

// redeemPlayer takes a nonce that names a player. A nonce of another kind is left alone.
func (t *Tools) redeemPlayer(ctx context.Context, nonce string) (Identity, error) {
	invalid := refuse(protocol.StatusInvalid, "nonce is not valid")
	if nonce == "" || len(nonce) > nonceMax {
		return Identity{}, invalid
	}
	value, err := t.registry.Get(ctx, nonceKey(nonce))
	if err == nil {
		if _, ok := playerOf(value); !ok {
			return Identity{}, invalid
		}
		value, err = t.registry.Take(ctx, nonceKey(nonce))
	}
	if errors.Is(err, broker.ErrNotFound) {
		return Identity{}, invalid
	}
	if err != nil {
		return Identity{}, err
	}
	who, ok := playerOf(value)
	if !ok {
		return Identity{}, invalid
	}
	return who, t.checkLogin(ctx, who)
}

// checkLogin refuses a player whose login was replaced after the nonce was made.
func (t *Tools) checkLogin(ctx context.Context, who Identity) error {
	if who.Login == "" {
		return nil
	}
	l, _, err := t.loadLogins(ctx, who.Account)
	if err == nil && !l.counts(KindSession, who.Login) {
		err = refuse(protocol.StatusInvalid, "nonce is not valid")
	}
	return err
}

// playerOf reads who a nonce's payload names.
func playerOf(value []byte) (who Identity, ok bool) {
	var p map[string]string
	if json.Unmarshal(value, &p) != nil {
		return who, false
	}
	who = Identity{Account: p["uid"], Login: p["lid"], World: p["world"], Name: first(p["gn"], p["name"]), Family: first(p["fn"], p["family"])}
	who.LoggedIn = who.Account != "" && who.Login != ""
	if who.Account != "" && !protocol.ValidName(who.Account) {
		return who, false
	}
	return who, protocol.ValidName(who.World) && protocol.ValidDisplayName(who.Name) &&
		(who.Family == "" || protocol.ValidName(who.Family)) && strings.TrimSpace(who.Name) == who.Name
}

// payloadOf is the opposite of playerOf.
func payloadOf(who Identity) map[string]string {
	p := map[string]string{"world": who.World, "gn": who.Name, "fn": who.Family}
	if who.Account != "" {
		p["uid"], p["lid"] = who.Account, who.Login
	}
	return p
}
