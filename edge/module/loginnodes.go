package module

import (
	"context"
	"encoding/json"
	"slices"

	"gosper/broker"
	"gosper/protocol"
)

// A login on one node ends the connections of older logins on all nodes: those of the same node at once, the others when
// they hear of it. Tokens of older logins count nowhere, since every node reads the same record.

// loginsPattern is the subject on which nodes tell each other of logins. No client can follow it.
const loginsPattern = "nodes.logins"

const loginsRoute = "/nodes/logins"

// loginNotice is the content of a telling.
type loginNotice struct {
	Origin  string `json:"origin"` // the node that has closed its own
	Account string `json:"account"`
	Login   string `json:"login"` // what counts from now on, for a node that cannot read the record; "": nothing does
}

// replaceLogin closes every connection of the account, on all nodes, that speaks for what its record does not name. login is what counts as
// far as the caller knows. keep, which may be nil, stays.
func (t *Tools) replaceLogin(ctx context.Context, account, login string, keep Session) {
	t.endReplaced(ctx, account, login, slices.DeleteFunc(t.speakers(account), func(s speaker) bool { return keep != nil && s.ID() == keep.ID() }))
	if !t.together {
		return
	}
	notice := loginNotice{Origin: t.origin, Account: account, Login: login}
	t.bus.Publish(loginsPattern, protocol.AppendPush(nil, loginsRoute, encoded(notice)), broker.Keep{}, func(_ broker.Position, err error) {
		if err != nil {
			t.log.Error("other nodes were not told of a login: connections of older ones may live on there", "account", account, "error", err)
		}
	})
}

// speaker is a connection of an account, and the login for which it spoke when it was looked at; "" is one that a service named.
type speaker struct {
	Session
	login string
}

// speakers lists the connections on this node that speak for an account.
func (t *Tools) speakers(account string) (all []speaker) {
	for _, s := range t.online.sessions(account) {
		if who := s.Who(); who.Account == account {
			all = append(all, speaker{s, who.Login})
		}
	}
	return all
}

// withLogin is speakers without those that a service named: whether they are older than a login elsewhere, nobody knows.
func (t *Tools) withLogin(account string) []speaker {
	return slices.DeleteFunc(t.speakers(account), func(s speaker) bool { return s.login == "" })
}

// endReplaced closes those of the speakers that the account's record does not name; if it cannot be read, those for another login than the
// given one. They were looked at before the record is read, so one that is not in it was replaced. A connection that comes later
// reads the record itself.
func (t *Tools) endReplaced(ctx context.Context, account, login string, speakers []speaker) {
	if len(speakers) == 0 {
		return
	}
	newest, _, err := t.loadLogins(ctx, account)
	if err != nil {
		newest = logins{Login: login}
	}
	newest.end(speakers)
}

// end closes the speakers whose login does not count.
func (l *logins) end(speakers []speaker) {
	for _, s := range speakers {
		if !l.counts(KindSession, s.login) && s.Who().Login == s.login {
			s.Close(protocol.CloseReplaced)
		}
	}
}

// followLogins begins to listen to logins at other nodes.
func (t *Tools) followLogins() error {
	subscription, err := t.bus.Subscribe(loginsPattern, broker.Handler{Message: t.hearLogin, Gap: func(string) { t.later(t.checkLogins) }})
	if err == nil {
		t.endLogins = subscription.Unsubscribe
	}
	return err
}

// hearLogin takes a telling of another node. It does not block.
func (t *Tools) hearLogin(m *broker.Message) {
	push, err := protocol.ParsePush(m.Data)
	var notice loginNotice
	if err != nil || push.Route != loginsRoute || json.Unmarshal(push.Content, &notice) != nil || notice.Origin == t.origin {
		return
	}
	speakers := t.withLogin(notice.Account)
	if len(speakers) == 0 {
		return
	}
	if !t.later(func(ctx context.Context) { t.endReplaced(ctx, notice.Account, notice.Login, speakers) }) {
		(&logins{Login: notice.Login}).end(speakers)
	}
}

// checkLogins reads the record of every account with connections here, after tellings may have been missed.
func (t *Tools) checkLogins(ctx context.Context) {
	t.heardAgain(ctx, loginsPattern)
	for _, account := range t.online.accounts() {
		speakers := t.withLogin(account)
		l, _, err := t.loadLogins(ctx, account)
		if err != nil {
			t.log.Error("logins cannot be checked after a gap of the bus", "error", err)
			return
		}
		l.end(speakers)
	}
}

// heardAgain waits, after a gap of the bus, until what is published to the subject is heard again: whatever was published before
// that is in the Store by then. When the bus cannot say so it has lost its link once more, and another gap follows.
func (t *Tools) heardAgain(ctx context.Context, subject string) {
	if _, err := t.bus.History(ctx, subject, broker.Position{}, 0); err != nil {
		t.log.Warn("after a gap of the bus it is not yet sure that other nodes are heard again", "subject", subject, "error", err)
	}
}

// accounts lists those with connections on this node.
func (o *online) accounts() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := make([]string, 0, len(o.byAccount))
	for account := range o.byAccount {
		all = append(all, account)
	}
	return all
}
