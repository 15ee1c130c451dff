// Package chain runs work chains: ordered requests to other services, each answered, each answer kept, whatever crashes in
// between.
//
// A work message names items with an order. Items of one order run at the same time, the next order begins when all of them
// have an answer. Every finished step is one commit of the Store, so a crash repeats at most the steps that were under way,
// with the same idempotency key. The package holds the messages (JSON and protobuf, see chain.proto), the state of each
// chain and the engine that moves it; how a request reaches its target is an Executor's business (broker/chain/target).
package chain
