package pebble

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/cockroachdb/pebble/v2/vfs"

	"gosper/broker"
	"gosper/broker/brokertest"
)

// jobCall is one call about one job, with what it answered.
type jobCall struct {
	verb  string // put, reserve, release, bury, kick, delete
	lease uint64
	ok    bool
}

// jobModel is what one job may do, one call at a time: it is absent, ready, buried, or reserved under a token.
var jobModel = porcupine.Model{
	Init: func() any { return "absent" },
	Step: func(state, input, _ any) (bool, any) {
		s, c := state.(string), input.(jobCall)
		held := fmt.Sprint("held ", c.lease)
		switch {
		case c.verb == "put":
			return s == "absent", "ready"
		case c.verb == "reserve":
			return s == "ready", held
		case c.verb == "kick" && c.ok:
			return s == "buried", "ready"
		case c.verb == "kick":
			return s != "buried", s
		case !c.ok: // with a lease that is over
			return s != held, s
		case c.verb == "release":
			return s == held, "ready"
		case c.verb == "bury":
			return s == held, "buried"
		}
		return s == held, "gone"
	},
}

// TestQueueHistories lets clients work at once on few jobs, also with leases that are over and twice with the same one, and
// checks the history of each job against the model: there is an order of the calls that explains all answers.
func TestQueueHistories(t *testing.T) {
	for round := range 60 / slowdown {
		db := open(t, "db", Options{FS: vfs.NewMem(), window: 8})
		for id, history := range jobHistories(t, db.Queue(), uint64(round)) {
			if !porcupine.CheckOperations(jobModel, history) {
				t.Errorf("round %d: no order explains what job %d answered: %+v", round, id, history)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func jobHistories(t *testing.T, q *Queue, seed uint64) map[uint64][]porcupine.Operation {
	v := brokertest.Verbs{T: t, Q: q}
	var mu sync.Mutex
	histories := make(map[uint64][]porcupine.Operation)
	start := time.Now()
	note := func(client int, id uint64, from time.Duration, c jobCall) {
		mu.Lock()
		defer mu.Unlock()
		histories[id] = append(histories[id], porcupine.Operation{
			ClientId: client, Input: c, Call: from.Nanoseconds(), Return: time.Since(start).Nanoseconds(),
		})
	}
	var wait sync.WaitGroup
	for client := range 6 {
		wait.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(client)))
			for range 12 {
				from := time.Since(start)
				if random.IntN(3) == 0 {
					note(client, v.Put("t", "x", 0, 0), from, jobCall{verb: "put", ok: true})
				}
				from = time.Since(start)
				j, err := v.Reserve(uint64(client), "t")
				if err != nil {
					continue
				}
				note(client, j.ID, from, jobCall{"reserve", j.Lease, true})
				finish(v, random, client, j, note, start)
			}
		})
	}
	wait.Wait()
	return histories
}

// finish ends a lease, often twice and in several ways at once.
func finish(v brokertest.Verbs, random *rand.Rand, client int, j broker.Job, note func(int, uint64, time.Duration, jobCall), start time.Time) {
	verbs := map[string]func() error{
		"release": func() error { return v.Release(j.ID, j.Lease, 0, 0) },
		"bury":    func() error { return v.Bury(j.ID, j.Lease, 0, "") },
		"delete":  func() error { return v.Delete(j.ID, j.Lease) },
		"kick":    func() error { return v.KickJob(j.ID) },
	}
	names := []string{"release", "bury", "delete", "kick"}
	var wait sync.WaitGroup
	for i := range 1 + random.IntN(3) {
		verb := names[random.IntN(len(names))]
		wait.Go(func() {
			from := time.Since(start)
			err := verbs[verb]()
			note(client*10+i, j.ID, from, jobCall{verb, j.Lease, err == nil})
		})
	}
	wait.Wait()
}
