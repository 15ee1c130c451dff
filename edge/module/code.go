package module

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"math/big"

	"github.com/google/uuid"
)

// codes makes and checks clientCodes and e-mail codes: a random UUID, "-", and 6 hex digits that only this node's
// secret can make (43 characters in all). The tag is cut from HMAC-SHA256. It is short because clients know the
// format; it keeps noise out and proves nothing: an e-mail code counts only while the Registry knows it, and a
// clientCode is never a credential.
type codes struct {
	client, email []byte // keys
}

const (
	codeTag    = 6
	codeLength = 36 + 1 + codeTag
)

// newCodes derives the keys.
func newCodes(secret []byte) *codes {
	return &codes{client: deriveKey(secret, "clientCode"), email: deriveKey(secret, "emailCode")}
}

// deriveKey makes a key for one purpose, so that no signature of one kind is of use as another.
func deriveKey(secret []byte, purpose string) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("gosper " + purpose))
	return mac.Sum(nil)
}

// newClient returns a fresh clientCode.
func (c *codes) newClient() string { return makeCode(c.client) }

// newEmail returns a fresh e-mail code.
func (c *codes) newEmail() string { return makeCode(c.email) }

// validClient reports whether the clientCode has a good tag.
func (c *codes) validClient(code string) bool { return checkCode(c.client, code) }

// validEmail reports whether the e-mail code has a good tag.
func (c *codes) validEmail(code string) bool { return checkCode(c.email, code) }

func makeCode(key []byte) string {
	id := uuid.NewString()
	return id + "-" + tagOf(key, id)
}

func checkCode(key []byte, code string) bool {
	if len(code) != codeLength || code[36] != '-' {
		return false
	}
	return subtle.ConstantTimeCompare([]byte(code[37:]), []byte(tagOf(key, code[:36]))) == 1
}

func tagOf(key []byte, id string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id))
	return hex.EncodeToString(mac.Sum(nil))[:codeTag]
}

// newAccountID returns a fresh account id: 32 hex digits that sort by time.
func newAccountID() string {
	id := uuid.Must(uuid.NewV7())
	return hex.EncodeToString(id[:])
}

// newLoginID returns a fresh random id of 128 bits.
func newLoginID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// newNonce returns the decimal text of 128 random bits, the form chat clients know.
func newNonce() string {
	var b [16]byte
	rand.Read(b[:])
	return new(big.Int).SetBytes(b[:]).String()
}
