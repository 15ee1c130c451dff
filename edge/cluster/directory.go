package cluster

import (
	"context"
	"sync"

	"gosper/broker"
	"gosper/grid/game"
)

// directory is what the records of all games say. It follows the Store, and is read again now and then.
type directory struct {
	changed func(rec *game.Record) // told of every new record, not of those that go

	mu    sync.RWMutex
	games map[game.ID]game.Record
	since map[game.ID]bool // changed or gone since reading began; nil: nobody reads
}

func newDirectory(changed func(*game.Record)) *directory {
	return &directory{changed: changed, games: map[game.ID]game.Record{}}
}

// get returns the record of a game.
func (d *directory) get(id game.ID) (game.Record, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	rec, ok := d.games[id]
	return rec, ok
}

// all returns a copy.
func (d *directory) all() []game.Record {
	d.mu.RLock()
	defer d.mu.RUnlock()
	list := make([]game.Record, 0, len(d.games))
	for _, rec := range d.games {
		list = append(list, rec)
	}
	return list
}

// take notes a record of the Store, or that it is gone.
func (d *directory) take(r broker.Record) {
	if r.Revision == 0 {
		if id, err := game.ParseID(r.Key[len(game.RecordPrefix):]); err == nil {
			d.remove(id)
		}
		return
	}
	if rec, err := game.ParseRecord(r); err == nil {
		d.note(rec)
	}
}

// note takes a record that is newer than the one known.
func (d *directory) note(rec game.Record) {
	d.mu.Lock()
	old, ok := d.games[rec.ID]
	if d.since != nil {
		d.since[rec.ID] = true
	}
	if ok && old.Revision >= rec.Revision {
		d.mu.Unlock()
		return
	}
	d.games[rec.ID] = rec
	d.mu.Unlock()
	d.changed(&rec)
}

func (d *directory) remove(id game.ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.games, id)
	if d.since != nil {
		d.since[id] = true
	}
}

// read takes all records of the Store. One caller at a time.
func (d *directory) read(ctx context.Context, store broker.Store) error {
	d.mu.Lock()
	d.since = map[game.ID]bool{}
	d.mu.Unlock()
	there := map[game.ID]game.Record{}
	err := readRecords(ctx, store, there)
	d.mu.Lock()
	since := d.since
	d.since = nil
	var fresh []game.Record
	if err == nil {
		for id, rec := range there {
			if old, ok := d.games[id]; !since[id] && (!ok || old.Revision < rec.Revision) {
				d.games[id] = rec
				fresh = append(fresh, rec)
			}
		}
		for id := range d.games {
			if _, ok := there[id]; !ok && !since[id] {
				delete(d.games, id)
			}
		}
	}
	d.mu.Unlock()
	for i := range fresh {
		d.changed(&fresh[i])
	}
	return err
}

func readRecords(ctx context.Context, store broker.Store, there map[game.ID]game.Record) error {
	for after := ""; ; {
		const page = 512
		records, err := store.List(ctx, game.RecordPrefix, after, page)
		if err != nil {
			return err
		}
		for _, r := range records {
			after = r.Key
			if rec, err := game.ParseRecord(r); err == nil {
				there[rec.ID] = rec
			}
		}
		if len(records) < page {
			return nil
		}
	}
}

// lookUp asks the Store for one record that the directory does not have. Errors: game.ErrNoGame, those of the Store.
func (d *directory) lookUp(ctx context.Context, store broker.Store, id game.ID) (game.Record, error) {
	r, err := store.Get(ctx, game.RecordPrefix+id.String())
	if err != nil {
		return game.Record{}, err
	}
	rec, err := game.ParseRecord(r)
	if err == nil {
		d.note(rec)
	}
	return rec, err
}
