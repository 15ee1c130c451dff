package module

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"gosper/broker"
	"gosper/broker/chain"
	"gosper/broker/post"
	"gosper/edge/config"
	"gosper/grid/game"
)

// Options are the figures of the function table. DefaultOptions returns all defaults; a zero field is taken as it
// stands (no limit for a rate, an error from Validate where a figure must be positive).
type Options struct {
	Workers     int           // goroutines that run functions
	Queue       int           // calls that may wait for a worker; more are answered "busy"
	CallTimeout time.Duration // a call not answered by then is answered "timed out"

	PasswordWorkers int // passwords hashed at once, 19 MiB and 32 ms of one core each
	PasswordQueue   int // calls that may wait for that

	TokenAge      time.Duration // validity of login and session tokens
	ChatNonceAge  time.Duration // validity of a nonce of /chat/token
	NonceAge      time.Duration // longest and default validity of a nonce registered by a service
	EmailCodeAge  time.Duration // validity of an e-mail code; after it an unfinished registration may be taken over
	SeveralLogins bool          // keep older logins of an account instead of replacing them

	TextBytes       int         // longest chat text
	ChatKeep        broker.Keep // history of every chat subject
	HistoryMax      int         // most messages one /chat/history returns
	PresenceNames   int         // worlds with more players tell counts only, not names
	PresenceBatch   time.Duration
	MailOutbox      int // e-mails that may wait to be sent; more are refused
	ResumePositions int // positions one /session/resume may name

	GamePage int // most games or events one page of a list has
	GameText int // bytes of a pattern's text and of a past generation, in either direction

	ReadRate, WriteRate, ChatRate, AuthRate Rate // a caller and class; AuthRate counts client addresses
	EditRate, LookRate                      Rate // calls and lines that draw; patterns and past generations
	GuessRate                               Rate // password tries for one account name, from anywhere
}

// DefaultOptions returns the defaults.
func DefaultOptions() Options {
	return Options{
		Workers:         64,
		Queue:           16384,
		CallTimeout:     10 * time.Second,
		PasswordWorkers: max(1, runtime.GOMAXPROCS(0)/2),
		PasswordQueue:   64,
		TokenAge:        30 * 24 * time.Hour,
		ChatNonceAge:    120 * time.Second,
		NonceAge:        30 * 24 * time.Hour,
		EmailCodeAge:    4 * time.Hour,
		TextBytes:       2048,
		ChatKeep:        broker.Keep{Messages: 200, Age: 24 * time.Hour},
		HistoryMax:      200,
		PresenceNames:   200,
		PresenceBatch:   100 * time.Millisecond,
		MailOutbox:      10000,
		ResumePositions: 64,
		GamePage:        100,
		GameText:        512 << 10,
		ReadRate:        Rate{50, 100},
		WriteRate:       Rate{20, 60},
		ChatRate:        Rate{20, 60},
		AuthRate:        Rate{5, 60},
		EditRate:        Rate{2000, 4000},
		LookRate:        Rate{5, 20},
		GuessRate:       Rate{0.2, 10},
	}
}

// Validate names the first field that cannot be.
func (o *Options) Validate() error {
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"Workers", int64(o.Workers)}, {"Queue", int64(o.Queue)}, {"CallTimeout", int64(o.CallTimeout)},
		{"PasswordWorkers", int64(o.PasswordWorkers)}, {"PasswordQueue", int64(o.PasswordQueue)},
		{"TokenAge", int64(o.TokenAge / time.Second)}, {"ChatNonceAge", int64(o.ChatNonceAge)}, {"NonceAge", int64(o.NonceAge)},
		{"EmailCodeAge", int64(o.EmailCodeAge)}, {"TextBytes", int64(o.TextBytes)}, {"HistoryMax", int64(o.HistoryMax)},
		{"PresenceBatch", int64(o.PresenceBatch)}, {"MailOutbox", int64(o.MailOutbox)}, {"ResumePositions", int64(o.ResumePositions)},
		{"GamePage", int64(o.GamePage)}, {"GameText", int64(o.GameText)},
	} {
		if f.value <= 0 {
			return fmt.Errorf("%s must be positive", f.name)
		}
	}
	if o.PresenceNames < 0 || o.ChatKeep.Messages < 0 || o.ChatKeep.Age < 0 {
		return errors.New("PresenceNames and ChatKeep must not be negative")
	}
	for _, r := range []struct {
		name string
		Rate
	}{{"ReadRate", o.ReadRate}, {"WriteRate", o.WriteRate}, {"ChatRate", o.ChatRate}, {"AuthRate", o.AuthRate},
		{"EditRate", o.EditRate}, {"LookRate", o.LookRate}, {"GuessRate", o.GuessRate}} {
		if r.PerSecond < 0 || r.Burst < 0 {
			return fmt.Errorf("%s must not be negative", r.name)
		}
	}
	return nil
}

// Config is what a Table is made of. All engines are the caller's: closing the Table leaves them open.
type Config struct {
	Options
	Store     broker.Store
	Registry  broker.Registry
	Bus       broker.Bus
	Games     *game.Host      // nil: a node without games
	Nodes     GameNodes       // that run games together with this one; nil: there are no others
	GameMade  func(game.ID)   // told of every new game, of which Games sends no notice; it must not block. nil: nobody
	Jobs      broker.Queue    // jobs behind functions; nil: e-mails only wait, and nothing is built
	Schedule  broker.Schedule // nil: nothing is built
	Buildings BuildingKinds   // nil: DefaultBuildings
	Stamper   Stamper         // nil: the grids of Games
	Post      *post.Office    // nil: a node without mailboxes
	Chains    *chain.Engine   // nil: a node without work chains
	Mailbox   string          // folder of e-mails that no server takes; "": none
	Settings  *config.Folder  // files whose figures functions follow; nil: the figures of the program
	Secret    []byte          // at least MinSecret bytes; tokens, clientCodes and e-mail codes are signed with keys made from it
	// OperatorToken makes whoever brings it an operator; "": nobody is one at the doors of clients.
	OperatorToken string
	// Together says that other nodes share Bus.
	Together bool
	Log      *slog.Logger
	Now      func() time.Time // nil means time.Now
}

// MinSecret is the shortest signing secret in bytes.
const MinSecret = 16

// Tools is what functions work with. It is shared by all calls; its parts are safe for concurrent use.
type Tools struct {
	options  Options
	store    broker.Store
	registry broker.Registry
	bus      broker.Bus
	games    *game.Host
	nodes    GameNodes // nil: there are no others
	together bool      // other nodes share bus and registry
	origin   string    // names this node to them

	endLogins func() // of the subscription to logins at other nodes; idempotent
	log       *slog.Logger
	now       func() time.Time

	codes      *codes
	tokens     *tokens
	passwords  *hasher
	limits     *limiter
	online     *online
	presence   *presence
	moderation *moderation
	social     *social
	post       *post.Office  // nil: a node without mailboxes
	chains     *chain.Engine // nil: a node without work chains
	outbox     *Outbox
	gameMade   func(game.ID) // nil: nobody is told
	// operatorToken is known to operators only; "" to nobody.
	operatorToken string

	families  *families
	buildings *buildings                       // nil: this node builds nothing
	later     func(func(context.Context)) bool // queues work that no reply waits for
}

// newTools builds the tools of one table.
func newTools(c Config) (*Tools, error) {
	if err := c.Options.Validate(); err != nil {
		return nil, err
	}
	if len(c.Secret) < MinSecret {
		return nil, fmt.Errorf("the signing secret must have at least %d bytes", MinSecret)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	t := &Tools{
		options: c.Options, store: c.Store, registry: c.Registry, bus: c.Bus, games: c.Games, nodes: c.Nodes, log: c.Log, now: c.Now,
		codes:     newCodes(c.Secret),
		passwords: newHasher(c.PasswordWorkers, c.PasswordQueue),
		limits: newLimiter([classCount]Rate{ClassRead: c.ReadRate, ClassWrite: c.WriteRate, ClassChat: c.ChatRate, ClassAuth: c.AuthRate,
			ClassEdit: c.EditRate, ClassLook: c.LookRate}),
		together:   c.Together,
		origin:     newLoginID(),
		endLogins:  func() {},
		online:     newOnline(),
		presence:   newPresence(c.Bus, c.PresenceBatch, c.PresenceNames),
		moderation: newModeration(),
		social:     newSocial(&c),
		post:       c.Post,
		chains:     c.Chains,
		gameMade:   c.GameMade,

		operatorToken: c.OperatorToken,

		outbox:   NewOutbox(c.Store, c.MailOutbox, c.Jobs, mailbox(c.Mailbox)),
		families: newFamilies(&c),
	}
	t.tokens = newTokens(c.Secret, c.TokenAge, c.Now)
	var err error
	t.buildings, err = newBuildings(&c)
	return t, err
}
