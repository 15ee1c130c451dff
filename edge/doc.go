// Package edge is what a client touches: event loops, sessions, subscriptions and fan-out.
//
// # The path of a connection
//
// An acceptor (accept.go) takes a socket from a listener, keeps the number of descriptors under the limit of the
// process, reads a PROXY header or finishes a TLS handshake where the listener asks for it, and hands the socket to an
// event loop. A websocket comes the same way through Engine.Adopt, after its HTTP upgrade. From then on the
// connection belongs to one loop for life: one goroutine reads, parses and writes all connections of that loop, and
// none has a goroutine, timer or map of its own.
//
// # The path of a frame
//
// The loop reads (engine.go), a Door cuts frames straight from the read buffer (inbound.go, edge/door/*), answers are
// gathered and written once a read (outbox.go). Function calls go to the Dispatcher one at a time a session (call.go);
// chat text goes to Dispatcher.Say. Replies made on other goroutines come back through the loop's mailbox (loop.go).
//
// # The path of a message
//
// The hub (hub.go) holds one bus subscription a subject while a client here wants it. A message becomes one entry in
// the mailbox of each loop that has subscribers. A loop empties its mailbox in one pass (shard.go): messages that
// arrived while it was busy are joined, each subscriber gets one write. A message is encoded once a format (message.go).
//
// # Bounds
//
// Every bound is a field of Limits (limits.go) with a metric that counts when it bites. Heartbeats, time limits and
// the spreading of a drain run on one timing wheel a loop (wheel.go, timeout.go).
//
// # Why gnet without its listeners
//
// gnet runs the loops, but the sockets are accepted here: an accept error gnet does not know (EMFILE, ENETDOWN, ENOMEM)
// ends its engine without an error, its listeners cannot be closed alone (which a drain needs), and one port cannot be
// asked for by several loops as ":0". Handing a socket over costs a dup and some microseconds a connection.
package edge
