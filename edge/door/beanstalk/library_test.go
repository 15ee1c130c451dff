package beanstalk

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	library "github.com/beanstalkd/go-beanstalk"

	"gosper/broker"
	"gosper/broker/memory"
)

// Goal: a client library of beanstalkd works unchanged. Method: github.com/beanstalkd/go-beanstalk puts, reserves, releases,
// buries, kicks, touches, peeks, pauses and reads all statistics.
func TestClientLibrary(t *testing.T) {
	_, addr := serve(t, memory.NewQueue(broker.QueueOptions{}), nil)
	c, err := library.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	tube := library.NewTube(c, "work")
	set := library.NewTubeSet(c, "work", "other")
	first, err := tube.Put([]byte("first"), 10, 0, time.Minute)
	check(err)
	_, err = tube.Put([]byte("later"), 10, time.Hour, time.Minute)
	check(err)
	id, body, err := set.Reserve(time.Second)
	if err != nil || id != first || string(body) != "first" {
		t.Fatal(id, string(body), err)
	}
	check(c.Touch(id))
	check(c.Release(id, 5, 0))
	if _, _, err = set.Reserve(time.Second); err != nil {
		t.Fatal(err)
	}
	check(c.Bury(id, 7))
	if got, body, err := tube.PeekBuried(); err != nil || got != id || string(body) != "first" {
		t.Error(got, string(body), err)
	}
	stats, err := c.StatsJob(id)
	check(err)
	if stats["state"] != "buried" || stats["pri"] != "7" || stats["reserves"] != "2" || stats["releases"] != "1" || stats["tube"] != "work" {
		t.Error(stats)
	}
	if n, err := tube.Kick(10); err != nil || n != 1 {
		t.Error(n, err)
	}
	check(tube.Pause(0))
	all, err := c.Stats()
	check(err)
	if all["current-jobs-ready"] != "1" || all["current-jobs-delayed"] != "1" || all["version"] == "" || all["pid"] == "" {
		t.Error(all)
	}
	one, err := tube.Stats()
	check(err)
	if one["name"] != "work" || one["current-jobs-delayed"] != "1" || one["total-jobs"] != "2" {
		t.Error(one)
	}
	names, err := c.ListTubes()
	if err != nil || strings.Join(names, " ") != "default other work" {
		t.Error(names, err)
	}
	check(c.Delete(id))
	var conn library.ConnError
	if _, _, err = set.Reserve(0); !errors.As(err, &conn) || conn.Err != library.ErrTimeout {
		t.Error(err)
	}
	if _, err = c.Peek(id); !errors.As(err, &conn) || conn.Err != library.ErrNotFound {
		t.Error(err)
	}
}

// Goal: producers and competing consumers lose and double nothing. Method: the library on several connections.
func TestManyClients(t *testing.T) {
	_, addr := serve(t, memory.NewQueue(broker.QueueOptions{}), nil)
	const sides, each = 4, 200
	var mu sync.Mutex
	seen := map[string]int{}
	var work sync.WaitGroup
	for i := range sides {
		work.Go(func() {
			c, err := library.Dial("tcp", addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			for n := range each {
				if _, err := c.Put(fmt.Appendf(nil, "%d/%d", i, n), 1, 0, time.Minute); err != nil {
					t.Error(err)
				}
			}
		})
		work.Go(func() {
			c, err := library.Dial("tcp", addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			for range each {
				id, body, err := c.Reserve(patience)
				if err == nil {
					err = c.Delete(id)
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				seen[string(body)]++
				mu.Unlock()
			}
		})
	}
	work.Wait()
	if len(seen) != sides*each {
		t.Errorf("%d of %d jobs came", len(seen), sides*each)
	}
	for body, n := range seen {
		if n != 1 {
			t.Errorf("%s came %d times", body, n)
		}
	}
}

var numbers = regexp.MustCompile(`[0-9]+`)

// Goal: a conversation does not depend on how its bytes arrive. Method: one, cut at every place, byte by byte.
func TestEveryCut(t *testing.T) {
	talk := "put 0 0 60 5\r\nhe\r\nl\r\nput 0 0 1 65536\r\n" + strings.Repeat("x", 300) + "\r\n"
	talk = strings.Replace(talk, "65536", "300", 1) + strings.Repeat("y", 400) + "\r\nuse abc\r\nlist-tube-used\r\nquit\r\n"
	_, addr := serve(t, memory.NewQueue(broker.QueueOptions{}), nil)
	ask := func(pieces ...string) string {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for _, p := range pieces {
			if _, err := c.Write([]byte(p)); err != nil {
				t.Fatal(err)
			}
		}
		var b strings.Builder
		_ = c.SetReadDeadline(time.Now().Add(patience))
		buf := make([]byte, 4096)
		for {
			n, err := c.Read(buf)
			b.Write(buf[:n])
			if err != nil {
				return numbers.ReplaceAllString(b.String(), "N")
			}
		}
	}
	want := ask(talk)
	if want != "INSERTED N\r\nINSERTED N\r\nBAD_FORMAT\r\nUSING abc\r\nUSING abc\r\n" {
		t.Fatalf("%q", want)
	}
	for i := 1; i < len(talk); i += 7 {
		if got := ask(talk[:i], talk[i:]); got != want {
			t.Fatalf("cut at %d: %q", i, got)
		}
	}
	if got := ask(strings.Split(talk, "")...); got != want {
		t.Fatalf("byte by byte: %q", got)
	}
}
