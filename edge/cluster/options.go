package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"gosper/broker"
)

// Options of a Cluster. A zero field has its default.
type Options struct {
	// Node names this process among all that ever shared the Store: 1 to 64 characters of a-z, A-Z, 0-9, - and _.
	Node string
	// Replaces is how the names of processes begin that this one takes the place of: they are known to be dead. "": none.
	Replaces string
	// Guest says that this node runs no games, but lets its clients play those of others.
	Guest bool
	// Listen is the address for links from other nodes. Default "127.0.0.1:0".
	Listen string
	// Advertise is the address that others dial. Default: where it listens.
	Advertise string
	// Key is known to the nodes alone, at least MinKey bytes.
	Key   []byte
	Store broker.Store
	Log   *slog.Logger // default: none

	// Beat is the time between two writes of the node's record. Default: a sixth of Lease.
	Beat time.Duration
	// Lease is after how long without a change of its record a node counts as dead. Default 3 s.
	Lease time.Duration
	// Wait is how long a call waits for a game that moves. Default: twice the Lease.
	Wait time.Duration
	// Waiting is how many calls may wait so; more are refused with broker.ErrBusy. Default 10,000.
	Waiting int
	// FrameBytes is the longest frame of a link; a longer one is refused by its sender, and ends the link at its receiver.
	// Default 64 MiB, a snapshot of the largest grid with colours.
	FrameBytes int
	// QueueBytes may wait to be written to a link beside streams. More questions are refused with broker.ErrBusy; more than
	// twice as many, in answers, end the link. Default 16 MiB.
	QueueBytes int
	// StreamBytes of streams may wait to be written to a link. Then the stream that has the next frame loses all that waits,
	// and goes on with a snapshot when half of the room is free. Default 32 MiB.
	StreamBytes int
	// Nodes is how many links are taken. Default 64.
	Nodes int
}

// MinKey is the shortest Key in bytes.
const MinKey = 16

// longestNode is the longest name of a node in bytes.
const longestNode = 64

// Defaults of Options.
const (
	DefaultLease       = 3 * time.Second
	defaultWaiting     = 10_000
	defaultFrameBytes  = 64 << 20
	defaultQueueBytes  = 16 << 20
	defaultStreamBytes = 32 << 20
	defaultNodes       = 64
)

// withDefaults fills in what is zero.
func (o Options) withDefaults() Options {
	set(&o.Listen, "127.0.0.1:0")
	set(&o.Lease, DefaultLease)
	set(&o.Beat, o.Lease/6)
	set(&o.Wait, 2*o.Lease)
	set(&o.Waiting, defaultWaiting)
	set(&o.FrameBytes, defaultFrameBytes)
	set(&o.QueueBytes, defaultQueueBytes)
	set(&o.StreamBytes, defaultStreamBytes)
	set(&o.Nodes, defaultNodes)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// validate names the first field that cannot be.
func (o *Options) validate() error {
	switch {
	case !validNode(o.Node):
		return fmt.Errorf("cluster: name of the node %q: want 1 to %d of a-z, A-Z, 0-9, - and _", o.Node, longestNode)
	case len(o.Key) < MinKey:
		return fmt.Errorf("cluster: the key must have at least %d bytes", MinKey)
	case o.Store == nil:
		return errors.New("cluster: the nodes need a Store that they share")
	case o.Beat <= 0 || o.Lease < 2*o.Beat:
		return errors.New("cluster: the lease must be at least two beats")
	case o.Wait < 0 || o.Waiting < 0 || o.FrameBytes < minFrameBytes || o.QueueBytes < 0 || o.StreamBytes < 0 || o.Nodes < 1:
		return fmt.Errorf("cluster: a limit is out of its range; frames have at least %d bytes", minFrameBytes)
	}
	return nil
}

const minFrameBytes = 1 << 10

func validNode(name string) bool {
	for i := range len(name) {
		c := name[i]
		if letter := c | 0x20; (letter < 'a' || letter > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return name != "" && len(name) <= longestNode
}
