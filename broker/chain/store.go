package chain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"gosper/broker"
)

// Keys of the Store. The work is written once, the state with every finished step, an answer when it comes.
//
//	chain/w/<hash>                 the work message, JSON
//	chain/s/<hash>                 the record
//	chain/r/<hash>/<item, 6 digits> the answer of an item
//	chain/e/<ms, 14 digits>/<hash> when an ended chain may be forgotten
//	chain/lock                     the engine's lock
const (
	prefixWork   = "chain/w/"
	prefixState  = "chain/s/"
	prefixAnswer = "chain/r/"
	prefixExpiry = "chain/e/"
	keyLock      = "chain/lock"
)

func answerKey(hash string, item int) string {
	return fmt.Sprintf("%s%s/%06d", prefixAnswer, hash, item)
}
func expiryKey(at time.Time, hash string) string {
	return fmt.Sprintf("%s%014d/%s", prefixExpiry, at.UnixMilli(), hash)
}

// create stores a new chain: broker.ErrExists when there is one of that hash.
func (e *runner) create(ctx context.Context, w *Work, r *record) (size int, err error) {
	value, err := json.Marshal(r)
	if err != nil {
		return 0, err
	}
	message := AppendWork(nil, w)
	revisions, err := e.o.Store.Commit(ctx, broker.OpCreate(prefixState+w.Hash, value), broker.OpPut(prefixWork+w.Hash, message))
	if err == nil {
		r.revision = revisions[0]
	}
	return len(message), err
}

// save stores a record and what belongs to the same commit.
func (e *runner) save(ctx context.Context, hash string, r *record, more ...broker.Op) error {
	value, err := json.Marshal(r)
	if err != nil {
		return err
	}
	revisions, err := e.o.Store.Commit(ctx, append([]broker.Op{broker.OpUpdate(prefixState+hash, value, r.revision)}, more...)...)
	if err == nil {
		r.revision = revisions[0]
	}
	return err
}

// read reads a chain. broker.ErrNotFound when there is none.
func (e *runner) read(ctx context.Context, hash string) (Work, *record, error) {
	if hash == "" || len(hash) > maxHash || !plain(hash) {
		return Work{}, nil, broker.ErrNotFound
	}
	r, err := e.loadRecord(ctx, hash)
	if err != nil {
		return Work{}, nil, err
	}
	b, err := e.o.Store.Get(ctx, prefixWork+hash)
	if err != nil {
		return Work{}, nil, err
	}
	// The message was checked when it came, perhaps by other limits.
	w, err := parseJSON(b.Value, Limits{Lax: true, Items: len(r.Items), Payload: broker.MaxValue, Message: broker.MaxValue})
	if err == nil && len(w.Items) != len(r.Items) {
		err = errors.New("work and state do not fit")
	}
	if err != nil {
		err = fmt.Errorf("chain %q is damaged: %w", hash, err)
	}
	return w, r, err
}

func (e *runner) loadRecord(ctx context.Context, hash string) (*record, error) {
	stored, err := e.o.Store.Get(ctx, prefixState+hash)
	if err != nil {
		return nil, err
	}
	return readRecord(stored)
}

func readRecord(stored broker.Record) (*record, error) {
	r := &record{revision: stored.Revision}
	if err := json.Unmarshal(stored.Value, r); err != nil {
		return nil, fmt.Errorf("chain %q is damaged: %w", stored.Key, err)
	}
	return r, nil
}

// answers reads what the items were answered; nil where there is nothing.
func (e *runner) answers(ctx context.Context, hash string, items int) ([]*Response, error) {
	all := make([]*Response, items)
	prefix := prefixAnswer + hash + "/"
	records, err := e.o.Store.List(ctx, prefix, "", items)
	if err != nil {
		return nil, err
	}
	for _, stored := range records {
		i, err := strconv.Atoi(strings.TrimPrefix(stored.Key, prefix))
		if err != nil || i >= items {
			return nil, fmt.Errorf("chain %q has an answer to no item", hash)
		}
		all[i] = new(Response)
		if err := json.Unmarshal(stored.Value, all[i]); err != nil {
			return nil, fmt.Errorf("chain %q is damaged: %w", hash, err)
		}
	}
	return all, nil
}

// opAnswer writes an answer.
func opAnswer(hash string, item int, a *Response) broker.Op {
	value, _ := json.Marshal(a) // texts and booleans cannot fail to encode
	return broker.OpPut(answerKey(hash, item), value)
}

// opExpiry notes when an ended chain may be forgotten.
func (e *runner) opExpiry(hash string, ended time.Time) broker.Op {
	return broker.OpPut(expiryKey(ended.Add(e.o.Keep), hash), nil)
}

// forget deletes a chain with everything that belongs to it.
func (e *runner) forget(ctx context.Context, hash string, r *record) error {
	ops := []broker.Op{broker.OpDelete(prefixState+hash, r.revision), broker.OpDelete(prefixWork+hash, broker.AnyRevision)}
	for i := range r.Items {
		ops = append(ops, broker.OpDelete(answerKey(hash, i), broker.AnyRevision))
	}
	_, err := e.o.Store.Commit(ctx, ops...)
	return err
}

// each calls fn for every stored chain, in the order of hashes after one.
func (e *runner) each(ctx context.Context, after string, fn func(hash string, r *record) (more bool)) error {
	if after != "" {
		after = prefixState + after
	}
	for {
		page, err := e.o.Store.List(ctx, prefixState, after, 256)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, stored := range page {
			after = stored.Key
			r, err := readRecord(stored)
			if err != nil {
				e.o.Log.Error("chain: left out", "error", err)
				continue
			}
			if !fn(strings.TrimPrefix(stored.Key, prefixState), r) {
				return nil
			}
		}
	}
}
