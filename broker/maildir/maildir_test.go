package maildir

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// rig is a Maildir below a fresh root.
func rig(t *testing.T) (*Dir, *os.Root, string) {
	t.Helper()
	path := t.TempDir()
	root, err := os.OpenRoot(path)
	if err != nil {
		t.Fatal(err)
	}
	d, err := Make(root, ".0/.ann")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(d.Close(), root.Close()); err != nil {
			t.Error(err)
		}
	})
	return d, root, filepath.Join(path, ".0", ".ann")
}

// put delivers a mail.
func put(t *testing.T, d *Dir, base, content string) {
	t.Helper()
	f, err := d.Put(NewNamer("").Unique(time.Now()), base, []byte(content))
	if err := errors.Join(err, d.Sync(FolderNew)); err != nil {
		t.Fatal(err)
	}
	if found, err := d.Find(base); err != nil || found.Name != f.Name || found.Size != f.Size || !found.Time.Equal(f.Time) {
		t.Fatalf("put %+v, found %+v, %v", f, found, err)
	}
}

// names lists the mails as folder/name.
func names(t *testing.T, d *Dir) (list []string) {
	t.Helper()
	files, _, err := d.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		list = append(list, f.Folder+"/"+f.Name)
	}
	slices.Sort(list)
	return list
}

// Goal: the life of a mail: delivered once, listed, read, flagged, found, removed. Method: each step, and what the folders
// hold after it.
func TestLifeOfAMail(t *testing.T) {
	d, root, path := rig(t)
	put(t, d, "1.a", "hello")
	if _, err := d.Put("other", "1.a", []byte("hello")); !errors.Is(err, fs.ErrExist) {
		t.Error("a second time:", err)
	}
	put(t, d, "2.b", "world")
	if left, err := os.ReadDir(filepath.Join(path, "tmp")); err != nil || len(left) > 0 {
		t.Errorf("tmp: %v %v", left, err)
	}
	f, err := d.Find("1.a")
	if err != nil || f.Folder != FolderNew || f.Size != 5 || f.Seen() {
		t.Fatalf("%+v %v", f, err)
	}
	if b, err := d.Read(f, 4); err != nil || string(b) != "hell" {
		t.Errorf("%q %v", b, err)
	}
	long := time.Now().Add(-time.Hour) // the clock of the disk may be too coarse to tell the steps of this test apart
	if err := errors.Join(os.Chtimes(filepath.Join(path, FolderNew), long, long), os.Chtimes(filepath.Join(path, FolderCur), long, long)); err != nil {
		t.Fatal(err)
	}
	before, err := StampOf(root, ".0/.ann")
	if err != nil {
		t.Fatal(err)
	}
	seen, err := d.SetFlags(f, "S")
	if err != nil || !seen.Seen() {
		t.Fatalf("%+v %v", seen, err)
	}
	after, err := StampOf(root, ".0/.ann")
	if newest := time.Unix(0, max(after.New, after.Cur)).Add(tick); err != nil || after == before || after.Settled(newest) || !after.Settled(newest.Add(1)) {
		t.Errorf("stamp %v, then %v, %v", before, after, err)
	}
	if _, err := d.SetFlags(f, "RS"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("flags of a mail that somebody moved:", err)
	}
	if seen, err = d.SetFlags(seen, "SRS"); err != nil || seen.Name != "1.a:2,RS" {
		t.Errorf("%+v %v", seen, err)
	}
	if got := names(t, d); !slices.Equal(got, []string{"cur/1.a:2,RS", "new/2.b"}) {
		t.Error(got)
	}
	if err := errors.Join(d.Remove(seen), d.Sync(FolderCur)); err != nil {
		t.Error(err)
	}
	if _, err := d.Find("1.a"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("removed:", err)
	}
	if err := d.Remove(seen); !errors.Is(err, fs.ErrNotExist) {
		t.Error("removed twice:", err)
	}
}

// Goal: what is no mail is left out, and old files of tmp/ go. Method: dot files, folders, links, files of two ages.
func TestStrangers(t *testing.T) {
	d, _, path := rig(t)
	put(t, d, "1.a", "x")
	now := time.Now()
	for _, name := range []string{"new/.hidden", "tmp/old", "tmp/young"} {
		if err := os.WriteFile(filepath.Join(path, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Mkdir(filepath.Join(path, "cur", "folder"), 0o700), os.Symlink("/etc/passwd", filepath.Join(path, "cur", "link")),
		os.Chtimes(filepath.Join(path, "tmp", "old"), now, now.Add(-TmpAge-time.Second))); err != nil {
		t.Fatal(err)
	}
	if got := names(t, d); !slices.Equal(got, []string{"new/1.a"}) {
		t.Error(got)
	}
	if n, err := d.Clean(now); n != 1 || err != nil {
		t.Error(n, err)
	}
	if _, err := os.Stat(filepath.Join(path, "tmp", "young")); err != nil {
		t.Error(err)
	}
	if _, err := d.Read(File{Folder: FolderCur, Name: "link"}, 10); err == nil {
		t.Error("a link led outside")
	}
}

// Goal: nothing is read or written outside of the root. Method: hostile names and folders.
func TestTraversal(t *testing.T) {
	d, root, _ := rig(t)
	for _, base := range []string{"", "../x", "a/b", ".x", "a:2,S", "a\x00b", strings.Repeat("x", 201)} {
		if _, err := d.Put("tmp", base, nil); err == nil {
			t.Errorf("%q was delivered", base)
		}
		if _, err := d.Put(base, "base", nil); err == nil {
			t.Errorf("%q was written", base)
		}
	}
	for _, path := range []string{"../x", "/tmp/x", ".0/../../x"} {
		if d, err := Make(root, path); err == nil {
			t.Errorf("%q was made: %v", path, d.Close())
		}
	}
	if _, err := Open(root, ".0/.nobody"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if got := names(t, d); len(got) > 0 {
		t.Error(got)
	}
}

// Goal: unique names are unique and safe. Method: many of several namers; hostile hosts.
func TestUnique(t *testing.T) {
	seen := map[string]bool{}
	at := time.Unix(1e9, 123456789)
	for _, host := range []string{"", "a/b:c", "ä ,", "..", strings.Repeat("h", 300)} {
		n := NewNamer(host)
		for range 100 {
			name := n.Unique(at)
			if seen[name] || !validBase(WithSize(name, 1<<30)) || !strings.HasPrefix(name, "1000000000.M123456P") {
				t.Fatalf("%q", name)
			}
			seen[name] = true
		}
	}
	if got := NewNamer("a/b:c").Host(); got != `a\057b\072c` {
		t.Error(got)
	}
}

// Goal: mail programs in another language see what we deliver, and we see what they do. Method: Python's mailbox.Maildir
// reads, flags, adds and removes.
func TestPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3")
	}
	d, _, path := rig(t)
	put(t, d, WithSize("1.a", 16), "subj: one\n\nhello")
	put(t, d, "2.b", "subj: two\n\nworld")
	script := `
import mailbox, sys
box = mailbox.Maildir(sys.argv[1], create=False)
assert len(box) == 2, list(box.keys())
m = box["1.a,S=16"]
assert m["subj"] == "one" and m.get_payload() == "hello" and m.get_subdir() == "new", m
m.set_subdir("cur"); m.set_flags("RS"); box["1.a,S=16"] = m
box.remove("2.b")
box.add(mailbox.MaildirMessage("subj: three\n\nfrom python"))
`
	if out, err := exec.CommandContext(t.Context(), python, "-c", script, path).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	got := names(t, d)
	if len(got) != 2 || got[0] != "cur/1.a,S=16:2,RS" || !strings.HasPrefix(got[1], "new/") {
		t.Error(got)
	}
}

// Goal: any name is parsed, and what is made of it is parsed the same again. Method: fuzz.
func FuzzParseName(f *testing.F) {
	for _, name := range []string{"1.M2P3Q4R5.host,S=10:2,FS", "a:1,x", "a:2,", ":", "a:2,SSRa z:2,T", "a"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		base, flags := ParseName(name)
		if strings.Contains(base, ":") || !strings.HasPrefix(name, base) {
			t.Errorf("base %q of %q", base, name)
		}
		again, same := ParseName(FormatName(base, flags))
		if again != base || same != flags {
			t.Errorf("%q: %q %q, then %q %q", name, base, flags, again, same)
		}
	})
}

// Goal: any host gives names that a Maildir takes. Method: fuzz.
func FuzzHost(f *testing.F) {
	f.Add("a/b:c")
	f.Fuzz(func(t *testing.T, host string) {
		if name := NewNamer(host).Unique(time.Unix(1, 0)); !validBase(name) {
			t.Errorf("%q", name)
		}
	})
}
