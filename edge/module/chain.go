package module

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"

	"gosper/broker"
	"gosper/broker/chain"
	"gosper/protocol"
)

// Work chains of players and services that come through a client's door.

// chainFunctions submit chains and look at them.
func chainFunctions() []Function {
	submit := Function{Route: "/chain/submit", Gate: "submit_chain", Needs: NeedLogin, Class: ClassWrite,
		Doc: "Submits a work message: requests to services that are made in their order, each answered. The same message again is the " +
			"same chain. /chain/completed tells of its end.",
		Example: `{"work_message":{"hash":"5c0bb9a1a1e8d8a4f1c5e2ef2c3b5a0e","items":[{"order":1,"request":{"url":"https://shop.example",` +
			`"endpoint":"/orders/api/stock/reserve","type":"HTTPS","method":"POST","payload":"{}"}}]}}`,
		In: reflect.TypeFor[submitChainIn](), Out: reflect.TypeFor[chain.Status](),
		run: func(t *Tools, c *Call) (any, error) { return submitChain(t, c) }}
	return []Function{
		submit,
		define(Function{Route: "/chain/status", Gate: "chain_status", Needs: NeedLogin, Class: ClassRead,
			Doc:     "Tells where one of the account's chains stands, with the answers it has.",
			Example: `{"hash":"5c0bb9a1a1e8d8a4f1c5e2ef2c3b5a0e"}`}, chainStatus),
		define(Function{Route: "/chain/cancel", Gate: "cancel_chain", Needs: NeedLogin, Class: ClassWrite,
			Doc:     "Ends one of the account's chains: calls under way are cut short, the rest is skipped.",
			Example: `{"hash":"5c0bb9a1a1e8d8a4f1c5e2ef2c3b5a0e"}`}, cancelChain),
	}
}

// submitChainIn describes a work message for documents; package chain reads it, since the hash is that of its text.
type submitChainIn struct {
	Message struct {
		Hash  string `json:"hash"`
		Items []struct {
			Order   int           `json:"order"`
			Request chain.Request `json:"request"`
		} `json:"items"`
	} `json:"work_message"`
}

var (
	faultNoChains = refuse(protocol.StatusBusy, "this node runs no work chains")
	faultNoChain  = refuse(protocol.StatusInvalid, "you have no chain of this hash")
)

// chainFault turns an error of the engine into what the client sees.
func chainFault(err error) error {
	switch {
	case errors.Is(err, chain.ErrBadWork):
		return refuse(protocol.StatusInvalid, err.Error())
	case errors.Is(err, chain.ErrForeign):
		return refuse(protocol.StatusRefused, "somebody else has submitted this very message")
	case errors.Is(err, chain.ErrEnded):
		return refuse(protocol.StatusInvalid, "the chain has ended")
	case errors.Is(err, broker.ErrNotFound):
		return faultNoChain
	}
	return err
}

func submitChain(t *Tools, c *Call) (chain.Status, error) {
	if t.chains == nil {
		return chain.Status{}, faultNoChains
	}
	w, err := chain.ParseWork(c.Content, t.chains.Limits())
	if err != nil {
		return chain.Status{}, chainFault(err)
	}
	s, _, err := t.chains.Submit(c.Context, w, c.Who.Account)
	return s, chainFault(err)
}

type chainIn struct {
	Hash string `json:"hash"`
}

// ownChain returns the status of a chain of the caller.
func (t *Tools) ownChain(c *Call, hash string) (chain.Status, error) {
	if t.chains == nil {
		return chain.Status{}, faultNoChains
	}
	s, err := t.chains.Status(c.Context, hash)
	if err == nil && s.Account != c.Who.Account {
		err = faultNoChain
	}
	return s, chainFault(err)
}

func chainStatus(t *Tools, c *Call, in *chainIn) (chain.Status, error) { return t.ownChain(c, in.Hash) }

func cancelChain(t *Tools, c *Call, in *chainIn) (chain.Status, error) {
	s, err := t.ownChain(c, in.Hash)
	if err != nil {
		return s, err
	}
	s, err = t.chains.Cancel(c.Context, in.Hash)
	return s, chainFault(err)
}

const chainCompletedRoute = "/chain/completed"

// chainCompletedPush tells of the end of a chain. The message is that of the pattern, and missing when it is longer than
// chainNewsMost.
type chainCompletedPush struct {
	Hash    string          `json:"hash"`
	State   chain.State     `json:"state"`
	Message json.RawMessage `json:"completion_message,omitempty"`
}

// chainNewsMost bounds the answers in a push, in bytes: it is kept for who is away. /chain/status has all of them.
const chainNewsMost = 64 << 10

// ChainCompleted tells the account that submitted a chain of its end. It returns when the news is kept, so that who is away
// gets it later.
func (t *Table) ChainCompleted(ctx context.Context, s chain.Status) error {
	if s.Account == "" {
		return nil
	}
	push := chainCompletedPush{s.Hash, s.State, chain.AppendResults(nil, s.Hash, s.Results())}
	if len(push.Message) > chainNewsMost {
		push.Message = nil
	}
	content, err := json.Marshal(push)
	if err != nil {
		return err
	}
	told := make(chan error, 1)
	t.tools.bus.Publish(protocol.UserSubject(s.Account), protocol.AppendPush(nil, chainCompletedRoute, content), userKeep,
		func(_ broker.Position, err error) { told <- err })
	select {
	case err := <-told:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
