package module

import (
	"crypto/sha256"
	"crypto/subtle"

	"gosper/broker/chain"
	"gosper/protocol"
)

// The engine of work chains, for operators who come through a client's door. Whoever knows the token of the internal port is
// one: a node without such a token has none here. Tries are counted by address, as logins are, and the token is compared in
// a time that tells nothing about it.

// engineFunctions look at the engine and lock it.
func engineFunctions() []Function {
	return []Function{
		define(Function{Route: "/engine/status", Gate: "engine_status", Class: ClassAuth,
			Doc:     "Tells an operator whether the engine of work chains is locked. operator_token is the token of the internal port.",
			Example: `{"operator_token":"a token of 16 bytes or more"}`}, engineStatus),
		define(Function{Route: "/engine/lock", Gate: "lock_engine", Class: ClassAuth,
			Doc:     "Locks the engine of work chains for an operator, or unlocks it: a lock stops the next step of every chain.",
			Example: `{"operator_token":"a token of 16 bytes or more","global_lock":true}`}, lockEngine),
	}
}

type operatorIn struct {
	Token string `json:"operator_token"`
}

var faultNoOperator = refuse(protocol.StatusRefused, "operator_token is not that of this node's internal port")

// operator refuses who is none.
func (t *Tools) operator(in operatorIn) error {
	want, got := sha256.Sum256([]byte(t.operatorToken)), sha256.Sum256([]byte(in.Token))
	if t.operatorToken == "" || subtle.ConstantTimeCompare(want[:], got[:]) != 1 {
		return faultNoOperator
	}
	if t.chains == nil {
		return faultNoChains
	}
	return nil
}

func engineStatus(t *Tools, _ *Call, in *operatorIn) (chain.Settings, error) {
	if err := t.operator(*in); err != nil {
		return chain.Settings{}, err
	}
	return t.chains.Settings(), nil
}

type lockEngineIn struct {
	operatorIn
	Lock *bool `json:"global_lock"`
}

func lockEngine(t *Tools, c *Call, in *lockEngineIn) (chain.Settings, error) {
	if err := t.operator(in.operatorIn); err != nil {
		return chain.Settings{}, err
	}
	if in.Lock == nil {
		return chain.Settings{}, refuse(protocol.StatusInvalid, "global_lock must be true or false")
	}
	if _, err := t.chains.Lock(c.Context, *in.Lock); err != nil {
		return chain.Settings{}, chainFault(err)
	}
	return t.chains.Settings(), nil
}
