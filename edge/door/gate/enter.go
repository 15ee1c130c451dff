package gate

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"time"

	"gosper/broker"
)

// idPrefix begins the registry keys of gates; the gate id follows.
const idPrefix = "gates.id."

const (
	idAge   = 10 * time.Second // a gate that is silent for so long has gone
	idBeat  = time.Second
	idsMost = 10_000 // gates of one registry
)

// Enter enters the gate in the registry under the first free id from 0 up, with the address at which workers reach its
// worker port, and keeps it there until Close. It returns when the gate is entered; on an error the gate goes on
// trying, and until then jobs are refused.
func (g *Gate) Enter(ctx context.Context, addr string) error {
	id, err := g.claim(ctx, addr)
	g.work.Go(func() { g.beat(id, addr) })
	return err
}

// claim takes the first free id.
func (g *Gate) claim(ctx context.Context, addr string) (id string, err error) {
	for i := range idsMost {
		id = strconv.Itoa(i)
		err = g.config.Registry.Create(ctx, idPrefix+id, []byte(addr), idAge)
		if err == nil {
			g.id.Store(&id)
			return id, nil
		}
		if !errors.Is(err, broker.ErrExists) {
			break
		}
	}
	return "", err
}

// beat refreshes the key each second, and takes it away at the end.
func (g *Gate) beat(id, addr string) {
	clock := time.NewTicker(idBeat)
	defer clock.Stop()
	for {
		select {
		case <-clock.C:
			id = g.refresh(id, addr)
		case <-g.end.Done():
			g.depart(id)
			return
		}
	}
}

// refresh keeps the key alive, or claims one when it is lost. It returns the id, "" for none.
func (g *Gate) refresh(id, addr string) string {
	ctx, cancel := context.WithTimeout(g.end, idBeat)
	defer cancel()
	if id != "" {
		err := g.config.Registry.Touch(ctx, idPrefix+id, idAge)
		if !errors.Is(err, broker.ErrNotFound) {
			return id // an error of the moment: the key has ten beats to live
		}
		g.id.Store(nil)
		g.log.Warn("gate: the key in the registry was lost", "gate", id)
	}
	id, err := g.claim(ctx, addr)
	if err != nil {
		g.log.Warn("gate: it could not be entered in the registry", "error", err)
	}
	return id
}

func (g *Gate) depart(id string) {
	if id == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), idBeat)
	defer cancel()
	if err := g.config.Registry.Delete(ctx, idPrefix+id); err != nil {
		g.log.Warn("gate: its key could not be deleted, it ends by itself", "gate", id, "error", err)
	}
}

// Reachable returns the address under which others reach a listener: its own, or with an address of this machine when it
// listens on all of them.
func Reachable(listens net.Addr) string {
	at, err := netip.ParseAddrPort(listens.String())
	if err != nil || !at.Addr().IsUnspecified() {
		return listens.String()
	}
	return netip.AddrPortFrom(ownAddr(), at.Port()).String()
}

// ownAddr returns the first address of this machine that is not local to it; without one, loopback.
func ownAddr() netip.Addr {
	list, _ := net.InterfaceAddrs() // without a list: loopback
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().IsGlobalUnicast() {
			return p.Addr()
		}
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}
