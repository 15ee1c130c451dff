package module

import (
	"context"
	"encoding/json"

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
	Login   string `json:"login"` // the only one that counts from now on; "": none does
	// Revision is that of the record. Where a newer one is read already, that counts: its connections stay.
	Revision uint64 `json:"revision,omitempty"`
}

// replaceLogin closes every connection of the account that speaks for another login than the named one, on all nodes.
// keep, which may be nil, stays.
func (t *Tools) replaceLogin(account, login string, revision uint64, keep Session) {
	t.online.replace(account, keep)
	if !t.together {
		return
	}
	notice := loginNotice{Origin: t.origin, Account: account, Login: login, Revision: revision}
	t.bus.Publish(loginsPattern, protocol.AppendPush(nil, loginsRoute, encoded(notice)), broker.Keep{}, func(_ broker.Position, err error) {
		if err != nil {
			t.log.Error("other nodes were not told of a login: connections of older ones may live on there", "account", account, "error", err)
		}
	})
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
	if len(t.online.sessions(notice.Account)) == 0 {
		return
	}
	if !t.later(func(ctx context.Context) { t.endReplaced(ctx, &notice) }) {
		t.endOlder(notice.Account, logins{Login: notice.Login})
	}
}

// endReplaced closes the connections that a login at another node replaces, by the newest word of it.
func (t *Tools) endReplaced(ctx context.Context, notice *loginNotice) {
	newest := logins{Login: notice.Login}
	if l, revision, err := t.loadLogins(ctx, notice.Account); err == nil && notice.Revision > 0 && revision > notice.Revision {
		newest = l
	}
	t.endOlder(notice.Account, newest)
}

// endOlder closes the connections of an account on this node that speak for a login that does not count.
func (t *Tools) endOlder(account string, newest logins) {
	for _, s := range t.online.sessions(account) {
		if who := s.Who(); who.Account == account && who.Login != "" && !newest.counts(KindSession, who.Login) {
			s.Close(protocol.CloseReplaced)
		}
	}
}

// checkLogins reads the record of every account with connections here, after tellings may have been missed.
func (t *Tools) checkLogins(ctx context.Context) {
	t.heardAgain(ctx, loginsPattern)
	for _, account := range t.online.accounts() {
		l, _, err := t.loadLogins(ctx, account)
		if err != nil {
			t.log.Error("logins cannot be checked after a gap of the bus", "error", err)
			return
		}
		t.endOlder(account, l)
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
