// Package cluster lets several nodes that share a broker.Store and a broker.Log run their games as one.
//
// # Who is there
//
// Each node has a record "node/<id>" in the Store, with its address and load, which it writes every beat. Another node takes
// it for dead when it saw no change of it for the lease, by its own clock: clocks need not agree. A node that cannot
// write its record for half a lease lets its games go on ticking, but they take no edits (game.Host.Away). Times when the
// store could not be read count against nobody.
//
// # Whose game it is
//
// The record of each game names its node (package game, owner.go). All nodes follow these records. A game whose node is dead,
// or that names none, is taken over: each node ranks the living for it by a hash, the first does it at once, the next a
// moment later, and the record decides if two try. Fencing makes a wrong judgement harmless.
//
// # Links
//
// Two nodes have one TCP link, which the one with the smaller id dials: authenticated by their shared key, not
// encrypted, since it belongs on a network of their own. It carries questions and answers, and streams:
//
//	u32 length | u8 kind | ask: call, what, game, data · answer: call, code, data · frame: number, kind, epoch, … · want, unwatch
//
// # Calls
//
// A call on a game that is elsewhere goes whole to its node (Ask). While the game moves it waits, in the order of the
// calls of that game, for a bounded time. When a link breaks behind a question that must not be asked twice, the
// answer is game.ErrUnknown.
//
// # Streams
//
// The Cluster is the edge.StreamSource of its node. A stream that is watched here crosses the link once, however many
// watch it. When the link breaks, falls behind or the game moves, its watchers stay: they miss frames (edge.Streams.Hole) and
// get a snapshot from wherever the game is then.
package cluster
