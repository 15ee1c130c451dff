package node

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	vm "github.com/VictoriaMetrics/metrics"

	"gosper/broker"
	"gosper/broker/lead"
	"gosper/broker/nats"
	"gosper/broker/pebble"
)

// StoreFolder is the folder of the database in a data folder.
func StoreFolder(data string) string { return filepath.Join(data, "store") }

// lasting is where everything is that lasts: the node's own database, or what several nodes share.
type lasting struct {
	store    broker.Store
	logs     broker.Log
	queue    broker.Queue
	schedule broker.Schedule
	promise  string // what an answered write survives, in words
	// state is what nodes share; nil: what lasts is the node's own.
	state *nats.State
}

// ownPromise is what a write to the node's own database survives.
const ownPromise = "this node's disk: an answered write survives the end of the process and a power cut, not the loss of the disk"

// nodeMetrics are the metrics of this package.
var nodeMetrics = []broker.Metric{
	{Name: "gosper_store_info", Help: "Always 1: where what lasts is kept (engine: pebble, nats), what an answered write survives (promise), the name of the node."},
}

// info is the sample that tells where what lasts is kept.
func (n *Node) info() string {
	engine := "pebble"
	if n.state != nil {
		engine = "nats"
	}
	return fmt.Sprintf(`gosper_store_info{node=%q,engine=%q,promise=%q}`, n.name, engine, n.promise)
}

// openDB opens the database that is the node's own.
func (n *Node) openDB() error {
	if err := os.MkdirAll(n.options.Data, 0o700); err != nil {
		return fmt.Errorf("data: %w", err)
	}
	name, err := n.options.name()
	if err != nil {
		return err
	}
	db, err := pebble.Open(StoreFolder(n.options.Data), pebble.Options{
		MinFree: uint64(n.options.FreeDisk), CommitTimeout: n.options.CommitTimeout, Log: n.log, Jobs: n.options.jobs()})
	if err != nil {
		return fmt.Errorf("data: %w", err)
	}
	n.name, n.db = name, db
	n.lasting = lasting{store: db.Store(), logs: db.Log(), queue: db.Queue(), schedule: db.Schedule(), promise: ownPromise}
	return nil
}

// jobs returns the limits of queues.
func (o *Options) jobs() broker.QueueOptions {
	return broker.QueueOptions{MaxJob: o.Limits.JobBytes,
		Limits: broker.TubeLimits{Reserves: uint32(o.JobReserves), Timeouts: uint32(o.JobTimeouts)}}
}

// openState opens what lasts when nodes share it.
func (n *Node) openState(ctx context.Context) error {
	o := &n.options
	if o.Store == "" {
		return nil
	}
	s, err := nats.OpenState(ctx, nats.StateOptions{URL: o.Store, Password: string(o.StorePassword), Node: n.name, Jobs: o.jobs(), Log: n.log})
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	n.lasting = lasting{store: s.Store(), logs: s.Log(), queue: s.Queue(), schedule: s.Schedule(), promise: s.Promise(), state: s}
	return nil
}

// stateHealth says why what lasts cannot be used.
func (n *Node) stateHealth() error {
	err := n.db.Health()
	if n.state != nil {
		if away := n.state.Health(); away != nil {
			err = errors.Join(err, fmt.Errorf("store: %w", away))
		}
	}
	return err
}

// tellStore tells in the metrics and in the log where what lasts is kept.
func (n *Node) tellStore() error {
	vm.GetOrCreateGauge(n.info(), func() float64 { return 1 })
	n.log.Info("what lasts", "node", n.name, "promise", n.promise)
	return nil
}

// closeStores ends what lasts, after all who use it.
func (n *Node) closeStores() error {
	var errs []error
	if n.db != nil {
		vm.UnregisterMetric(n.info())
	}
	if n.state != nil {
		errs = append(errs, n.state.Close())
	}
	if n.db != nil {
		errs = append(errs, n.db.Close())
	}
	return errors.Join(errs...)
}

// stand has this node stand for the lead under a name, as one of those that share the store: act runs while it leads. A node
// that is alone leads everything.
func (n *Node) stand(name string, act func(ctx context.Context, term uint64)) error {
	if n.state == nil {
		return nil
	}
	seat, err := lead.Open(lead.Options{Store: n.store, Name: name, Node: n.name, Act: act, Log: n.log})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	n.seats = append(n.seats, seat)
	n.leading.Store(name, seat)
	return nil
}

// leads says whether this node leads under a name.
func (n *Node) leads(name string) bool {
	seat, ok := n.leading.Load(name)
	return ok && seat.(*lead.Seat).Leading()
}

// rise gives up what this node leads, so that others take it at once.
func (n *Node) rise() {
	for _, seat := range n.seats {
		seat.Close()
	}
}

// secretKey is where nodes that share a store keep what tells whether their secrets are the same.
const secretKey = "nodes/secret"

// sameSecret refuses a node whose secret is not that of the nodes it shares its store with: they would not believe each
// other's tokens.
func (n *Node) sameSecret(ctx context.Context, secret []byte) error {
	if n.state == nil {
		return nil
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(secretKey))
	mine := mac.Sum(nil)
	_, err := n.store.Create(ctx, secretKey, mine)
	if !errors.Is(err, broker.ErrExists) {
		return err
	}
	theirs, err := n.store.Get(ctx, secretKey)
	if err == nil && !hmac.Equal(theirs.Value, mine) {
		err = errors.New("secret: it is not that of the nodes which share this store; give all of them the same by --secret-file or GOSPER_SECRET")
	}
	return err
}

// Limits of the name of a node.
const (
	nameMost   = 48
	nameRandom = 4 // bytes
)

// name returns the name of this node among all: the option, or one that was made at the first start and stays.
func (o *Options) name() (string, error) {
	if o.Node != "" {
		return o.Node, nil
	}
	file := filepath.Join(o.Data, "node")
	b, err := os.ReadFile(file)
	if name := strings.TrimSpace(string(b)); err == nil && validNode(name) {
		return name, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("node: %w", err)
	}
	raw := make([]byte, nameRandom)
	rand.Read(raw)
	name := hostPart() + "-" + hex.EncodeToString(raw)
	if err := os.WriteFile(file, []byte(name+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("node: %w", err)
	}
	return name, nil
}

// hostPart is the name of the machine, as far as it can stand in the name of a node.
func hostPart() string {
	host, _ := os.Hostname() // without one: node
	host, _, _ = strings.Cut(host, ".")
	host = strings.Map(func(r rune) rune {
		if validNode(string(r)) {
			return r
		}
		return -1
	}, host)
	if host == "" {
		return "node"
	}
	return host[:min(len(host), nameMost-2*nameRandom-1)]
}

// validNode says whether a text can name a node.
func validNode(name string) bool {
	if name == "" || len(name) > nameMost {
		return false
	}
	for _, r := range name {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' {
			return false
		}
	}
	return true
}

// bindStore describes the options of what lasts.
func (o *Options) bindStore(b *binder) {
	b.text(&o.Store, "store", "where nodes keep what lasts together: accounts, families, mail, games, jobs, timers. nats://[user@]host:port,host:port…?replicas=3, tls://… (servers with JetStream, 2.12 or newer); needs bus and mail-dir. Empty: each node has its own, in its data folder")
	b.secret(&o.StorePassword, "store-password", "password of the store, when its address has none")
	b.text(&o.Node, "node", "name of this node, which no other one has: 1 to 48 of A-Z a-z 0-9 _ -; empty: the machine's name and a random part, kept in the data folder")
}

func (o *Options) checkStore() error {
	switch {
	case o.Node != "" && !validNode(o.Node):
		return fmt.Errorf("node: %q is not 1 to %d of A-Z a-z 0-9 _ -", o.Node, nameMost)
	case o.Store == "":
		return nil
	case !onNATS(o.Store):
		return errors.New("store: must be nats://host:port or tls://host:port")
	case o.Bus == "":
		return errors.New("store: nodes that share what lasts must hear of each other's changes: give them a bus too, --bus redis://… or --bus nats://…")
	case o.Post.Dir == "":
		return errors.New("mail-dir: nodes that share what lasts need a folder for mailboxes that all of them have, as a shared disk; name it by --mail-dir")
	}
	if err := nats.CheckURL(o.Store); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}
