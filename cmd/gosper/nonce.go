package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"time"
)

func nonceCommand() command {
	return command{
		name:    "nonce",
		summary: "make a nonce that lets a player in, or redeem one",
		example: "gosper nonce --world 0 --name Ann --family foxes\nprintf '00REGISTER%s\\r\\n' $(gosper nonce --name Ann) | nc localhost 9000\ngosper nonce redeem 263882790666882119330412398567834650213",
		run:     runNonce,
	}
}

// runNonce makes or redeems a nonce through the internal port.
func runNonce(ctx context.Context, args []string, io stdio) int {
	flags := newFlags(nonceCommand(), "[flags] | redeem NONCE", io.out)
	api := newInternalAPI(flags)
	world := flags.String("world", "0", "world of the player")
	name := flags.String("name", "guest", "name of the player")
	family := flags.String("family", "", "family of the player")
	ttl := flags.Duration("ttl", 2*time.Minute, "validity")
	words, code, done := parseMixed(flags, args, io)
	if done {
		return code
	}
	switch {
	case len(words) == 0 && *ttl >= time.Second:
		payload := map[string]string{"world": *world, "gn": *name, "fn": *family}
		return makeNonce(ctx, api, payload, *ttl, io)
	case len(words) == 0:
		return usageError(io, "gosper nonce", errors.New("ttl must be at least 1s"))
	case len(words) == 2 && words[0] == "redeem":
		return redeemNonce(ctx, api, words[1], io)
	}
	return usageError(io, "gosper nonce", errors.New("give flags, or redeem NONCE"))
}

// makeNonce registers a random nonce and prints it.
func makeNonce(ctx context.Context, api *internalAPI, payload map[string]string, ttl time.Duration, io stdio) int {
	var b [16]byte
	rand.Read(b[:])
	key := new(big.Int).SetBytes(b[:]).String()
	var out struct {
		Status int `json:"status"`
	}
	body := map[string]any{"nonce": key, "payload": payload, "ttl": int(ttl / time.Second)}
	if err := api.json(ctx, "/register_nonce", body, &out); err != nil {
		return failure(io, "gosper nonce", err)
	}
	if out.Status != 0 {
		return failure(io, "gosper nonce", errors.New("the nonce was not registered"))
	}
	fmt.Fprintln(io.out, key)
	return exitOK
}

// redeemNonce prints the payload of a nonce; one that is unknown or used is exit code 1.
func redeemNonce(ctx context.Context, api *internalAPI, key string, io stdio) int {
	out := make(map[string]map[string]any)
	if err := api.json(ctx, "/redeem_nonce", map[string][]string{"keys": {key}}, &out); err != nil {
		return failure(io, "gosper nonce", err)
	}
	payload := out[key]
	if status, ok := payload["status"].(float64); !ok || status != 0 {
		return failure(io, "gosper nonce", errors.New("the nonce is unknown, used or expired"))
	}
	delete(payload, "status")
	b, err := json.Marshal(payload)
	if err != nil {
		return failure(io, "gosper nonce", err)
	}
	fmt.Fprintln(io.out, string(b))
	return exitOK
}
