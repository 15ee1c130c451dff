package pebble

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// childOneThread is the variable that lets the victim do its fsyncs on one thread.
const childOneThread = childDir + "_ONE_THREAD"

// TestKillAtFsync kills a process under load right before its fsync number N, for many N from the first start on, then
// the next one in the same folder before its fsync number N, and looks whether the folder opens and holds all that both
// had reported as acknowledged. strace does the killing. GOSPER_FSYNC_KILLS sets how many; 100 are every N up to 100.
//
// The kernel keeps what a killed process had written, synced or not: this is a test of the order of files, names and
// answers around each fsync. TestPowerCuts is the one that loses what was not synced.
func TestKillAtFsync(t *testing.T) {
	needStrace(t)
	kills := countFrom("GOSPER_FSYNC_KILLS", 100/slowdown)
	if testing.Short() {
		kills = 2
	}
	t.Parallel() // it waits for the disk and for strace most of the time
	r := report{crashes: "kills at an fsync"}
	defer r.print(t)
	files := make(map[string]int)
	for _, n := range fsyncNumbers(kills) {
		dir := filepath.Join(t.TempDir(), "db")
		var reports [2][killWorkers]progress
		for round := range reports {
			var file string
			reports[round], file = killAtFsync(t, dir, round, n)
			files[file]++
		}
		db, err := Open(dir, testOptions(t, Options{}))
		if err != nil {
			t.Fatalf("fsync %d: %v", n, err)
		}
		for round, workers := range reports {
			for i, p := range workers {
				w := &worker{name: childName(round, i)}
				r.check(t, w.verify(db, p, p, db.bus.epoch), "fsync %d, round %d", n, round)
				r.acknowledged += p.sum()
			}
			r.count++
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			return
		}
	}
	if r.acknowledged == 0 {
		t.Error("no child lived to report anything")
	}
	t.Logf("files whose fsync was the last: %v", files)
}

// needStrace skips the test where no process can be traced.
func needStrace(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("strace is not installed: nothing can be killed at a certain fsync")
	}
	if out, err := exec.Command("strace", "-f", "-qq", "-o", os.DevNull, os.Args[0], "-test.run=^$").CombinedOutput(); err != nil {
		t.Skipf("strace can not trace a process here (%v: %s)", err, bytes.TrimSpace(out))
	}
}

// fsyncNumbers returns the fsyncs to kill at: each of the first ones, or, if they are fewer than 100, numbers up to 100
// that lie closer at the start, where a database is made.
func fsyncNumbers(kills int) []int {
	numbers := make([]int, kills)
	for i := range numbers {
		if numbers[i] = i + 1; kills < 100 {
			numbers[i] = max(i+1, (i+1)*(i+1)*100/(kills*kills))
		}
	}
	return numbers
}

// killAtFsync returns what each worker of the child had been acknowledged, and the kind of file whose fsync number n was
// the one that did not happen.
func killAtFsync(t *testing.T, dir string, round, n int) ([killWorkers]progress, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	calls := filepath.Join(t.TempDir(), "calls")
	child := childCommand(exec.CommandContext(ctx, "strace", "-f", "-qq", "-y", "-o", calls,
		"-e", "trace=fsync,fdatasync", "-e", fmt.Sprintf("inject=fsync,fdatasync:signal=SIGKILL:when=%d", n),
		os.Args[0], "-test.run=^$"), dir, round)
	child.Env = append(child.Env, childOneThread+"=1")
	reports := follow(t, child, func() {})
	err := child.Wait() // strace ends as its child did
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL || ctx.Err() != nil {
		t.Fatalf("fsync %d, round %d: the child was not killed: %v, %v", n, round, err, ctx.Err())
	}
	text, err := os.ReadFile(calls)
	if err != nil {
		t.Fatal(err)
	}
	file, ended := lastFsync(string(text), n)
	if ended != n-1 {
		t.Fatalf("round %d: %d fsyncs had ended when the child was killed, want %d:\n%s", round, ended, n-1, text)
	}
	return reports, fileKind(file)
}

var fsyncLine = regexp.MustCompile(`^\d+ +f(?:data)?sync\(\d+<([^>]*)>`)

// lastFsync returns the file of fsync number n, and how many fsyncs ended. While threads die, strace may write the last
// call again, for any of them.
func lastFsync(text string, n int) (file string, ended int) {
	for line := range strings.Lines(text) {
		if m := fsyncLine.FindStringSubmatch(line); m != nil && ended == n-1 && file == "" {
			file = m[1]
		}
		if strings.Contains(line, "sync") && strings.HasSuffix(line, "= 0\n") {
			ended++
		}
	}
	return file, ended
}

// fileKind names a file by what it is, without its number.
func fileKind(path string) string {
	switch name, ext := filepath.Base(path), filepath.Ext(path); {
	case name == "db":
		return "folder"
	case ext != "":
		return ext
	case strings.HasPrefix(name, "MANIFEST-"):
		return "MANIFEST"
	}
	return "parent folder"
}

// childOptions are the options of the victim. The one that dies at an fsync flushes often, so that tables, the manifest
// and the mark have their share in the first hundred.
func childOptions() Options {
	o := Options{MinFree: 1 << 20, MemTable: 512 << 10, CommitTimeout: patience}
	if os.Getenv(childOneThread) != "" {
		fs := oneThreadFS{vfs.Default, make(chan syncCall)}
		go fs.run()
		o.FS, o.MemTable = fs, 64<<10
	}
	return o
}

// oneThreadFS makes every fsync on one thread and with one system call: strace counts each thread and each call by
// itself. So the N-th fsync of the process is the N-th that strace counts.
type oneThreadFS struct {
	vfs.FS
	calls chan syncCall
}

type syncCall struct {
	file vfs.File
	done chan error
}

func (fs oneThreadFS) run() {
	runtime.LockOSThread()
	for c := range fs.calls {
		c.done <- c.file.Sync()
	}
}

func (fs oneThreadFS) wrap(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return oneThreadFile{f, fs}, nil
}

func (fs oneThreadFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return fs.wrap(fs.FS.Create(name, c))
}

func (fs oneThreadFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return fs.wrap(fs.FS.OpenReadWrite(name, c, o...))
}

func (fs oneThreadFS) OpenDir(name string) (vfs.File, error) { return fs.wrap(fs.FS.OpenDir(name)) }

func (fs oneThreadFS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return fs.wrap(fs.FS.ReuseForWrite(old, name, c))
}

func (fs oneThreadFS) Unwrap() vfs.FS { return fs.FS }

type oneThreadFile struct {
	vfs.File
	fs oneThreadFS
}

func (f oneThreadFile) Sync() error {
	c := syncCall{f.File, make(chan error, 1)}
	f.fs.calls <- c
	return <-c.done
}

func (f oneThreadFile) SyncData() error            { return f.Sync() }
func (f oneThreadFile) SyncTo(int64) (bool, error) { return true, f.Sync() }
