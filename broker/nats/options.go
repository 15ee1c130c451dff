package nats

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Limits that no option changes.
const (
	MaxQueue     = 1024     // messages with history waiting for one subject; above: broker.ErrBusy
	MaxQueued    = 64 << 20 // bytes of messages with history waiting for all subjects; above: broker.ErrBusy
	MaxOut       = 16384    // messages waiting for the link; above: broker.ErrBusy
	MaxOutBytes  = 32 << 20 // bytes of them
	MaxIn        = 16384    // messages that came and wait for the dispatcher; above they are dropped and a gap is announced
	MaxRun       = 64       // messages of one atomic batch; NATS takes 1,000
	maxRunBytes  = 256 << 10
	maxTopics    = 4096 // subjects with history remembered per lane
	maxRecent    = 1024 // subjects named in a notice of missed messages; more of them: every subject
	recentWindow = 10 * time.Second
	maxStrangers = 4096 // nodes remembered to tell copies of a message
)

// Where the servers keep the history: Options.History. In memory it is fast and lives as long as the server; with replicas
// as long as most of them. In files it also survives that all servers start again, and writes wait for the disk.
const (
	HistoryMemory = "memory"
	HistoryFile   = "file"
)

// Options of a Bus. The zero value of a field means its default.
type Options struct {
	URL        string        // nats://[user:password@]host:port[,host:port…][?replicas=3&history=file&creds=FILE]; tls:// for TLS
	Password   string        // for a URL that names a user without one
	Replicas   int           // copies of the history, 1 to 5. Default 1, or what the URL says
	Creds      string        // file of NATS credentials; "" for none, or what the URL says
	History    string        // HistoryMemory or HistoryFile, of streams that are made now. Default HistoryMemory, or what the URL says
	PerSubject int64         // most messages kept of one subject. Default 2,000
	MaxBytes   int64         // bytes of all histories; the oldest messages give way. Default 64 MiB in memory and 1 GiB in files, for each of two streams
	MaxAge     time.Duration // no message is kept longer. Default 48 h
	StartWait  time.Duration // how long Open waits for the servers and the replicas. Default 15 s
	Wait       time.Duration // how long a publish with history may wait for its turn, then for its answer. Default 5 s
	Log        *slog.Logger  // nil: slog.Default()

	name  string // by which the servers list the link; "": one that is made up
	waits waits  // of a Queue. Default usualWaits
}

// withDefaults takes what the URL says and fills in the rest. The URL it returns has no query.
func (o Options) withDefaults() (Options, error) {
	base, query, _ := strings.Cut(o.URL, "?")
	o.URL = base
	values, err := url.ParseQuery(query)
	if err != nil {
		return o, errors.New("nats: the part of the URL after ? cannot be read") // err may hold a secret
	}
	for name := range values {
		switch text := values.Get(name); name {
		case "replicas":
			if o.Replicas, err = strconv.Atoi(text); err != nil {
				return o, fmt.Errorf("nats: replicas must be a number, not %q", text)
			}
		case "creds":
			o.Creds = text
		case "history":
			o.History = text
		default:
			return o, fmt.Errorf("nats: unknown parameter %q in the URL; known are replicas, history and creds", name)
		}
	}
	fill(&o.Replicas, 1)
	fill(&o.History, HistoryMemory)
	fill(&o.PerSubject, 2000)
	fill(&o.MaxAge, 48*time.Hour)
	fill(&o.StartWait, 15*time.Second)
	fill(&o.Wait, 5*time.Second)
	fill(&o.waits, usualWaits)
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o, o.validate()
}

func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// room is how many bytes a stream of the storage may hold.
func (o Options) room(storage string) int64 {
	switch {
	case o.MaxBytes > 0:
		return o.MaxBytes
	case storage == HistoryMemory:
		return 64 << 20
	}
	return 1 << 30
}

// CheckURL reports what is wrong with a URL of servers, without its secrets.
func CheckURL(text string) error {
	_, err := Options{URL: text}.withDefaults()
	return err
}

// validate names the first field that makes no sense.
func (o Options) validate() error {
	switch {
	case o.Replicas < 1 || o.Replicas > 5:
		return errors.New("nats: replicas must be 1 to 5")
	case o.History != HistoryMemory && o.History != HistoryFile:
		return fmt.Errorf("nats: history must be %s or %s", HistoryMemory, HistoryFile)
	case o.PerSubject < 1 || o.MaxBytes != 0 && o.MaxBytes < 1<<20 || o.MaxAge < time.Minute:
		return errors.New("nats: PerSubject must be at least 1, MaxBytes at least 1 MiB, MaxAge at least a minute")
	case o.StartWait < 0 || o.Wait < 0:
		return errors.New("nats: StartWait and Wait must not be negative")
	}
	for one := range strings.SplitSeq(o.URL, ",") {
		if err := checkServer(one); err != nil {
			return err
		}
	}
	return nil
}

// servers returns the URL to dial and who the node is there, "" when the URL says all. The NATS client takes a user
// without a password for a token, so a user whose password comes by itself is taken out of the URL.
func (o Options) servers() (urls, user string) {
	if o.Password == "" {
		return o.URL, ""
	}
	var all []string
	for one := range strings.SplitSeq(o.URL, ",") {
		scheme, rest, found := strings.Cut(one, "://")
		if !found {
			scheme, rest = "nats", one
		}
		if at := strings.LastIndexByte(rest, '@'); at >= 0 && !strings.Contains(rest[:at], ":") {
			if user == "" {
				user, _ = url.PathUnescape(rest[:at])
			}
			rest = rest[at+1:]
		}
		all = append(all, scheme+"://"+rest)
	}
	return strings.Join(all, ","), user
}

func checkServer(one string) error {
	if !strings.Contains(one, "://") {
		one = "nats://" + one
	}
	u, err := url.Parse(one)
	switch {
	case err != nil || u.Hostname() == "" || u.Path != "" && u.Path != "/":
		return errors.New("nats: the URL must be nats://[user:password@]host:port[,host:port…][?replicas=3&history=file&creds=FILE]")
	case u.Scheme != "nats" && u.Scheme != "tls":
		return fmt.Errorf("nats: the URL begins with nats:// or tls://, not %s://", u.Scheme)
	}
	return nil
}
