package config

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// rig is a folder on disk that is looked at only when a test says so.
type rig struct {
	*Folder
	t   *testing.T
	dir string
	log *lines

	mu  sync.Mutex
	now time.Time // guarded by mu
}

// lines is a log that counts what it holds.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) count(word string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), word)
}

func newRig(t *testing.T, files map[string]string) *rig {
	t.Helper()
	r := &rig{t: t, dir: filepath.Join(t.TempDir(), "config"), log: &lines{}, now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
	for file, data := range files {
		r.write(file, data)
	}
	var err error
	r.Folder, err = Open(Options{Dir: r.dir, Poll: time.Hour, Log: slog.New(slog.NewTextHandler(r.log, nil)), Now: r.clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Close()
		r.Close() // again is nothing
		goleak.VerifyNone(t)
	})
	return r
}

func (r *rig) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *rig) advance(d time.Duration) {
	r.mu.Lock()
	r.now = r.now.Add(d)
	r.mu.Unlock()
	r.look(false)
}

// write writes a file, now by the clock of the rig: whatever day it is by that of the machine.
func (r *rig) write(file, data string) {
	r.t.Helper()
	file = filepath.Join(r.dir, file)
	if err := errors.Join(os.MkdirAll(r.dir, 0o755), os.WriteFile(file, []byte(data), 0o644), os.Chtimes(file, r.clock(), r.clock())); err != nil {
		r.t.Fatal(err)
	}
}

// has checks the content in force, "" for none.
func (r *rig) has(name, want string) {
	r.t.Helper()
	if f, ok := r.Get(name); string(f.Data) != want || ok != (want != "") || ok && f.ETag == "" {
		r.t.Errorf("%s is %q (%v), want %q", name, f.Data, ok, want)
	}
}

// Goal: changes are seen at the next look, and only they are read; what has gone is gone. Method: a folder that does not
// exist at first.
func TestFolderFollows(t *testing.T) {
	r := newRig(t, nil)
	if r.Names() == nil || len(r.Names()) > 0 || string(r.All().Data) != `{}` {
		t.Error(r.Names(), r.All())
	}
	r.write("gift.json", `{"a":1}`)
	r.write("readme.txt", "no config")
	r.has("gift", "")
	r.look(false)
	r.has("gift", `{"a":1}`)
	one, _ := r.Get("gift")
	r.write("gift.json", `{"a":2}`) // of the same size, perhaps at the same time
	r.look(false)
	r.has("gift", `{"a":2}`)
	two, _ := r.Get("gift")
	if one.ETag == two.ETag || string(one.Data) != `{"a":1}` {
		t.Error("the old content has changed")
	}
	if err := os.Remove(filepath.Join(r.dir, "gift.json")); err != nil {
		t.Fatal(err)
	}
	r.look(false)
	r.has("gift", "")
	if r.log.count("level=ERROR") > 0 || r.log.count("has gone") != 1 {
		t.Error(r.log.b.String())
	}
}

// Goal: after Options.Reread everything is read anew, though size and time are the same. Method: a file of a long past time
// changes behind the back of the folder.
func TestFolderRereads(t *testing.T) {
	r := newRig(t, map[string]string{"gift.json": `1`})
	past := r.now.Add(-time.Hour)
	change := func(data string) {
		r.write("gift.json", data)
		if err := os.Chtimes(filepath.Join(r.dir, "gift.json"), past, past); err != nil {
			t.Fatal(err)
		}
	}
	change(`2`)
	r.look(false)
	r.has("gift", `2`)
	change(`3`)
	r.advance(DefaultReread - time.Second)
	r.has("gift", `2`)
	r.advance(time.Second)
	r.has("gift", `3`)
	change(`4`)
	r.Reread()
	r.has("gift", `4`)
}

// Goal: a broken file is said once a change, its last good content stays, and good content ends it. Method: a row a kind of
// damage; each is looked at three times.
func TestFolderKeepsTheLastGoodContent(t *testing.T) {
	for _, row := range []struct{ name, data, says string }{
		{"cut", `{"a":`, "line 1"},
		{"second line", "{\n\"a\":x}", "line 2"},
		{"two values", `{} {}`, "is not JSON"},
		{"empty", ``, "is not JSON"},
		{"bytes", "\"\xff\"", "UTF-8"},
		{"largest", strings.Repeat(" ", MaxFile-1) + "1", ""},
		{"too large", strings.Repeat(" ", MaxFile) + "1", "more than"},
		{"deep", strings.Repeat("[", 100_000), "is not JSON"},
		{"mark", "\xef\xbb\xbf{}", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t, map[string]string{"gift.json": `{"a":1}`})
			r.write("gift.json", row.data)
			for range 3 {
				r.look(false)
				r.Reread()
			}
			f, _ := r.Get("gift")
			if row.says == "" {
				if f.Broken != nil || bytes.Equal(f.Data, []byte(`{"a":1}`)) {
					t.Error(f.Broken)
				}
				return
			}
			r.has("gift", `{"a":1}`)
			if f.Broken == nil || !strings.Contains(f.Broken.Error(), row.says) || !strings.HasPrefix(f.Broken.Error(), "gift.json: ") {
				t.Error(f.Broken)
			}
			if r.troubles() != 1 || r.log.count("last good content stays") != 1 {
				t.Error(r.troubles(), r.log.b.String())
			}
			r.write("gift.json", `{"a":1}`) // as before
			r.look(false)
			if f, _ := r.Get("gift"); f.Broken != nil || r.troubles() != 0 {
				t.Error(f.Broken)
			}
		})
	}
}

// Goal: what is no file of the folder is not read, and nothing waits or leaves the folder. Method: links out and about, a
// pipe, a folder, names that are none, a file nobody may read.
func TestFolderIsClosedIn(t *testing.T) {
	r := newRig(t, map[string]string{"ok.json": `1`, ".hidden.json": `2`, "a b.json": `3`, "x@tomorrow.json": `4`, "x@2026-02-30.json": `5`,
		strings.Repeat("n", maxName) + ".json": `6`, strings.Repeat("n", maxName+1) + ".json": `7`})
	secret := filepath.Join(filepath.Dir(r.dir), "secret.json")
	if err := errors.Join(os.WriteFile(secret, []byte(`"secret"`), 0o644), os.Symlink(secret, filepath.Join(r.dir, "out.json")),
		os.Symlink("../secret.json", filepath.Join(r.dir, "up.json")), os.Symlink("ok.json", filepath.Join(r.dir, "inside.json")),
		os.Symlink("loop.json", filepath.Join(r.dir, "loop.json")), os.Mkdir(filepath.Join(r.dir, "folder.json"), 0o755),
		syscall.Mkfifo(filepath.Join(r.dir, "pipe.json"), 0o644)); err != nil {
		t.Fatal(err)
	}
	r.look(false)
	if got, want := r.Names(), []string{"inside", strings.Repeat("n", maxName), "ok"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	r.has("inside", `1`)
	for _, name := range []string{"out", "up", "loop", "folder", "pipe", "../secret", "ok.json", "", "a b"} {
		r.has(name, "")
	}
	if r.troubles() != 5 || r.log.count("no good content") != 5 {
		t.Error(r.troubles(), r.log.b.String())
	}
	for range 3 {
		r.look(false)
	}
	if r.log.count("no good content") != 5 {
		t.Error("said again")
	}
}

// Goal: the number of files has a bound at which the folder still works. Method: that many, then one more.
func TestFolderBoundsItsFiles(t *testing.T) {
	files := make(map[string]string)
	for i := range MaxFiles {
		files["f"+string(rune('a'+i/100))+string(rune('a'+i/10%10))+string(rune('a'+i%10))+".json"] = "0"
	}
	r := newRig(t, files)
	if len(r.Names()) != MaxFiles || r.troubles() != 0 {
		t.Fatal(len(r.Names()), r.troubles())
	}
	r.write("z.json", "1")
	for range 3 {
		r.look(false)
	}
	r.has("z", "")
	if r.troubles() != 1 || r.log.count("too many") != 1 {
		t.Error(r.troubles(), r.log.b.String())
	}
}

// Goal: all files together have a bound. Method: files of the largest size up to it, then one byte more.
func TestFolderBoundsItsBytes(t *testing.T) {
	files := make(map[string]string)
	for i := range MaxFolder / MaxFile {
		files["f"+string(rune('a'+i))+".json"] = strings.Repeat(" ", MaxFile-1) + "1"
	}
	r := newRig(t, files)
	if len(r.Names()) != MaxFolder/MaxFile || r.troubles() != 0 {
		t.Fatal(len(r.Names()), r.troubles())
	}
	r.write("z.json", "1")
	r.look(false)
	r.has("z", "")
	if r.troubles() != 1 || r.log.count("too large") != 1 {
		t.Error(r.troubles(), r.log.b.String())
	}
}

// Goal: all that is in force is one object, whose tag changes with any of it. Method: files of two names and the releases.
func TestAll(t *testing.T) {
	r := newRig(t, map[string]string{"gift.json": ` {"a":1} `, "family.json": `[]`, "version.json": `{"2026-11-01":{"server":"1.5"}}`, "cut.json": `{`})
	all := r.All()
	if string(all.Data) != `{"family":[],"gift": {"a":1} ,"version":"1.5"}` || len(all.ETag) != 26 {
		t.Errorf("%s %s", all.Data, all.ETag)
	}
	r.write("gift.json", `{"a":2}`)
	r.look(false)
	if r.All().ETag == all.ETag {
		t.Error("the tag stays")
	}
}

// Goal: a folder that cannot be read leaves everything in force, and counts as one trouble. Method: the folder is moved away
// and comes back with other content.
func TestFolderThatGoesAway(t *testing.T) {
	r := newRig(t, map[string]string{"gift.json": `1`})
	if err := os.Rename(r.dir, r.dir+".away"); err != nil {
		t.Fatal(err)
	}
	r.look(false)
	r.look(true)
	r.has("gift", `1`)
	if r.troubles() != 1 || r.log.count("cannot be read") != 1 {
		t.Error(r.troubles(), r.log.b.String())
	}
	r.write("gift.json", `2`)
	r.look(false)
	r.has("gift", `2`)
	if r.troubles() != 0 || r.log.count("can be read again") != 1 {
		t.Error(r.troubles(), r.log.b.String())
	}
}

// Goal: the content of the latest day that has begun is in force, at midnight of UTC too, and a broken file of a coming day is
// told at once and skipped on its day. Method: three days of one name.
func TestFolderDays(t *testing.T) {
	r := newRig(t, map[string]string{"gift.json": `"always"`, "gift@2026-11-01.json": `"november"`, "gift@2026-11-22.json": `"tomorrow"`,
		"gift@2026-11-23.json": `"cut`})
	r.has("gift", `"november"`)
	if f, _ := r.Get("gift"); f.Version != "2026-11-01" || f.Broken == nil {
		t.Errorf("%+v", f)
	}
	r.advance(12*time.Hour - time.Second)
	r.has("gift", `"november"`)
	r.advance(time.Second)
	r.has("gift", `"tomorrow"`)
	r.advance(24 * time.Hour)
	r.has("gift", `"tomorrow"`)
	r.write("gift@2026-11-23.json", `"now"`)
	r.look(false)
	r.has("gift", `"now"`)
	if f, _ := r.Get("gift"); f.Version != "2026-11-23" || f.Broken != nil {
		t.Errorf("%+v", f)
	}
}

// Goal: the releases are those of the latest day that has begun. Method: the version file, good, bad and missing.
func TestVersions(t *testing.T) {
	r := newRig(t, nil)
	if _, ok := r.Versions(); ok {
		t.Error("a version of nothing")
	}
	r.write("version.json", `{"2026-11-21":{"client":"1.4","server":"1.5"},"2026-01-01":{"client":"1.0","server":"1.0"},"2026-12-24":{"client":"2","server":"2"}}`)
	r.look(false)
	if v, ok := r.Versions(); !ok || v != (Versions{"1.4", "1.5"}) {
		t.Error(v, ok)
	}
	for _, bad := range []string{`{"soon":{"client":"1"}}`, `{"2026-11-21":{}}`, `[]`} {
		r.write("version.json", bad)
		r.look(false)
		if v, ok := r.Versions(); !ok || v.Client != "1.4" || r.troubles() != 1 {
			t.Error(bad, v, ok)
		}
	}
	r.write("version.json", `{"2026-12-24":{"client":"2"}}`)
	r.look(false)
	if _, ok := r.Versions(); ok {
		t.Error("a version before its day")
	}
}

// Goal: a world has the map that names it, and two maps cannot have one world. Method: the file of maps.
func TestWorldMap(t *testing.T) {
	r := newRig(t, map[string]string{"world_map.json": `[{"worlds":"1, 4-7","map":"desert"},{"worlds":"2","map":"sea"}]`})
	for world, want := range map[uint32]string{1: "desert", 2: "sea", 7: "desert", 3: "", 8: ""} {
		m, ok := r.WorldMap(world)
		if ok != (want != "") || !strings.Contains(string(m.Data), want) {
			t.Errorf("world %d: %s %v", world, m.Data, ok)
		}
	}
	for _, bad := range []string{`[{"worlds":"1-3"},{"worlds":"3"}]`, `[{"map":"x"}]`, `[null]`, `[{"worlds":"7-4"}]`, `{}`} {
		r.write("world_map.json", bad)
		r.look(false)
		if f, _ := r.Get("world_map"); f.Broken == nil {
			t.Errorf("%s is good", bad)
		}
	}
	if m, ok := r.WorldMap(2); !ok || !strings.Contains(string(m.Data), "sea") {
		t.Error("the good maps have gone")
	}
}

// Goal: the folder is followed without being told. Method: the real clock and a short poll.
func TestFolderPolls(t *testing.T) {
	dir := t.TempDir()
	f, err := Open(Options{Dir: dir, Poll: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan struct{})
	var once sync.Once
	Bind(f, "gift", 0, func(n *int) error {
		if *n == 7 {
			once.Do(func() { close(seen) })
		}
		return nil
	})
	if err := os.WriteFile(filepath.Join(dir, "gift.json"), []byte("7"), 0o644); err != nil {
		t.Fatal(err)
	}
	select {
	case <-seen:
	case <-time.After(30 * time.Second):
		t.Error("the change was not seen")
	}
	f.Close()
	goleak.VerifyNone(t)
}

// Goal: options that cannot be are refused, and no folder is one without files. Method: calls.
func TestNothing(t *testing.T) {
	for _, o := range []Options{{}, {Dir: "x", Poll: -1}, {Dir: "x", Reread: -1}} {
		if _, err := Open(o); err == nil {
			t.Errorf("%+v is no error", o)
		}
	}
	var f *Folder
	f.Reread()
	f.Close()
	if _, ok := f.Get("x"); ok || len(f.Names()) > 0 || f.List() != nil {
		t.Error("a nil folder has files")
	}
	if _, ok := f.Versions(); ok {
		t.Error("a nil folder has versions")
	}
	if _, ok := f.WorldMap(1); ok {
		t.Error("a nil folder has maps")
	}
}
