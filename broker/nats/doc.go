// Package nats is what many nodes share on NATS. Its Bus has core NATS carry the messages, and two JetStream streams keep
// the history of those that ask for one; its State keeps records, logs, jobs and timers on JetStream.
//
// # Subjects
//
// Subjects are used as they are, so any NATS client can follow `chat.>`. Each message carries a header, Gosper, with
// the node it comes from and, with history, its position (see stamp). Messages without it come from strangers and are
// not taken: whoever can reach the NATS server must not speak to players by accident. Subjects that start with `$` or
// `_` belong to NATS and are refused.
//
// # Messages without history
//
// They go to local subscribers at once and to other nodes at most once. While the link is away they stay local; when it
// is back, the node names the subjects of which others may have missed messages, and they announce a gap.
//
// # Messages with history
//
// They are written to a stream by compare and set: each is stored with the condition that the subject's newest message
// is the one its offset follows, so offsets have no holes whoever publishes, and the stream hands it to every
// subscriber at the moment it is stored (RePublish). A node that loses the race reads the new top and tries again. One
// write is on its way per subject, and what waits meanwhile goes as the next, as one atomic batch. Only a stream of one
// replica in files takes its messages one by one, because there a batch costs the server a file and an fsync: 15 ms
// measured, a single write 0.07.
//
// The history is in the servers' memory unless Options.History says otherwise: it is what clients that come back after a
// broken link read, not the record of the talk. Each stream begins with a message that says nothing. One without any was
// lost, and the next node that looks begins a new epoch, also when the servers remember the stream itself, as they do in a
// cluster. A node that finds less of a subject than it has seen does the same; the others look when they meet an epoch that
// they do not know.
//
// Who subscribes and then asks for the history misses nothing between both. In a cluster that needs a question of its own:
// the leader must know of the subscription before it is asked for the newest message (see settling).
//
// # Promise
//
// Delivery is at most once to each subscription, and every hole that a node can see is announced: a lost link, a
// message dropped because this node was slow, an offset that does not follow. An answered message with history is
// stored by the stream's replicas: with three, it survives the loss of one server. That all servers start again it survives
// in files only, and a power cut of all only if they run with `sync_interval: always` besides. Servers in turn may start
// again when each has caught up (their health check says so) before the next. A server that comes back with less than was
// answered makes the node that sees it change the epoch. While NATS is away publishes with history are refused with broker.ErrBusy and
// History fails; local subscribers of other subjects go on. In a cluster a message without history may overtake one with
// history of the same subject on a third node, because the two come from different servers.
//
// # Records and logs
//
// A record of the Store is the newest message of its subject; its revision is that message's sequence. Any node writes:
// conditions are the server's (Nats-Expected-Last-Subject-Sequence), several records are one atomic batch, and a value
// above 256 KiB is a batch too, with parts right in front of the record. The mark of a deleted record goes after 15
// minutes. Get asks the stream's leader. List finds its keys in an index in the node's memory (about 120 bytes a key of
// 40), which follows the stream by a consumer of headers; it asks the leader how far that must be, reads the values from
// any replica, and reads again what does not agree with the index, so a page is as it was at one moment. A leader that
// was cut off from the other servers may answer old records to nodes on its side until it notices, ten seconds at most;
// no write can follow from them, as its condition fails.
//
// A log is one subject. Each write names the message it must follow, so two writers cannot both succeed: who was stopped
// and replaced reads the end of the log before it can write again, finds the higher token there, and gets
// broker.ErrFenced. Appends that come while one is under way go together as the next. The newest message says which entry
// comes next, what is trimmed and what is cut; snapshots are published with a condition of the same kind, large ones
// after pieces nobody sees before. An append whose answer is late is looked for in the log and sent again, which its
// condition makes safe; after the wait (4 s) it is broker.ErrTimeout, and those behind it are broker.ErrBusy.
//
// With one replica the server stages each batch in files, 8 to 20 ms, one after the other; with three it is fast.
//
// # Jobs and timers
//
// A Queue and its Schedule are one stream, with one message for each job and timer under a subject of its own, so the
// stream holds about what lives. One node leads: it has an entry of every job in memory (some 320 bytes, and bodies up to
// QueueOptions.Cache), gives out reservations, and is the only one that writes. Others send it their calls. Every message
// is written behind the sequence it must follow, up to 256 at once; who takes the lead takes 512 sequences first, so that
// nothing can be stored that another leader has on its way, however long it stood still. Clocks play no part in this.
//
// The leader tells twice a second that it leads. When nobody has heard of it for two seconds another node reads the stream
// and leads; one that leaves says so. Calls wait for ten seconds at most and go to the next leader with their number,
// which the stream keeps with every change: what was done is answered and not done again. Reservations live with the
// leader, so after a fail-over reserved jobs are ready again and a lease of before is broker.ErrNotFound; those of a node
// that is not heard of for ten seconds are free. An answered put, delete, release, bury and kick is stored by the
// stream's replicas. A timer that fires is replaced by its job in one write, so it fires once.
//
// Messages of the Bus are at most as large as the servers' max_payload, 1 MiB unless they are told otherwise; larger ones are
// broker.ErrTooLarge. deploy/nats holds settings for three servers.
package nats
