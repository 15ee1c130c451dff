package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
)

func tokenCommand() command {
	return command{
		name:    "token",
		summary: "issue a token for an account, or check one",
		example: "gosper token issue alfred\ngosper token check eyJhbGciOi…",
		run:     runToken,
	}
}

// runToken issues or checks a token through the internal port.
func runToken(ctx context.Context, args []string, io stdio) int {
	flags := newFlags(tokenCommand(), "[flags] issue UID | check TOKEN", io.out)
	api := newInternalAPI(flags)
	world := flags.Bool("world", false, "issue a token for a world instead of a login")
	words, code, done := parseMixed(flags, args, io)
	if done {
		return code
	}
	if len(words) != 2 {
		return usageError(io, "gosper token", errors.New("say issue UID or check TOKEN"))
	}
	switch words[0] {
	case "issue":
		return issueToken(ctx, api, words[1], *world, io)
	case "check":
		return checkToken(ctx, api, words[1], io)
	}
	return usageError(io, "gosper token", fmt.Errorf("unknown word %q: say issue or check", words[0]))
}

// issueToken prints a new token. It replaces the tokens that the account had.
func issueToken(ctx context.Context, api *internalAPI, uid string, world bool, io stdio) int {
	form := url.Values{"uid": {uid}, "is_session": {"0"}}
	if world {
		form.Set("is_session", "1")
	}
	var out struct {
		Token string `json:"token"`
	}
	if err := api.form(ctx, "/issue_token", form, &out); err != nil {
		return failure(io, "gosper token", err)
	}
	fmt.Fprintln(io.out, out.Token)
	return exitOK
}

// checkToken prints the account of a token; a token that does not count is exit code 1.
func checkToken(ctx context.Context, api *internalAPI, token string, io stdio) int {
	var out struct {
		Status int `json:"status"`
		Data   struct {
			UID string `json:"uid"`
		} `json:"data"`
	}
	if err := api.form(ctx, "/validate_token", url.Values{"token": {token}}, &out); err != nil {
		return failure(io, "gosper token", err)
	}
	if out.Status != 0 {
		return failure(io, "gosper token", errors.New("the token does not count: forged, expired or replaced"))
	}
	fmt.Fprintln(io.out, out.Data.UID)
	return exitOK
}
