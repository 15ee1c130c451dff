package maildir

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Seen is the flag of a mail that was read.
const Seen = "S"

// Namer makes names that no other process, machine or moment makes again. Its methods may be called from any goroutine.
type Namer struct {
	host string
	pid  int
	n    atomic.Uint64
}

// NewNamer returns a Namer for this process. host must be unique among the machines that share a Maildir; "" is the
// name of the machine.
func NewNamer(host string) *Namer {
	if host == "" {
		host, _ = os.Hostname() // without one the random part must do
	}
	return &Namer{host: cleanHost(host), pid: os.Getpid()}
}

// Host returns the last part of the names, with what no name may hold escaped.
func (n *Namer) Host() string { return n.host }

// Unique returns <seconds>.M<µs>P<pid>Q<count>R<random>.<host>.
func (n *Namer) Unique(at time.Time) string {
	return fmt.Sprintf("%d.M%dP%dQ%dR%s.%s", at.Unix(), at.Nanosecond()/1000, n.pid, n.n.Add(1), random(), n.host)
}

// random returns 64 random bits in hex.
func random() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails: the runtime ends the process instead
	return hex.EncodeToString(b[:])
}

// maxHost keeps names well below the 255 bytes that file systems allow.
const maxHost = 64

func cleanHost(host string) string {
	var b strings.Builder
	for i := 0; i < len(host) && b.Len() < maxHost; i++ {
		switch c := host[i]; {
		case c == '/' || c == ':':
			fmt.Fprintf(&b, "\\%03o", c)
		case c <= ' ' || c >= 0x7f || c == ',':
			b.WriteByte('_')
		default:
			b.WriteByte(c)
		}
	}
	if b.Len() == 0 {
		return "localhost"
	}
	return b.String()
}

// WithSize adds the size of the file to a base name, so that readers need not ask for it.
func WithSize(base string, size int) string { return base + ",S=" + strconv.Itoa(size) }

// ParseName splits the name of a file into the part that never changes and the flags, sorted and each once. Any name has a
// base; information that is not of the form 2,<flags> has no flags.
func ParseName(name string) (base, flags string) {
	base, info, _ := strings.Cut(name, ":")
	letters, ok := strings.CutPrefix(info, "2,")
	if !ok {
		return base, ""
	}
	return base, cleanFlags(letters)
}

// FormatName is the name in cur/ of a mail with these flags.
func FormatName(base, flags string) string { return base + ":2," + cleanFlags(flags) }

// cleanFlags sorts the letters, drops doubles and what is no letter.
func cleanFlags(letters string) string {
	set := []byte(letters)
	set = slices.DeleteFunc(set, func(c byte) bool { return (c|0x20) < 'a' || (c|0x20) > 'z' })
	slices.Sort(set)
	return string(slices.Compact(set))
}

// validBase says whether a base name can be delivered: no path, no information part, no dot file, and room for flags.
func validBase(base string) bool {
	return base != "" && len(base) <= 200 && base[0] != '.' && !strings.ContainsAny(base, "/:\x00")
}
