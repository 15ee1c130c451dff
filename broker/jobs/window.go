package jobs

// WindowMost is how many keys a window over a larger index holds.
const WindowMost = 4096

// Window is the start of an index. All of the index can be in it, or the rest is elsewhere (on disk): then it holds
// exactly those keys that are below its cursor, and what is added above is left to the index. So the index is always read
// on from the cursor and never from its beginning, where the tombstones of finished jobs are.
type Window struct {
	keys   Sorted
	cursor Key
	more   bool   // there may be keys from the cursor on
	source Source // nil: everything is in keys
	most   int
}

// Source reads the index behind a window: at most limit keys from `from` on, in order. It adds those that may be found
// and leaves out jobs that are reserved or about to change. next is where to go on; more says whether there may be
// anything.
type Source func(from Key, limit int, add func(Key)) (next Key, more bool, err error)

// NewWindow returns a window of at most so many keys over an index of which nothing was read yet.
func NewWindow(s Source, most int) Window {
	return Window{source: s, more: true, most: most, keys: Sorted{most: max(2, most/8)}}
}

// Add puts in a key that is in the index now. It reports whether it is in memory.
func (w *Window) Add(k Key) bool {
	if w.more && k.Compare(w.cursor) >= 0 {
		return false
	}
	w.keys.Add(k)
	for w.source != nil && w.keys.Len() > w.most {
		first, ok := w.keys.cutTail()
		if !ok {
			break
		}
		w.cursor, w.more = first, true
	}
	return true
}

// Remove takes out a key that is not in the index any more, or must not be found for now.
func (w *Window) Remove(k Key) { w.keys.Remove(k) }

// First returns the smallest key. It reads on in the index when memory is empty.
func (w *Window) First() (k Key, ok bool, err error) {
	for w.keys.Len() == 0 && w.more {
		if err := w.fill(); err != nil {
			return Key{}, false, err
		}
	}
	k, ok = w.keys.First()
	return k, ok, nil
}

// fill reads the next keys.
func (w *Window) fill() error {
	next, more, err := w.source(w.cursor, w.most/2, w.keys.Add)
	if err == nil {
		w.cursor, w.more = next, more
	}
	return err
}
