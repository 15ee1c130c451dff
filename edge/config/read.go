package config

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"
)

// path is one file of the folder.
type path struct {
	file, name, day string // file is name + "@" + day + ".json", or name + ".json"

	size     int64 // of the content that was read last, good or not
	modified time.Time
	seen     time.Time         // when it was read
	sum      [sha256.Size]byte // of what was read

	good     []byte    // last content that passed every check; nil when none did
	goodTime time.Time // its time of change
	broken   error     // why the content that was read last is not good
}

// settled is how much older than our look at it the time of a file must be before we trust that the same time means
// the same content: clocks of file systems are coarse.
const settled = 3 * time.Second

// compareNames orders names as lists show them.
func compareNames(a, b string) int { return cmp.Compare(a, b) }

// SplitName takes a file name apart: "family@2026-11-01.json" is family from that day on. It is false for what is no
// file of a folder; names have 1 to 64 letters, digits, _ and -.
func SplitName(file string) (name, day string, ok bool) {
	base, json := strings.CutSuffix(file, ".json")
	name, day, dated := strings.Cut(base, "@")
	return name, day, json && validName(name) && (!dated || validDay(day))
}

const maxName = 64

func validName(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// validDay says whether a text is a day as files spell it.
func validDay(s string) bool {
	_, err := time.Parse(time.DateOnly, s)
	return err == nil
}

// look reads what has changed, or all, and puts it in force.
func (f *Folder) look(all bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.options.Now()
	if all = all || now.Sub(f.read) >= f.options.Reread; all {
		f.read = now
	}
	err := f.scan(now, all)
	f.complain(err)
	f.settle()
}

// complain logs why the folder cannot be read, once a change.
func (f *Folder) complain(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text == f.trouble {
		return
	}
	if f.trouble = text; err == nil {
		f.options.Log.Info("the config folder can be read again", "folder", f.options.Dir)
		return
	}
	f.options.Log.Error("the config folder cannot be read: what was read before stays in force", "folder", f.options.Dir, "error", err)
}

// scan reads the files that look different, all when told so, and forgets those that have gone. The folder is opened
// anew each time, because it may have been swapped for another one.
func (f *Folder) scan(now time.Time, all bool) error {
	root, err := os.OpenRoot(f.options.Dir)
	if errors.Is(err, fs.ErrNotExist) && len(f.paths) == 0 {
		return nil // no folder is a folder without files
	}
	if err != nil {
		return err
	}
	defer root.Close()
	names, err := list(root)
	if err != nil {
		return err
	}
	here, bytes := make(map[string]bool, len(names)), int64(0)
	for i, file := range names {
		info, err := root.Stat(file)
		if err == nil && info.Mode().IsRegular() {
			bytes += min(info.Size(), MaxFile)
		}
		if i == MaxFiles || bytes > MaxFolder {
			break
		}
		here[file] = true
		f.visit(root, file, visit{info, err, now, all})
	}
	for file, p := range f.paths {
		if !here[file] {
			f.options.Log.Info("a config file has gone", "file", p.file)
			delete(f.paths, file)
		}
	}
	if len(here) < len(names) {
		return fmt.Errorf("%d files are too many or too large: the first %d by name count", len(names), len(here))
	}
	return nil
}

// list returns the files of a folder, sorted.
func list(root *os.Root) ([]string, error) {
	d, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	defer d.Close()
	all, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	names := slices.DeleteFunc(all, func(file string) bool { _, _, ok := SplitName(file); return !ok })
	slices.Sort(names)
	return names, nil
}

// visit is what is known of a file before it is read.
type visit struct {
	info fs.FileInfo
	err  error // why there is no info
	now  time.Time
	all  bool // read it in any case
}

// visit reads one file if it has to.
func (f *Folder) visit(root *os.Root, file string, v visit) {
	p := f.paths[file]
	if p == nil {
		name, day, _ := SplitName(file)
		p = &path{file: file, name: name, day: day}
		f.paths[file] = p
	}
	err := v.err
	if err == nil && !v.all && v.info.Size() == p.size && v.info.ModTime().Equal(p.modified) && p.seen.Sub(p.modified) > settled {
		return
	}
	var data []byte
	if err == nil {
		data, err = read(root, file)
	}
	if err != nil {
		p.seen, p.sum = time.Time{}, [sha256.Size]byte{}
		f.broken(p, err)
		return
	}
	p.size, p.modified, p.seen = v.info.Size(), v.info.ModTime(), v.now
	f.take(p, data)
}

// take checks content and keeps it when it is good.
func (f *Folder) take(p *path, data []byte) {
	sum := sha256.Sum256(data)
	if sum == p.sum {
		return // what was said of this content stands
	}
	p.sum = sum
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // some editors put this mark before a text
	err := valid(data)
	for _, b := range f.bindings[p.name] {
		if err == nil {
			err = b.check(data)
		}
	}
	if err != nil {
		f.broken(p, err)
		return
	}
	if p.good != nil || p.broken != nil {
		f.options.Log.Info("a config file has changed", "file", p.file)
	}
	p.good, p.goodTime, p.broken = data, p.modified, nil
	metrics.changes.Inc()
}

// broken notes and logs, once a change, why a file is not good.
func (f *Folder) broken(p *path, err error) {
	said := p.broken
	if p.broken = err; said != nil && said.Error() == err.Error() {
		return
	}
	metrics.refused.Inc()
	stays := "there is no good content of it to use instead"
	if p.good != nil {
		stays = "its last good content stays in force"
	}
	f.options.Log.Error("a config file is broken: "+stays, "file", p.file, "error", err)
}

// valid says why content cannot be that of a file.
func valid(data []byte) error {
	if !utf8.Valid(data) {
		return errors.New("is not UTF-8")
	}
	var any json.RawMessage
	if err := json.Unmarshal(data, &any); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			line := 1 + bytes.Count(data[:min(int(syntax.Offset), len(data))], []byte{'\n'})
			return fmt.Errorf("is not JSON: line %d: %w", line, err)
		}
		return fmt.Errorf("is not JSON: %w", err)
	}
	return nil
}

// read returns the content of a regular file in the folder. It does not wait for a pipe.
func read(root *os.Root, file string) ([]byte, error) {
	h, err := root.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	info, err := h.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("is no regular file")
	}
	data, err := io.ReadAll(io.LimitReader(h, MaxFile+1))
	if err == nil && len(data) > MaxFile {
		err = fmt.Errorf("has more than %d bytes", MaxFile)
	}
	return data, err
}

// settle chooses for every name the content of the latest day that has begun, and gives it to the values bound to it.
func (f *Folder) settle() {
	today := f.options.Now().UTC().Format(time.DateOnly)
	force := make(map[string]File, len(f.paths))
	days := make(map[string]*path, len(f.paths))
	for _, p := range f.paths {
		file := force[p.name]
		file.Name = p.name
		if p.broken != nil && (file.Broken == nil || p.file < file.Broken.(*brokenFile).file) {
			file.Broken = &brokenFile{p.file, p.broken}
		}
		force[p.name] = file
		if best := days[p.name]; p.good != nil && p.day <= today && (best == nil || p.day > best.day) {
			days[p.name] = p
		}
	}
	for name, p := range days {
		file := force[name]
		file.Data, file.Version, file.Modified = p.good, p.day, p.goodTime
		file.ETag = ETag(p.good)
		force[name] = file
	}
	before := f.force
	f.force = force
	for name, bounds := range f.bindings {
		if file := force[name]; file.ETag != before[name].ETag {
			for _, b := range bounds {
				b.set(file.Data)
			}
		}
	}
}

// ETag returns the tag of content, as headers of HTTP have it.
func ETag(data []byte) string {
	sum := sha256.Sum256(data)
	return `"` + hex.EncodeToString(sum[:12]) + `"`
}

// brokenFile says which file of a name is broken.
type brokenFile struct {
	file string
	err  error
}

func (b *brokenFile) Error() string { return b.file + ": " + b.err.Error() }
func (b *brokenFile) Unwrap() error { return b.err }
