package protocol

import (
	"bytes"
	"errors"
	"math"
)

// BeanstalkCommand is a command of the beanstalkd protocol.
type BeanstalkCommand uint8

// Commands of the beanstalkd protocol, in the order of its text.
const (
	BeanstalkNone BeanstalkCommand = iota
	BeanstalkPut
	BeanstalkUse
	BeanstalkReserve
	BeanstalkReserveTimeout
	BeanstalkReserveJob
	BeanstalkDelete
	BeanstalkRelease
	BeanstalkBury
	BeanstalkTouch
	BeanstalkWatch
	BeanstalkIgnore
	BeanstalkPeek
	BeanstalkPeekReady
	BeanstalkPeekDelayed
	BeanstalkPeekBuried
	BeanstalkKick
	BeanstalkKickJob
	BeanstalkStatsJob
	BeanstalkStatsTube
	BeanstalkStats
	BeanstalkListTubes
	BeanstalkListTubeUsed
	BeanstalkListTubesWatched
	BeanstalkQuit
	BeanstalkPauseTube
	BeanstalkCommands // their number
)

// Bounds of the protocol's text.
const (
	BeanstalkLine   = 224       // bytes of a command line, CR LF included
	BeanstalkTube   = 200       // bytes of a tube's name
	BeanstalkJob    = 1<<16 - 1 // default of the largest job body in bytes
	beanstalkMaxU32 = math.MaxUint32
)

// Errors of CutBeanstalk. The line they are about was taken, so the connection can go on behind it.
var (
	ErrBeanstalkFormat  = errors.New("BAD_FORMAT")
	ErrBeanstalkUnknown = errors.New("UNKNOWN_COMMAND")
)

// BeanstalkRequest is one parsed command line. Fields that the command does not have are zero.
type BeanstalkRequest struct {
	Command  BeanstalkCommand
	ID       uint64
	Tube     []byte // aliases the input
	Priority uint32
	Delay    uint32 // seconds; of pause-tube too
	TTR      uint32 // seconds
	Bytes    uint32 // size of the body of a put
	Bound    uint64 // of kick
	Timeout  int64  // seconds, of reserve-with-timeout; below 0 is without end
}

// beanstalkForm says how a command begins and what follows. The words of the commands without arguments are prefixes: what
// begins with them but is longer is badly formed, not unknown, as the server of reference answers.
type beanstalkForm struct {
	word    string
	command BeanstalkCommand
	args    func(*BeanstalkRequest, *beanstalkArgs) bool
}

// beanstalkForms is searched in its order: longer words before their prefixes.
var beanstalkForms = []beanstalkForm{
	{"put ", BeanstalkPut, func(r *BeanstalkRequest, a *beanstalkArgs) bool {
		return a.u32(&r.Priority) && a.u32(&r.Delay) && a.u32(&r.TTR) && a.u32(&r.Bytes)
	}},
	{"use ", BeanstalkUse, tubeArg},
	{"reserve-with-timeout ", BeanstalkReserveTimeout, func(r *BeanstalkRequest, a *beanstalkArgs) bool { return a.seconds(&r.Timeout) }},
	{"reserve-job ", BeanstalkReserveJob, idArg},
	{"reserve", BeanstalkReserve, nil},
	{"delete ", BeanstalkDelete, idArg},
	{"release ", BeanstalkRelease, func(r *BeanstalkRequest, a *beanstalkArgs) bool {
		return a.u64(&r.ID) && a.u32(&r.Priority) && a.u32(&r.Delay)
	}},
	{"bury ", BeanstalkBury, func(r *BeanstalkRequest, a *beanstalkArgs) bool { return a.u64(&r.ID) && a.u32(&r.Priority) }},
	{"touch ", BeanstalkTouch, idArg},
	{"watch ", BeanstalkWatch, tubeArg},
	{"ignore ", BeanstalkIgnore, tubeArg},
	{"peek ", BeanstalkPeek, idArg},
	{"peek-ready", BeanstalkPeekReady, nil},
	{"peek-delayed", BeanstalkPeekDelayed, nil},
	{"peek-buried", BeanstalkPeekBuried, nil},
	{"kick ", BeanstalkKick, func(r *BeanstalkRequest, a *beanstalkArgs) bool { return a.u64(&r.Bound) }},
	{"kick-job ", BeanstalkKickJob, idArg},
	{"stats-job ", BeanstalkStatsJob, idArg},
	{"stats-tube ", BeanstalkStatsTube, tubeArg},
	{"stats", BeanstalkStats, nil},
	{"list-tubes-watched", BeanstalkListTubesWatched, nil},
	{"list-tube-used", BeanstalkListTubeUsed, nil},
	{"list-tubes", BeanstalkListTubes, nil},
	{"pause-tube ", BeanstalkPauseTube, func(r *BeanstalkRequest, a *beanstalkArgs) bool {
		return a.tube(&r.Tube) && a.u32(&r.Delay)
	}},
}

func tubeArg(r *BeanstalkRequest, a *beanstalkArgs) bool { return a.tube(&r.Tube) }
func idArg(r *BeanstalkRequest, a *beanstalkArgs) bool   { return a.u64(&r.ID) }

// CutBeanstalk takes the first command line of buf. n is its length with CR LF; 0 without an error means that it is
// incomplete. The body of a put is not part of it. A line without an end within BeanstalkLine bytes is ErrBeanstalkFormat
// with n == 0: the caller skips to its end (BeanstalkSkip). It allocates nothing.
func CutBeanstalk(buf []byte) (r BeanstalkRequest, n int, err error) {
	head := buf[:min(len(buf), BeanstalkLine)]
	end := bytes.Index(head, crlf)
	if end < 0 {
		if len(buf) >= BeanstalkLine {
			return r, 0, ErrBeanstalkFormat
		}
		return r, 0, nil
	}
	n = end + 2
	r, err = parseBeanstalk(buf[:end])
	return r, n, err
}

var crlf = []byte("\r\n")

// BeanstalkSkip returns how many bytes of buf belong to a line that is too long, and whether its end is among them. A CR at
// the end of buf is left, because it may be half of the end.
func BeanstalkSkip(buf []byte) (n int, ended bool) {
	if i := bytes.Index(buf, crlf); i >= 0 {
		return i + 2, true
	}
	if len(buf) > 0 && buf[len(buf)-1] == '\r' {
		return len(buf) - 1, false
	}
	return len(buf), false
}

func parseBeanstalk(line []byte) (r BeanstalkRequest, err error) {
	if bytes.HasPrefix(line, []byte("quit")) {
		r.Command = BeanstalkQuit // whatever follows: the client is about to go
		return r, nil
	}
	for i := range beanstalkForms {
		f := &beanstalkForms[i]
		if len(line) < len(f.word) || string(line[:len(f.word)]) != f.word {
			continue
		}
		r.Command = f.command
		a := beanstalkArgs{rest: line[len(f.word):]}
		if f.args != nil && !f.args(&r, &a) || len(a.rest) > 0 {
			return BeanstalkRequest{Command: f.command}, ErrBeanstalkFormat
		}
		return r, nil
	}
	if bytes.IndexByte(line, 0) >= 0 {
		return r, ErrBeanstalkFormat
	}
	return r, ErrBeanstalkUnknown
}

// beanstalkArgs takes arguments from the rest of a line. Numbers may have several spaces before them, as the server of
// reference takes them; names and the end of the line may not.
type beanstalkArgs struct{ rest []byte }

func (a *beanstalkArgs) number(max uint64) (v uint64, ok bool) {
	i := 0
	for i < len(a.rest) && a.rest[i] == ' ' {
		i++
	}
	from := i
	for ; i < len(a.rest) && a.rest[i] >= '0' && a.rest[i] <= '9'; i++ {
		d := uint64(a.rest[i] - '0')
		if v > (max-d)/10 {
			return 0, false
		}
		v = v*10 + d
	}
	if i == from || i < len(a.rest) && a.rest[i] != ' ' {
		return 0, false
	}
	a.rest = a.rest[i:]
	return v, true
}

func (a *beanstalkArgs) u64(p *uint64) (ok bool) {
	*p, ok = a.number(math.MaxUint64)
	return ok
}

func (a *beanstalkArgs) u32(p *uint32) bool {
	v, ok := a.number(beanstalkMaxU32)
	*p = uint32(v)
	return ok
}

// seconds takes a time-out, which may be below 0.
func (a *beanstalkArgs) seconds(p *int64) bool {
	rest := bytes.TrimLeft(a.rest, " ")
	negative := len(rest) > 0 && rest[0] == '-'
	if negative {
		a.rest = rest[1:]
		if len(a.rest) > 0 && a.rest[0] == ' ' {
			return false
		}
	}
	v, ok := a.number(beanstalkMaxU32)
	*p = int64(v)
	if negative {
		*p = -1
	}
	return ok
}

// tube takes a name up to a space or the end.
func (a *beanstalkArgs) tube(p *[]byte) bool {
	name := a.rest
	if i := bytes.IndexByte(name, ' '); i >= 0 {
		name = name[:i]
	}
	a.rest = a.rest[len(name):]
	*p = name
	return ValidTube(name)
}

// ValidTube reports whether name may name a tube: 1 to 200 of A-Z a-z 0-9 - + / ; . $ _ ( ), not beginning with "-".
func ValidTube[T string | []byte](name T) bool {
	if len(name) == 0 || len(name) > BeanstalkTube || name[0] == '-' {
		return false
	}
	for i := range len(name) {
		if !tubeByte[name[i]] {
			return false
		}
	}
	return true
}

var tubeByte = func() (ok [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-+/;.$_()") {
		ok[c] = true
	}
	return ok
}()
