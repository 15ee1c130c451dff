package game

import (
	"encoding/binary"
	"errors"
	"time"
)

// appendMeta writes everything but grids, generation and the number of the next batch.
func (m *machine) appendMeta(dst []byte) []byte {
	dst = appendText(dst, m.name)
	dst = binary.AppendUvarint(dst, uint64(m.created))
	dst = binary.AppendUvarint(dst, uint64(m.interval))
	dst = append(appendBool(appendKeep(dst, m.persistent, m.relaxed), m.ended), byte(m.state))
	dst = binary.AppendUvarint(dst, uint64(m.epoch))
	dst = binary.AppendUvarint(dst, m.edits)
	dst = binary.AppendUvarint(dst, uint64(m.users.owner+1))
	dst = binary.AppendUvarint(dst, m.users.sequence)
	dst = binary.AppendUvarint(dst, uint64(len(m.users.list)))
	for _, u := range m.users.list {
		dst = appendText(appendText(dst, u.ID), u.Name)
		dst = binary.AppendUvarint(dst, uint64(u.Colour))
		dst = appendBool(append(dst, u.Number), u.Present)
		dst = binary.AppendUvarint(binary.AppendUvarint(dst, u.joined), u.left)
	}
	return dst
}

func (m *machine) readMeta(r *reader) {
	m.name = r.text()
	m.created = int64(r.upTo(1 << 62))
	m.interval = time.Duration(r.upTo(1 << 62))
	m.persistent, m.relaxed = r.keep()
	m.ended = r.bool()
	if m.state = State(r.byte()); m.state > Stopped {
		r.fail()
	}
	m.epoch = uint32(r.upTo(1<<32 - 1))
	m.edits = r.uint()
	us := users{owner: int(r.upTo(MaxUsers)) - 1, sequence: r.uint()}
	for n := int(r.upTo(MaxUsers)); n > 0 && r.err == nil; n-- {
		u := User{ID: r.text(), Name: r.text(), Colour: Colour(r.upTo(uint64(AnyColour)))}
		u.Number, u.Present = r.byte(), r.bool()
		u.joined, u.left = r.uint(), r.uint()
		us.list = append(us.list, u)
	}
	m.users = us
}

// A snapshot of a machine is a version, the number of the next batch, the generation, the meta data behind their length,
// the specs of the grids, and for each grid its own snapshot behind its length. In a log, the history follows: whether
// the log goes back to its first entry, and the points behind their length, this snapshot's the last.
const snapshotVersion = 1

func (m *machine) appendSnapshot(dst []byte) []byte {
	dst = binary.AppendUvarint(append(dst, snapshotVersion), m.next)
	dst = binary.AppendUvarint(dst, m.generation)
	meta := m.appendMeta(nil)
	dst = append(binary.AppendUvarint(dst, uint64(len(meta))), meta...)
	dst = appendSpecs(dst, m.specs)
	for _, g := range m.grids {
		cells := g.AppendSnapshot(nil)
		dst = append(binary.AppendUvarint(dst, uint64(len(cells))), cells...)
	}
	return dst
}

// readSnapshot fills an empty machine. Errors wrap errCorrupt, grid.ErrCorrupt or grid.ErrBudget; after one, the machine
// holds no memory of the budget.
func (m *machine) readSnapshot(b []byte) (h history, err error) {
	r := reader{b: b}
	if r.byte() != snapshotVersion {
		return h, errCorrupt
	}
	m.next, m.generation = r.uint(), r.uint()
	meta := reader{b: r.bytes()}
	m.readMeta(&meta)
	specs := r.specs()
	if err := errors.Join(r.err, meta.err); err != nil {
		return h, err
	}
	if err := m.makeGrids(specs); err != nil {
		return h, err
	}
	for _, g := range m.grids {
		cells := r.bytes()
		if r.err != nil {
			m.release()
			return h, r.err
		}
		if err := g.ApplySnapshot(cells); err != nil {
			m.release()
			return h, err
		}
	}
	h = history{whole: r.bool(), points: r.points()}
	if r.err != nil || len(h.points) == 0 || len(r.b) != 0 {
		m.release()
		return h, errCorrupt
	}
	return h, nil
}

// snapshotGeneration reads only the generation of a snapshot.
func snapshotGeneration(b []byte) (uint64, error) {
	r := reader{b: b}
	if r.byte() != snapshotVersion {
		return 0, errCorrupt
	}
	r.uint()
	generation := r.uint()
	return generation, r.err
}
