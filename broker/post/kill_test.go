package post

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gosper/broker/maildir"
	"gosper/broker/memory"
	"gosper/broker/pebble"
)

// checkOnce reports mails that are not exactly one file, and files of tmp/ that are no mails of a crash. accepted holds box
// and key.
func checkOnce(t *testing.T, root string, accepted map[Box][]string) {
	t.Helper()
	for box, keys := range accepted {
		count := map[string]int{}
		for _, name := range files(t, root, box) {
			if strings.HasPrefix(name, "tmp/") {
				continue
			}
			content, err := os.ReadFile(filepath.Join(root, box.path(), name))
			if err != nil {
				t.Fatal(err)
			}
			count[parse(content, name, time.UTC).Key]++
		}
		for _, key := range keys {
			if count[key] != 1 {
				t.Errorf("mail %s of %s is %d files", key, box.path(), count[key])
			}
			delete(count, key)
		}
		for key, n := range count {
			if n != 1 { // one that was accepted, whose answer the crash swallowed
				t.Errorf("mail %s of %s, not acknowledged, is %d files", key, box.path(), n)
			}
		}
	}
}

var errCrash = errors.New("crash")

// Goal: each accepted mail ends as exactly one file, wherever the work on it is cut. Method: 600 offices over one folder
// and one store, each cut at a random step, after which nothing more is done; between two of them another reader moves
// some of the files to cur/ and flags them.
func TestCut(t *testing.T) {
	root, store, random := t.TempDir(), memory.NewStore(), rand.New(rand.NewPCG(1, 2))
	accepted := map[Box][]string{}
	for round := range 600 {
		cut := random.IntN(12)
		left := cut
		var mu sync.Mutex
		o := open(t, Options{Root: root, Store: store, BoxLimit: 1000, Workers: 2, step: func(string) error {
			mu.Lock()
			defer mu.Unlock()
			left--
			if left <= 0 {
				return errCrash
			}
			return nil
		}})
		if cut > 0 {
			box := Box{"0", fmt.Sprint("u", round%40)}
			for range 1 + random.IntN(4) {
				accepted[box] = append(accepted[box], send(t, o, box, Mail{Body: fmt.Sprint(round)}))
			}
			if round%2 == 0 { // else the workers come as far as they come
				if _, err := o.Get(t.Context(), box, accepted[box][0]); err != nil {
					t.Error(err)
				}
				if _, err := o.All(t.Context(), box); err != nil {
					t.Error(err)
				}
			}
		}
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
		moveSome(t, o.options.Root, random, accepted)
	}
	o := open(t, Options{Root: root, Store: store, BoxLimit: 1000})
	for box, keys := range accepted {
		if got := keysOf(o.All(t.Context(), box)); !sameSet(got, keys) {
			t.Errorf("%s: got %v, want %v", box.path(), got, keys)
		}
	}
	checkOnce(t, root, accepted)
	if left, err := store.List(t.Context(), spoolPrefix, "", 10); err != nil || len(left) > 0 {
		t.Errorf("%d records in the spool, %v", len(left), err)
	}
}

// moveSome is another mail program: it moves about a third of the new mails to cur/.
func moveSome(t *testing.T, path string, random *rand.Rand, boxes map[Box][]string) {
	t.Helper()
	root, err := os.OpenRoot(path)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for box := range boxes {
		dir, err := maildir.Open(root, box.path())
		if err != nil {
			continue // not made yet
		}
		list, _, err := dir.List()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range list {
			if f.Folder == maildir.FolderNew && random.IntN(3) == 0 {
				if _, err := dir.SetFlags(f, "S"); err != nil {
					t.Error(err)
				}
			}
		}
		dir.Close()
	}
}

// childDir is the variable that makes the test binary the victim of TestKill, with its folder.
const childDir = "GOSPER_POST_TEST_CHILD"

// kills is how many processes TestKill kills.
const kills = 110

// Goal: each mail whose acceptance a process has reported is exactly one file, after SIGKILL at any moment. Method: real
// processes over one folder and one database, killed some random time after their first report; then one that ends well.
func TestKill(t *testing.T) {
	t.Parallel() // it waits for the disk most of the time
	dir := t.TempDir()
	accepted := map[Box][]string{}
	for range kills {
		follow(t, dir, accepted)
		if t.Failed() {
			return
		}
	}
	db, err := pebble.Open(filepath.Join(dir, "store"), pebble.Options{CommitTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	o := open(t, Options{Root: filepath.Join(dir, "mail"), Store: db.Store(), BoxLimit: MaxBoxLimit})
	total := 0
	for box, keys := range accepted {
		total += len(keys)
		if _, err := o.All(t.Context(), box); err != nil {
			t.Error(err)
		}
	}
	checkOnce(t, o.options.Root, accepted)
	t.Logf("%d kills, %d accepted mails", kills, total)
	if err := errors.Join(o.Close(), db.Close()); err != nil {
		t.Error(err)
	}
}

// lifetime is how long a victim lives after its first report, at most.
const lifetime = 25 * time.Millisecond

// follow runs a victim until it is killed and collects what it has reported.
func follow(t *testing.T, dir string, accepted map[Box][]string) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	child.Env = append(os.Environ(), childDir+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var kill *time.Timer
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if kill == nil {
			kill = time.AfterFunc(rand.N(lifetime), func() { _ = child.Process.Kill() })
		}
		var box Box
		var key string
		if n, _ := fmt.Sscan(lines.Text(), &box.World, &box.UID, &key); n == 3 {
			accepted[box] = append(accepted[box], key)
		}
	}
	_ = child.Wait() // it was killed, so this is an error
	if kill == nil {
		t.Error("the victim ended before its first report")
	}
}

// runChild is the victim: senders that report every accepted mail in one write, so that it outlives the process, and
// readers that move and flag.
func runChild(dir string) {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	ctx := context.Background()
	db, err := pebble.Open(filepath.Join(dir, "store"), pebble.Options{CommitTimeout: time.Minute})
	fail(err)
	o, err := Open(Options{Root: filepath.Join(dir, "mail"), Store: db.Store(), BoxLimit: MaxBoxLimit, Workers: 3})
	fail(err)
	var wait sync.WaitGroup
	for i := range 4 {
		wait.Go(func() {
			for n := 0; ; n++ {
				box := Box{fmt.Sprint(i % 2), fmt.Sprint("u", rand.IntN(24))}
				key, err := o.Send(ctx, box, Mail{Body: strings.Repeat("x", n%200)})
				fail(err)
				fmt.Fprintln(os.Stdout, box.World, box.UID, key, ".")
				if n%8 == i {
					mails, err := o.New(ctx, box)
					fail(err)
					for _, m := range mails {
						fail(o.MarkRead(ctx, box, m.Key))
					}
				}
			}
		})
	}
	wait.Wait()
}
