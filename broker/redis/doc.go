// Package redis is the Bus and the Registry of many nodes: both live in one Redis server, cluster or sentinel set, and
// every node sees the same. Everything in it may be lost: chat that is under way, nonces, leases, counters.
// What must last is in another engine.
//
// # Address
//
// One URL says everything:
//
//	redis://[user:password@]host[:port][/db]    one server; user and password are those of an ACL
//	rediss://…                                   the same under TLS 1.2 or newer
//	redis://host:port?addr=host:port&addr=…      a cluster: any of its nodes; that it is one is found out
//	redis://host:port?addr=…&master_set=name     the addresses are those of sentinels that watch the master set
//	unix:///run/redis.sock                       a socket
//
// and these may follow after the question mark, joined by `&`:
//
//	prefix=gosper       first part of every key and channel: worlds that share a server have prefixes of their own
//	ca=/path/ca.pem     rediss: certificates that sign the server's, in place of the system's
//	cert=…&key=…        rediss: certificate and key of this client
//	flush_delay=20us    collect commands for so long before they are sent: less CPU, more latency
//	skip_verify         rediss: believe any certificate (for tests)
//
// An ACL user needs `~gosper:* &* +@read +@write +@pubsub +@scripting +@connection +info +time +cluster +scan`; all
// channels, since Redis compares patterns of channels letter by letter (a cluster needs `&gosper:*` only).
// Redis 7.0 or newer, or a server that speaks as it does, is needed: sharded channels, scripts and RESP3.
//
// # Bus
//
// A message with history is one script call: it takes the next offset, appends, trims and publishes, so every
// subscriber on every node gets the messages of a subject in the order of offsets. Each node holds one connection for
// publishing and one for listening (with a cluster: one for each of 16 groups of subjects, to the node that serves it,
// with sharded channels). A subject is subscribed to once a node, however many listen; subscribes are sent in batches.
//
// Publishers never block: messages wait in bounded queues, and for MessagePatience at most when Redis is away; then
// done tells the error. Those without history reach the subscribers of their own node meanwhile, and no others. When a link was lost, it is made again, every subscriber behind it is told of a gap, and a
// History asked after that waits until the subscriptions are effective: no hole can open between the two.
//
// An epoch belongs to one subject in one server process. If the server comes back with older data than it had, or a
// replica takes over that knew less, or data is gone, the next message begins a new epoch. The scripts find that out
// by themselves: each link tells the identity of the process it leads to by listening to a channel of that name, so a
// subject whose history names a process nobody listens at is looked at twice.
//
// # Registry
//
// Keys are plain Redis keys with their own time to live. Leases are scripts; fencing tokens are the server's clock in
// microseconds or the old token plus one, whichever is more, so they grow even when all data was lost. List scans the
// key space, so it costs more than in other engines.
package redis
