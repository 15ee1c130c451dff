// Package config is a folder of JSON files that operators change while a node runs: durations, limits, gifts, prices,
// what clients of each release should know. Modules bind values to its files, and services and clients read them by HTTP.
//
// A file is named <name>.json, or <name>@2026-11-01.json for content that counts from that day on (UTC). Of the files of
// a name the one with the latest day that has begun is in force; the one without a day is the oldest of them. So a
// change can be laid down ahead, and is checked when it is laid down.
//
// A file in force has been checked: it is JSON, not too large, and every value that is bound to its name takes it. What
// fails a check is broken: it is said in the log once, and in a metric as long as it lasts, and the last good content of
// that file stays in force. What was never good does not count at all: then the file of an earlier day is in force, or
// none, and a bound value is the fallback of the program.
//
// Files are looked at every few seconds by name, size and time, and read anew after a longer time whatever these say,
// which also serves disks whose clocks disagree with ours. That works everywhere, on shared disks and with folders that
// are swapped as a whole by links (as orchestrators do), where notices of the kernel do not come.
package config

import (
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// Limits of a folder. What goes beyond them is broken.
const (
	MaxFile   = 1 << 20  // bytes of a file
	MaxFiles  = 512      // files of a folder; later ones by name are left out
	MaxFolder = 16 << 20 // bytes of all files together; likewise
)

// Defaults of Options.
const (
	DefaultReread = 600 * time.Second
	DefaultPoll   = 2 * time.Second
)

// Options say where a folder is and how often it is looked at.
type Options struct {
	Dir    string           // need not exist; links in it may not lead out of it
	Reread time.Duration    // every file is read anew after this time; 0 is DefaultReread
	Poll   time.Duration    // names, sizes and times are looked at so often; 0 is DefaultPoll
	Log    *slog.Logger     // nil is none
	Now    func() time.Time // nil is time.Now
}

// File is the content of a name that is in force. Its Data may be kept, and must not be written to.
type File struct {
	Name     string
	Data     []byte // valid JSON
	ETag     string // of Data, with its quotes
	Version  string // the day from which it counts, "" for a file without one
	Modified time.Time
	Broken   error // why the newest content of this name is not in force; nil when it is
}

// Folder is an open folder. Its methods may be called from any goroutine; on a nil Folder they find nothing.
type Folder struct {
	options  Options
	versions *Value[calendar]
	maps     *Value[[]WorldMap]
	stop     chan struct{}
	once     sync.Once
	done     sync.WaitGroup

	mu       sync.Mutex
	paths    map[string]*path    // by file name; guarded by mu
	force    map[string]File     // by name; guarded by mu
	bindings map[string][]*bound // by name; guarded by mu
	trouble  string              // why the folder cannot be read, as last said; guarded by mu
	read     time.Time           // when all files were read; guarded by mu
}

// Open reads a folder and follows its changes until Close. Files that are broken are no error.
func Open(o Options) (*Folder, error) {
	if o.Dir == "" {
		return nil, errors.New("config: a folder must be named")
	}
	if o.Reread < 0 || o.Poll < 0 {
		return nil, errors.New("config: times must not be negative")
	}
	if o.Reread == 0 {
		o.Reread = DefaultReread
	}
	if o.Poll == 0 {
		o.Poll = DefaultPoll
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	f := &Folder{options: o, stop: make(chan struct{}), paths: make(map[string]*path), bindings: make(map[string][]*bound)}
	f.Reread()
	f.versions = Bind(f, versionName, calendar{}, checkCalendar)
	f.maps = Bind(f, mapName, []WorldMap{}, checkMaps)
	metrics.watch(f)
	f.done.Go(f.follow)
	return f, nil
}

// follow looks at the folder until Close.
func (f *Folder) follow() {
	tick := time.NewTicker(f.options.Poll)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			f.look(false)
		case <-f.stop:
			return
		}
	}
}

// Reread reads every file now and returns when what they say is in force.
func (f *Folder) Reread() {
	if f != nil {
		f.look(true)
	}
}

// Close ends the following of changes. What is in force stays so.
func (f *Folder) Close() {
	if f == nil {
		return
	}
	f.once.Do(func() {
		close(f.stop)
		f.done.Wait()
		metrics.unwatch(f)
	})
}

// Get returns the content of a name that is in force; false when there is none, whatever the reason.
func (f *Folder) Get(name string) (File, bool) {
	if f == nil {
		return File{}, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	file, ok := f.force[name]
	return file, ok && file.Data != nil
}

// Names lists the names that have content in force, sorted.
func (f *Folder) Names() []string {
	names := []string{}
	for _, file := range f.List() {
		if file.Data != nil {
			names = append(names, file.Name)
		}
	}
	return names
}

// List returns every name of the folder, sorted. One that was never good has nil Data and says why in Broken.
func (f *Folder) List() []File {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []File
	for _, name := range slices.Sorted(maps.Keys(f.force)) {
		list = append(list, f.force[name])
	}
	return list
}

// State is what a Folder knows of one file, for operators.
type State struct {
	File    string // file name
	Name    string // of the content
	Day     string // from which it counts, "" from ever
	InForce bool
	Broken  error // why what it holds now is not good; nil when it is
}

// Files lists the files of the folder by name.
func (f *Folder) Files() []State {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []State
	for _, file := range slices.Sorted(maps.Keys(f.paths)) {
		p := f.paths[file]
		force := f.force[p.name]
		list = append(list, State{p.file, p.name, p.day, force.Data != nil && force.Version == p.day, p.broken})
	}
	return list
}

// Trouble says why the folder could not be read as a whole when it was looked at last; "" when it could.
func (f *Folder) Trouble() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.trouble
}

// All returns one object with the content of every name that is in force. Its member version is the release of servers of
// today, and is missing when that is not known.
func (f *Folder) All() File {
	data := []byte{'{'}
	var modified time.Time
	add := func(name string, content []byte) {
		if len(data) > 1 {
			data = append(data, ',')
		}
		data = append(append(append(data, '"'), name...), '"', ':')
		data = append(data, content...)
	}
	for _, file := range f.List() {
		if file.Data == nil {
			continue
		}
		if file.Modified.After(modified) {
			modified = file.Modified
		}
		if file.Name != versionName {
			add(file.Name, file.Data)
		}
	}
	if v, _ := f.Versions(); v.Server != "" {
		text, _ := json.Marshal(v.Server) // a text always encodes
		add(versionName, text)
	}
	data = append(data, '}')
	return File{Data: data, ETag: ETag(data), Modified: modified}
}
