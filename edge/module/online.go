package module

import (
	"slices"
	"sync"

	"gosper/protocol"
)

// accountConnections is the most connections of one account at a time.
const accountConnections = 64

// online knows which connections speak for an account, so that a new login can close those of the old one.
type online struct {
	mu        sync.Mutex
	byAccount map[string][]Session
	bySession map[uint64]string // session id -> account
}

func newOnline() *online {
	return &online{byAccount: make(map[string][]Session), bySession: make(map[uint64]string)}
}

// attach notes that s speaks for account, and for no other. It returns false when the account has too many
// connections. An empty account only forgets what s spoke for.
func (o *online) attach(account string, s Session) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if old, ok := o.bySession[s.ID()]; ok {
		if old == account {
			return true
		}
		o.drop(s.ID(), old)
	}
	if account == "" {
		return true
	}
	if len(o.byAccount[account]) >= accountConnections {
		return false
	}
	o.byAccount[account] = append(o.byAccount[account], s)
	o.bySession[s.ID()] = account
	return true
}

// detach forgets a connection that has gone.
func (o *online) detach(id uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if account, ok := o.bySession[id]; ok {
		o.drop(id, account)
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

// replace closes every connection of the account but keep, which may be nil.
func (o *online) replace(account string, keep Session) {
	o.mu.Lock()
	sessions := slices.Clone(o.byAccount[account])
	o.mu.Unlock()
	for _, s := range sessions {
		if keep == nil || s.ID() != keep.ID() {
			s.Close(protocol.CloseReplaced)
		}
	}
}

// count returns how many accounts and connections of accounts there are.
func (o *online) count() (accounts, connections int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.byAccount), len(o.bySession)
}
