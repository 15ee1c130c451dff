package main

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"gosper/broker/redis/redistest"
)

// Goal: one command is a whole cluster: who stands on one node is heard on another, a node can be killed and comes back on
// its ports, and all ends when somebody quits. Method: the command as a shell runs it, with pipes as keyboards.
func TestCluster(t *testing.T) {
	redistest.Need(t)
	keyboard, typed := io.Pipe()
	defer typed.Close()
	out, errs := newWatched(), newWatched()
	exit := make(chan int, 1)
	go func() {
		exit <- run(t.Context(), []string{"cluster", "--nodes", "2", "--nats", "1"}, stdio{keyboard, out, errs})
	}()
	t.Setenv("GOSPER_INTERNAL_ADDR", out.await(t, `n1 .*metrics http://(\S+)/metrics`)) // where both nonces are made
	var heard [2]*watched
	var says [2]*io.PipeWriter
	gone := make(chan int, 2)
	for i, name := range []string{"ann", "ben"} {
		page := out.await(t, fmt.Sprintf(`n%d +page http://(\S+)/ `, i+1))
		var in io.Reader
		in, says[i] = io.Pipe()
		heard[i] = newWatched()
		go func() {
			gone <- run(t.Context(), []string{"chat", "--url", "ws://" + page + "/ws", "--name", name}, stdio{in, heard[i], heard[i]})
		}()
		fmt.Fprintln(says[i], "/who")
		heard[i].await(t, `(here: )`) // and subscribed
	}
	fmt.Fprintln(says[1], "from the other node")
	heard[0].await(t, `(ben: from the other node)`)
	for i := range says {
		fmt.Fprintln(says[i], "/quit")
		<-gone
	}
	for _, step := range []struct{ word, answer string }{
		{"state", `(n2 is ready)`}, {"kill 1", `(n1 is ended)`}, {"start n1", `n1 is ended[^$]*(n1 is ready)`},
		{"kill 7", `(no node "7")`}, {"what", `(commands:)[^$]*commands:[^$]*commands:`},
	} {
		fmt.Fprintln(typed, step.word)
		out.await(t, step.answer)
	}
	fmt.Fprintln(typed, "quit")
	if code := <-exit; code != exitOK {
		t.Errorf("exit code %d: %s", code, errs.text.String())
	}
}

// Goal: what cannot be is told in one line. Method: table.
func TestClusterRefuses(t *testing.T) {
	for _, c := range []struct {
		want string
		args []string
	}{
		{"nodes: must", []string{"--nodes", "99"}},
		{"nats: must", []string{"--nats", "2"}},
		{"bus: must", []string{"--bus", "post"}},
		{"port: must", []string{"--port", "65530"}},
	} {
		code, _, errs := runWith(t.Context(), "", append([]string{"cluster"}, c.args...)...)
		if code != exitError || !strings.Contains(errs, c.want) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%v: code %d, %q", c.args, code, errs)
		}
	}
}
