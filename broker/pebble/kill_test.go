package pebble

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// childDir is the variable that makes the test binary the victim of TestKill, with the folder of its database.
const childDir = "GOSPER_BROKER_TEST_CHILD"

const killWorkers = 16

// lifetime is how long the victim of TestKill lives after its first report, at most.
const lifetime = 80 * time.Millisecond

// TestKill starts a process with a database under load, kills it with SIGKILL at a random moment, and looks whether all
// that it had reported as acknowledged is there; then the next process goes on in the same folder. `make crash` sets
// GOSPER_CRASH_KILLS to run it for longer.
func TestKill(t *testing.T) {
	kills := countFrom("GOSPER_CRASH_KILLS", 200/slowdown)
	if testing.Short() {
		kills = 3
	}
	t.Parallel() // it waits for the disk most of the time
	dir := t.TempDir()
	r := report{crashes: "kills"}
	defer r.print(t)
	var slowest time.Duration
	for round := range kills {
		reports := runAndKill(t, dir, round)
		start := time.Now()
		db, err := Open(dir, testOptions(t, Options{}))
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		slowest = max(slowest, time.Since(start))
		for i, p := range reports {
			w := &worker{name: childName(round, i)}
			r.check(t, w.verify(db, p, p, db.bus.epoch), "round %d", round)
			r.acknowledged += p.sum()
		}
		r.count++
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("slowest start after a kill: %s", slowest)
}

func childName(round, i int) string { return fmt.Sprintf("k%d-%d", round, i) }

// runAndKill returns what each worker of the child had been acknowledged when it was killed.
func runAndKill(t *testing.T, dir string, round int) [killWorkers]progress {
	t.Helper()
	child := childCommand(exec.Command(os.Args[0], "-test.run=^$"), dir, round)
	var kill *time.Timer
	reports := follow(t, child, func() {
		if kill == nil { // the first report: it is up and running
			kill = time.AfterFunc(rand.N(lifetime), func() { child.Process.Kill() })
		}
	})
	_ = child.Wait() // it was killed, so this is an error
	if kill == nil {
		t.Fatal("the child ended before its first report")
	}
	return reports
}

// childCommand makes a command the victim.
func childCommand(child *exec.Cmd, dir string, round int) *exec.Cmd {
	child.Env = append(os.Environ(), childDir+"="+dir, fmt.Sprintf("%s_ROUND=%d", childDir, round))
	child.Stderr = os.Stderr
	return child
}

// follow starts a child and collects its reports until it has ended. It calls reported after each one.
func follow(t *testing.T, child *exec.Cmd, reported func()) (reports [killWorkers]progress) {
	t.Helper()
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); reported() {
		var i int
		var p progress
		if n, _ := fmt.Sscan(lines.Text(), &i, &p.Created, &p.Deleted, &p.Taken, &p.Top, &p.Put, &p.Done); n == 7 {
			reports[i] = p
		}
	}
	return reports
}

// runChild is the victim: it works until it is killed and reports every acknowledgement in a line of its own, written
// at once, so that the line outlives the process.
func runChild(dir string) {
	db, err := Open(dir, childOptions())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	round := countFrom(childDir+"_ROUND", 0)
	var stop atomic.Bool
	var wait sync.WaitGroup
	for i := range killWorkers {
		w := &worker{name: childName(round, i)}
		w.told = func(p progress) {
			_, _ = io.WriteString(os.Stdout, fmt.Sprintln(i, p.Created, p.Deleted, p.Taken, p.Top, p.Put, p.Done, "."))
		}
		wait.Go(func() {
			if err := w.run(db, &stop); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		})
	}
	wait.Wait()
}
