package pebble

import "context"

// task is a write whose caller waits, with its rule as a function.
type task struct {
	call
	bytes int  // 0: it only reads
	frees bool // see work.size
	run   func(*tx) error
}

func (w *task) size() (int, bool) { return w.bytes, w.frees }
func (w *task) stage(t *tx) error { return w.run(t) }

func (w *task) apply(*tx) { w.answer(nil) }

// do runs a rule on the committer and waits for its commit.
func (db *DB) do(ctx context.Context, bytes int, frees bool, run func(*tx) error) error {
	w := &task{call: newCall(), bytes: bytes, frees: frees, run: run}
	return db.committer.do(ctx, w, &w.call)
}
