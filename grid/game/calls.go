package game

import (
	"context"
	"fmt"
	"time"
)

// Every call here that changes the game returns when the change is durable and done, or says why it was not. Common errors:
// ErrNotMember, ErrNotOwner, ErrBusy, ErrFault, ErrGone, ErrClosed, broker.ErrDiskFull (nothing was done),
// broker.ErrTimeout (the log does not answer; nothing was done here, and nothing will be unless the node dies now), and
// that of the context, after which the change may still be made.

// member returns the number of a present user plus one, as events have it.
func (m *machine) member(user string) (uint16, error) {
	u := m.users.present(user)
	if u == nil {
		return 0, ErrNotMember
	}
	return uint16(u.Number) + 1, nil
}

// ownerOnly is member for what only the owner may do.
func (m *machine) ownerOnly(user string) (uint16, error) {
	by, err := m.member(user)
	if err == nil && int(by)-1 != m.users.owner {
		err = ErrNotOwner
	}
	return by, err
}

// Join makes somebody a user of the game, or brings one back who left: with the number and, if nobody took it meanwhile,
// the colour from before. Who is in it already stays as they are, so joining again after a lost connection is right. A
// colour that another user has is replaced by a free one, in this game alone. Errors also: ErrFull, ErrLimit, ErrInvalid.
func (g *Game) Join(ctx context.Context, user, name string, colour Colour) (User, error) {
	if err := checkUser(user, name); err != nil {
		return User{}, err
	}
	if colour > AnyColour {
		return User{}, ErrColour
	}
	r, err := g.ask(ctx, func(m *machine) (event, error) {
		if m.users.present(user) == nil {
			if err := within("users_game", m.users.count()+1, g.host.limits.UsersGame); err != nil {
				return event{}, err
			}
			if m.users.count() >= m.mostUsers() {
				return event{}, ErrFull
			}
		}
		return event{kind: evJoin, user: user, name: name, colour: colour}, nil
	})
	return r.user, err
}

// Leave takes a user out of the game. If it was the owner, the game passes to who has been in it longest; if it was the
// last one, a game that is not persistent ends. The user's cells live on.
func (g *Game) Leave(ctx context.Context, user string) error { return g.remove(ctx, user, user) }

// Remove lets the owner send a user away, as if they left.
func (g *Game) Remove(ctx context.Context, owner, user string) error {
	return g.remove(ctx, owner, user)
}

func (g *Game) remove(ctx context.Context, by, user string) error {
	_, err := g.ask(ctx, func(m *machine) (event, error) {
		from, err := m.member(by)
		if by != user && err == nil {
			from, err = m.ownerOnly(by)
		}
		u := m.users.present(user)
		if err == nil && u == nil {
			err = ErrNotMember
		}
		if err != nil {
			return event{}, err
		}
		return event{kind: evLeave, by: from, number: u.Number}, nil
	})
	return err
}

// Start lets the game run. Any user may, unless it was stopped: then only its owner. A game that an internal error paused is
// first loaded again from its log, with a new epoch.
func (g *Game) Start(ctx context.Context, user string) error {
	if g.info.Load().Fault != "" {
		if u, ok := g.info.Load().User(user); !ok || !u.Present {
			return ErrNotMember
		}
		if err := g.reload(ctx); err != nil {
			return err
		}
	}
	return g.setState(ctx, user, Running)
}

// Pause stops the ticks and keeps everything else. Any user may.
func (g *Game) Pause(ctx context.Context, user string) error { return g.setState(ctx, user, Paused) }

// Stop ends ticks and edits until the owner starts the game again. Only for the owner.
func (g *Game) Stop(ctx context.Context, owner string) error { return g.setState(ctx, owner, Stopped) }

func (g *Game) setState(ctx context.Context, user string, s State) error {
	_, err := g.ask(ctx, func(m *machine) (event, error) {
		by, err := m.member(user)
		if err == nil && (s == Stopped || m.state == Stopped) {
			by, err = m.ownerOnly(user)
		}
		return event{kind: evState, by: by, state: s}, err
	})
	return err
}

// Step computes n generations of a paused game, at most Limits.StepGenerations, and returns the generation it has then.
// Watchers get each of them. Any user may. Errors also: ErrRunning, ErrStopped, ErrLimit.
func (g *Game) Step(ctx context.Context, user string, n int) (uint64, error) {
	if n < 1 {
		return 0, fmt.Errorf("%w: %d generations", ErrInvalid, n)
	}
	if err := within("step_generations", n, g.host.limits.StepGenerations); err != nil {
		return 0, err
	}
	type stepped struct {
		generation uint64
		err        error
	}
	answer := make(chan stepped, 1)
	err := g.whenQuiet(func(fault error) {
		if fault == nil {
			fault = g.mayStep(user)
		}
		if fault != nil {
			answer <- stepped{err: fault}
			return
		}
		now := time.Now()
		for range n {
			g.step(now)
		}
		g.sendMarks()
		generation := g.m.generation
		g.snapshotIfDue(time.Since(now))
		g.mark(now, func(err error) { answer <- stepped{generation, err} })
	})
	if err != nil {
		return 0, err
	}
	select {
	case s := <-answer:
		return s.generation, s.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (g *Game) mayStep(user string) error {
	_, err := g.m.member(user)
	switch {
	case err != nil:
		return err
	case g.m.state == Running:
		return ErrRunning
	case g.m.state == Stopped:
		return ErrStopped
	}
	return nil
}

// Settings are what Configure changes; nil leaves as it is.
type Settings struct {
	Name       *string
	Interval   *time.Duration
	Persistent *bool
	Relaxed    *bool
}

// Configure changes the settings of the game. Only for the owner. Errors also: ErrInvalid.
func (g *Game) Configure(ctx context.Context, owner string, s Settings) error {
	_, err := g.ask(ctx, func(m *machine) (event, error) {
		by, err := m.ownerOnly(owner)
		if err != nil {
			return event{}, err
		}
		e := event{kind: evConfigure, by: by, title: m.name, interval: m.interval, persistent: m.persistent, relaxed: m.relaxed}
		if s.Name != nil {
			e.title = *s.Name
		}
		if s.Interval != nil {
			e.interval = *s.Interval
		}
		if s.Persistent != nil {
			e.persistent = *s.Persistent
		}
		if s.Relaxed != nil {
			e.relaxed = *s.Relaxed
		}
		return e, checkSettings(e.title, e.interval, &g.host.limits)
	})
	return err
}

// Recolour gives a user another colour, or one like it when another user has that. Cells that live keep theirs.
func (g *Game) Recolour(ctx context.Context, user string, c Colour) (User, error) {
	if c > AnyColour {
		return User{}, ErrColour
	}
	r, err := g.ask(ctx, func(m *machine) (event, error) {
		by, err := m.member(user)
		return event{kind: evColour, by: by, colour: c}, err
	})
	return r.user, err
}

// End ends the game for everybody and removes it with its history. Only for the owner.
func (g *Game) End(ctx context.Context, owner string) error {
	_, err := g.ask(ctx, func(m *machine) (event, error) {
		by, err := m.ownerOnly(owner)
		return event{kind: evEnd, by: by}, err
	})
	return err
}

// endIfIdle ends a game that is not persistent when nobody has asked or watched for long.
func (g *Game) endIfIdle(now time.Time) {
	g.mu.Lock()
	idle := len(g.watches) == 0 && now.Sub(g.seen) > g.host.limits.IdleEnd
	g.mu.Unlock()
	if !idle || g.info.Load().Persistent {
		return
	}
	limitHit("idle_end")
	_ = g.enqueue(&request{ // refused: it is ending already
		admit: func(m *machine) (event, error) { return event{kind: evEnd}, nil },
		done:  func(result) {},
	})
}
