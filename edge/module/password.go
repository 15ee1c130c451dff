package module

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Cost of one password, after the second recommendation of OWASP for argon2id: 19 MiB, two passes, one lane. A hash
// takes about 32 ms of one core.
const (
	argonTime    = 2
	argonMemory  = 19 * 1024 // KiB
	argonThreads = 1
	argonKey     = 32
	argonSalt    = 16
)

// passwordMax is the longest password in bytes that is looked at.
const passwordMax = 256

// hasher hashes passwords, a few at a time and with a bounded number of waiting calls, since each takes memory and a
// core. It is never used on an event loop.
type hasher struct {
	slots   chan struct{} // one token a running hash
	waiting chan struct{} // one token a call inside
	nobody  string        // hash of no password: what unknown names are checked against
}

// newHasher returns a hasher that runs at most running hashes while at most waiting more calls wait.
func newHasher(running, waiting int) *hasher {
	empty := base64.RawStdEncoding.EncodeToString(make([]byte, argonSalt))
	none := base64.RawStdEncoding.EncodeToString(make([]byte, argonKey))
	return &hasher{
		slots:   make(chan struct{}, running),
		waiting: make(chan struct{}, running+waiting),
		nobody:  argonPrefix + empty + "$" + none,
	}
}

var argonPrefix = fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$", argon2.Version, argonMemory, argonTime, argonThreads)

// run works off one hash when it is this call's turn.
func (h *hasher) run(ctx context.Context, work func()) error {
	select {
	case h.waiting <- struct{}{}:
	default:
		return faultBusy
	}
	defer func() { <-h.waiting }()
	select {
	case h.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-h.slots }()
	work()
	return nil
}

// hash returns the text to keep for a password.
func (h *hasher) hash(ctx context.Context, password string) (text string, err error) {
	salt := make([]byte, argonSalt)
	rand.Read(salt)
	err = h.run(ctx, func() {
		key := argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonThreads, argonKey)
		text = argonPrefix + base64.RawStdEncoding.EncodeToString(salt) + "$" + base64.RawStdEncoding.EncodeToString(key)
	})
	return text, err
}

// check reports whether the password belongs to the text. An empty text (no such account, or one without password) is
// never right, but costs the same time, so that a caller cannot tell which names exist.
func (h *hasher) check(ctx context.Context, password, text string) (right bool, err error) {
	known := text != ""
	if !known {
		text = h.nobody
	}
	rest, ok := strings.CutPrefix(text, argonPrefix)
	saltText, keyText, cut := strings.Cut(rest, "$")
	if !ok || !cut {
		return false, fmt.Errorf("kept password has an unknown form")
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(saltText)
	want, err2 := base64.RawStdEncoding.DecodeString(keyText)
	if err1 != nil || err2 != nil {
		return false, fmt.Errorf("kept password is damaged")
	}
	err = h.run(ctx, func() {
		key := argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonThreads, argonKey)
		right = known && subtle.ConstantTimeCompare(key, want) == 1
	})
	return right, err
}
