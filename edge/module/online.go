package module

import (
	"slices"
	"sync"
	"time"

	"gosper/protocol"
)

// accountConnections is the most connections of one account at a time.
const accountConnections = 64

// online knows which connections speak for an account, so that a new login can close those of the old one.
//
// A connection that has gone says so (Dispatcher.Left), unless that was in the middle of a call that changed its account.
// Such a one is found by what a gone connection has lost: every subscription. The map is swept when it has doubled.
type online struct {
	mu        sync.Mutex
	byAccount map[string][]Session
	bySession map[uint64]attachment
	sweep     int // size of bySession at which to sweep next
}

// attachment is one connection of an account.
type attachment struct {
	account string
	session Session
	since   time.Time
}

const (
	onlineSweep = 1024        // a smaller map is not swept
	onlineGrace = time.Minute // a fresh attachment may not have its subscriptions yet
)

func newOnline() *online {
	return &online{byAccount: make(map[string][]Session), bySession: make(map[uint64]attachment), sweep: onlineSweep}
}

// attach notes that s speaks for account, and for no other. It returns false when the account has too many
// connections. An empty account only forgets what s spoke for.
func (o *online) attach(account string, s Session) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if old, ok := o.bySession[s.ID()]; ok {
		if old.account == account {
			return true
		}
		o.drop(s.ID(), old.account)
	}
	if account == "" {
		return true
	}
	if len(o.byAccount[account]) >= accountConnections {
		o.sweepAccount(account)
		if len(o.byAccount[account]) >= accountConnections {
			return false
		}
	}
	o.byAccount[account] = append(o.byAccount[account], s)
	o.bySession[s.ID()] = attachment{account, s, time.Now()}
	if len(o.bySession) >= o.sweep {
		for account := range o.byAccount {
			o.sweepAccount(account)
		}
		o.sweep = max(onlineSweep, 2*len(o.bySession))
	}
	return true
}

// sweepAccount forgets the connections of an account that have gone. The caller holds mu.
func (o *online) sweepAccount(account string) {
	for _, s := range slices.Clone(o.byAccount[account]) {
		if gone(s) && time.Since(o.bySession[s.ID()].since) > onlineGrace {
			o.drop(s.ID(), account)
		}
	}
}

// gone says whether a connection that had subscriptions has ended.
func gone(s Session) bool { return len(s.Subscriptions()) == 0 }

// left notes that a connection has gone or speaks as somebody else from now on; only the first is of interest.
func (o *online) left(id uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if a, ok := o.bySession[id]; ok && gone(a.session) {
		o.drop(id, a.account)
	}
}

// drop removes one connection of one account. The caller holds mu.
func (o *online) drop(id uint64, account string) {
	delete(o.bySession, id)
	rest := slices.DeleteFunc(o.byAccount[account], func(s Session) bool { return s.ID() == id })
	if len(rest) == 0 {
		delete(o.byAccount, account)
		return
	}
	o.byAccount[account] = rest
}

// end closes and forgets every connection of the account.
func (o *online) end(account string, code protocol.CloseCode) {
	o.mu.Lock()
	sessions := slices.Clone(o.byAccount[account])
	for _, s := range sessions {
		o.drop(s.ID(), account)
	}
	o.mu.Unlock()
	for _, s := range sessions {
		s.Close(code)
	}
}

// sessions lists the connections of an account.
func (o *online) sessions(account string) []Session {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.byAccount[account])
}

// places lists the worlds in which accounts are with connections of this node.
func (o *online) places() map[room]bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	places := make(map[room]bool)
	for _, a := range o.bySession {
		if who := a.session.Who(); who.World != "" {
			places[room{who.World, a.account}] = true
		}
	}
	return places
}

// count returns how many accounts and connections of accounts there are.
func (o *online) count() (accounts, connections int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.byAccount), len(o.bySession)
}
