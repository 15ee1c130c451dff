package module

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"gosper/broker"
)

// Stages of a registration, as clients know them.
const (
	stageEmailCode   = "enterEmailCode"   // an e-mail code was sent
	stageNewPassword = "enterNewPassword" // the code was right; a password is missing
	stageComplete    = "complete"
)

// account is the record of one account. A guest (made by login_unique) has no username, e-mail and stage.
type account struct {
	ID       string    `json:"id"`
	Username string    `json:"username,omitempty"`
	Email    string    `json:"email,omitempty"`
	Password string    `json:"password,omitempty"` // argon2id text
	Stage    string    `json:"stage,omitempty"`
	Device   string    `json:"device,omitempty"` // hash of the unique id of login_unique
	Staged   time.Time `json:"staged"`           // when the registration began

	revision uint64
}

// Keys of the Store:
//
//	account/<id>        the record
//	username/<folded>   -> id        email/<folded> -> id        device/<hash> -> id
//	login/<id>          which tokens count (token.go)
func accountKey(id string) string        { return "account/" + id }
func usernameKey(username string) string { return "username/" + fold(username) }
func emailKey(email string) string       { return "email/" + fold(email) }
func deviceKey(hash string) string       { return "device/" + hash }

// fold makes names that differ only in case equal.
func fold(s string) string { return strings.ToLower(s) }

// deviceHash hides the unique id of a device, which is its password.
func deviceHash(unique string) string {
	sum := sha256.Sum256([]byte(unique))
	return hex.EncodeToString(sum[:])
}

// loadAccount reads an account by its id: broker.ErrNotFound.
func (t *Tools) loadAccount(ctx context.Context, id string) (*account, error) {
	record, err := t.store.Get(ctx, accountKey(id))
	if err != nil {
		return nil, err
	}
	a := &account{revision: record.Revision}
	return a, json.Unmarshal(record.Value, a)
}

// findAccount reads the account an index key points to; nil without one.
func (t *Tools) findAccount(ctx context.Context, key string) (*account, error) {
	record, err := t.store.Get(ctx, key)
	if errors.Is(err, broker.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	a, err := t.loadAccount(ctx, string(record.Value))
	if errors.Is(err, broker.ErrNotFound) {
		return nil, nil // taken over between the two reads
	}
	return a, err
}

// findByName reads the account of a username or an e-mail address; nil without one.
func (t *Tools) findByName(ctx context.Context, nameOrEmail string) (*account, error) {
	nameOrEmail = strings.TrimSpace(nameOrEmail)
	if len(nameOrEmail) > emailMax {
		return nil, nil
	}
	if strings.Contains(nameOrEmail, "@") {
		if a, err := t.findAccount(ctx, emailKey(nameOrEmail)); a != nil || err != nil {
			return a, err
		}
	}
	return t.findAccount(ctx, usernameKey(nameOrEmail))
}

// save is the write of a changed account; a second writer at the same time fails with broker.ErrConflict.
func (a *account) save() (broker.Op, error) {
	value, err := json.Marshal(a)
	if err != nil {
		return broker.Op{}, err
	}
	return broker.OpUpdate(accountKey(a.ID), value, a.revision), nil
}

// stale says whether the account is an unfinished registration that somebody else may take over.
func (a *account) stale(now time.Time, age time.Duration) bool {
	return a.Stage == stageEmailCode && now.Sub(a.Staged) > age
}

// emailCode is what the Registry knows about an e-mail code.
type emailCode struct {
	Account string `json:"account"`
	Email   string `json:"email"`            // it was sent there, and counts while that is the account's address
	Forgot  bool   `json:"forgot,omitempty"` // of a forgotten password: counts in every stage
}

func emailCodeKey(code string) string { return "emailcode." + code }

// newEmailCode makes a code and notes it in the Registry. It is noted before the account is written, so that the
// e-mail that leaves with the account's commit never names an unknown code.
func (t *Tools) newEmailCode(ctx context.Context, c emailCode) (string, error) {
	value, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	code := t.codes.newEmail()
	return code, t.registry.Set(ctx, emailCodeKey(code), value, t.options.EmailCodeAge)
}

// commitWithEmail writes ops and an e-mail in one commit.
func (t *Tools) commitWithEmail(ctx context.Context, e Email, ops ...broker.Op) error {
	op, err := t.outbox.op(ctx, &e)
	if err != nil {
		return err
	}
	_, err = t.store.Commit(ctx, append(ops, op)...)
	t.outbox.settle(&e, err, t.log)
	return err
}
