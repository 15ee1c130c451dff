// Package game runs games: users who draw on shared grids that tick. It knows no socket and no clock but the one that
// makes it tick; who talks to clients feeds it requests and takes frames and notices from it.
//
// # A game
//
// A game has users with colours, an owner, and grids of different size, rule, topology and mode; all grids of a game tick
// together and share its generation. When the owner leaves, the game passes to who has been in it longest; when the last
// user leaves, it ends, unless it is persistent. It is paused (edits and single steps), running (ticks too) or stopped.
//
// # Why nothing is lost
//
// A game is a deterministic machine: a snapshot and the events after it, each with the generation it applies at, give the
// same cells wherever they are played. So the log of events is the truth, and a game only does what is in it:
//
//	request → mailbox → one entry for all that wait → durable → applied, at the generation in the entry → answered → frames
//
// Ticks are not written. A running game notes its generation every second (a mark), and a snapshot bounds what has to be
// played again. After a crash a game is back at its last mark or edit, whichever is later, with every edit that was
// answered, and with a new epoch that tells watchers to begin anew.
//
// While edits are on their way to the disk, a tick waits for them, for Limits.CommitWait at most. After that, and after
// any other failure, the requests are refused and the game goes on; should the entry be in the log after all, the next one,
// which has the same number, makes it void (see entry). So what watchers see is always what a restart would show.
//
// # Several hosts
//
// Hosts that share a log and a store have a name each, and each game has one of them as its owner (owner.go). Adopt takes a game
// over from a host that is dead or lets it go, Hand passes it on, and a host that was replaced without knowing can write nothing.
// In a game of relaxed durability edits do not wait for the log (relaxed.go).
//
// # Who runs it
//
// A timing wheel puts games that are due, and everybody else puts games with something to do, into one queue, from which a
// few workers take them for short turns (Game.turn). One worker at a time has a game, and owns all of its state but the
// mailbox. A tick that is a whole interval late is left out and counted. A panic pauses the game it happened in.
//
// # Watching
//
// A Stream is a grid in one mode and form. What nobody watches is not encoded; what somebody watches is encoded once. The
// binary frames are a protocol.GridHeader and, as payload, what package grid makes: a snapshot, the delta of a step, or
// the delta of edits; a mark has none. A view is a snapshot or delta of the tiles that meet a rectangle; the hash in its
// header is that of the whole grid.
package game
