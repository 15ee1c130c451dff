package main

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
)

// Goal: gosper health tells by its exit code how a node is, without a token. Method: ask where no node is, then a node that
// runs with a token, alive and ready; wrong words are refused.
func TestHealth(t *testing.T) {
	t.Setenv("GOSPER_INTERNAL_TOKEN", "a token of the internal port")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	out, errs := newWatched(), newWatched()
	exit := make(chan int, 1)
	go func() {
		exit <- run(ctx, []string{"serve", "--data", filepath.Join(t.TempDir(), "data"), "--line-addr", "127.0.0.1:0", "--gate-addr", "", "--gate-worker-addr", "",
			"--http-addr", "", "--internal-addr", "127.0.0.1:0", "--limit-drain-spread", "0s"}, stdio{strings.NewReader(""), out, errs})
	}()
	internal := out.await(t, `internal +http://(\S+)/metrics`)
	t.Setenv("GOSPER_INTERNAL_TOKEN", "")
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--internal-addr", internal}, exitOK, "ready"},
		{[]string{"--alive", "--internal-addr", internal}, exitOK, "ok"},
		{[]string{"--internal-addr", "127.0.0.1:1"}, exitError, "no node answers"},
		{[]string{"now"}, exitUsage, "unexpected argument"},
	} {
		code, text, errs := run0(append([]string{"health"}, c.args...)...)
		if code != c.code || !strings.Contains(text+errs, c.says) {
			t.Errorf("health %v: exit %d, %q %q", c.args, code, text, errs)
		}
	}
	cancel()
	if code := <-exit; code != exitOK {
		t.Errorf("the node ended with %d", code)
	}
}
