// Package post is the post office of the game: mails that players, families and the game itself send to accounts.
//
// An accepted mail is durable before Send returns: it lies in the spool, a record of the Store. Drain workers make it a
// file of the box's Maildir at once after, under a name that was chosen with the record, so that a mail becomes exactly
// one file however often the work is cut short. From then on the file is the truth: other programs may read, flag,
// rename and delete it, and this package sees what they did by the times of the folders. What it keeps about files in
// the Store is an index that can be lost and is built again from them.
//
//	Send ── Commit(mail/spool/…) ── answer
//	          └─ worker: tmp/ write, fsync ── link to new/ ── fsync of new/
//	               └─ finisher: Commit(delete mail/spool/…, put mail/row/…, mail/box/…)
//
// A box is <root>/.<world>/.<uid>/{tmp,new,cur}. Several nodes may share the root: names carry the node's name, a link
// that exists means that the work is done, and a box is read again whenever its folders have changed. The box limit is
// exact on one node; mails that several nodes accept at the same instant can exceed it by some.
package post

import (
	"errors"
	"log/slog"
	"time"

	"gosper/broker"
)

// Errors of an Office, besides those of the Store (broker.ErrDiskFull, broker.ErrTimeout, …).
var (
	ErrFull    = errors.New("mailbox is full")
	ErrBadMail = errors.New("bad mail") // wrapped with what is wrong
	ErrBadBox  = errors.New("bad mailbox: world and account must be 1 to 32 of A-Z a-z 0-9 _ -")
)

// Box names a mailbox: an account in a world. Both are names in the sense of protocol.ValidName.
type Box struct{ World, UID string }

// Kind says what a mail is.
type Kind uint8

// The kinds. For all but Simple the key of the mail is also a nonce that accepts once what the mail offers.
const (
	Simple        Kind = iota
	Gift               // Items are offered
	FriendRequest      // Fields: uid_sender
	FamilyRequest      // Fields: uid_target, name
	kinds
)

// Limits of one mail. A longer part is refused with ErrBadMail.
const (
	MaxKey     = 64   // bytes
	MaxFrom    = 128  // bytes
	MaxSubject = 256  // bytes: escaped three times as many, below the 998 of a line of RFC 5322
	MaxItems   = 1024 // bytes
	MaxFields  = 8    // fields, of names up to 32 and values up to 256 bytes
	maxName    = 32
	maxValue   = 256
)

// Mail is one mail of a box. All texts are UTF-8 without NUL; line breaks are kept.
type Mail struct {
	Key     string // 1 to MaxKey of A-Z a-z 0-9 _ -; made by Send when empty. A caller that chooses it can send again without doubling
	Kind    Kind
	From    string // up to MaxFrom bytes
	Subject string // up to MaxSubject bytes; may be the name of a template
	Body    string // up to Options.BodyLimit bytes
	Items   string // up to MaxItems bytes, like gid:iid:qty[,…]
	Fields  map[string]string
	Time    time.Time // to the second; Send sets it when it is zero
	Read    bool      // of mails that were read; Send ignores it
}

// Defaults of Options.
const (
	DefaultBoxLimit  = 50
	DefaultBodyLimit = 64 << 10
	DefaultWorkers   = 8
	MaxBodyLimit     = 1 << 20 // the largest of each that may be set
	MaxBoxLimit      = 100_000
	MaxWorkers       = 1000
)

// Options of an Office.
type Options struct {
	Root      string         // folder of the boxes, made when missing; may be on a disk that several nodes share
	Store     broker.Store   // spool and index
	Host      string         // unique name of this node among those that share Root; "" is the machine's name
	BoxLimit  int            // mails of one box, spool and files; 0 means DefaultBoxLimit
	BodyLimit int            // bytes of a body; 0 means DefaultBodyLimit
	Workers   int            // boxes that become files at a time; 0 means DefaultWorkers
	Zone      *time.Location // of the header `time`, which says none itself; nil is UTC
	// Delivered is called once for every mail that Send or Accepted took, after it is durable, on the caller's
	// goroutine. It may not block. nil means nobody wants to know.
	Delivered func(Box, Mail)
	// Shared says that other nodes have the same Root and Store.
	Shared bool
	// Leads says, with Shared, whether this node makes files of mails that other nodes have left in the spool; nil: it never does.
	Leads func() bool
	Log   *slog.Logger     // nil means none
	Now   func() time.Time // nil is time.Now

	step func(string) error // of tests
}
