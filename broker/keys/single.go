package keys

import (
	"context"

	"gosper/broker"
)

// Single is the part of a broker.Store that changes one key: each is a commit of one operation. An engine embeds it.
// Methods may be called wherever the commit may.
type Single struct {
	commit func(context.Context, ...broker.Op) ([]uint64, error)
}

// SingleOf returns the single operations over an engine's Commit.
func SingleOf(commit func(context.Context, ...broker.Op) ([]uint64, error)) Single {
	return Single{commit}
}

// Put implements broker.Store.
func (s Single) Put(ctx context.Context, key string, value []byte) (uint64, error) {
	return s.one(ctx, broker.OpPut(key, value))
}

// Create implements broker.Store.
func (s Single) Create(ctx context.Context, key string, value []byte) (uint64, error) {
	return s.one(ctx, broker.OpCreate(key, value))
}

// Update implements broker.Store.
func (s Single) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	return s.one(ctx, broker.OpUpdate(key, value, revision))
}

// Delete implements broker.Store.
func (s Single) Delete(ctx context.Context, key string, revision uint64) error {
	_, err := s.one(ctx, broker.OpDelete(key, revision))
	return err
}

func (s Single) one(ctx context.Context, op broker.Op) (uint64, error) {
	revisions, err := s.commit(ctx, op)
	if err != nil {
		return 0, err
	}
	return revisions[0], nil
}
