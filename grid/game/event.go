package game

import (
	"encoding/binary"
	"time"

	"gosper/grid"
)

// eventKind numbers what can happen to a game; the numbers stand in logs.
type eventKind uint8

const (
	evCreate    eventKind = 1 + iota // the game is made, with its owner
	evOpen                           // it was loaded from its log: a new epoch
	evJoin                           // a user joins, or comes back
	evLeave                          // a user leaves or is sent away
	evState                          // start, pause, stop
	evConfigure                      // name, interval, persistence
	evColour                         // a user takes another colour
	evEdits                          // a request of edits
	evRewind                         // the grids are those of an earlier generation, the rest is as it was
	evEnd                            // the owner ends the game

	eventKinds
)

// event is one change of a game. Which fields count is in append.
type event struct {
	kind eventKind
	by   uint16 // number of the user who asks plus one, 0 for the node

	title      string // create, configure: name of the game
	user       string // join, create: id
	name       string // and display name
	colour     Colour
	number     uint8 // leave: who
	state      State
	interval   time.Duration
	persistent bool
	relaxed    bool  // create, configure: durability
	created    int64 // unix milliseconds
	grids      []GridSpec
	grid       int
	edits      []Edit
	epoch      uint32
	meta       []byte // rewind: all but the grids
}

func (e *event) append(dst []byte) []byte {
	dst = append(dst, byte(e.kind))
	dst = binary.AppendUvarint(dst, uint64(e.by))
	switch e.kind {
	case evCreate:
		dst = e.appendUser(e.appendConfigure(dst))
		dst = binary.AppendUvarint(dst, uint64(e.created))
		dst = appendSpecs(binary.AppendUvarint(dst, uint64(e.epoch)), e.grids)
	case evOpen:
		dst = binary.AppendUvarint(dst, uint64(e.epoch))
	case evJoin:
		dst = e.appendUser(dst)
	case evColour:
		dst = binary.AppendUvarint(dst, uint64(e.colour))
	case evLeave:
		dst = append(dst, e.number)
	case evState:
		dst = append(dst, byte(e.state))
	case evConfigure:
		dst = e.appendConfigure(dst)
	case evEdits:
		dst = binary.AppendUvarint(dst, uint64(e.grid))
		dst = binary.AppendUvarint(dst, uint64(len(e.edits)))
		for i := range e.edits {
			dst = e.edits[i].append(dst)
		}
	case evRewind:
		dst = binary.AppendUvarint(dst, uint64(e.epoch))
		dst = append(binary.AppendUvarint(dst, uint64(len(e.meta))), e.meta...)
	}
	return dst
}

func (e *event) appendUser(dst []byte) []byte {
	dst = appendText(dst, e.user)
	dst = appendText(dst, e.name)
	return binary.AppendUvarint(dst, uint64(e.colour))
}

func (e *event) appendConfigure(dst []byte) []byte {
	dst = appendText(dst, e.title)
	dst = binary.AppendUvarint(dst, uint64(e.interval))
	return appendKeep(dst, e.persistent, e.relaxed)
}

func (r *reader) event() event {
	e := event{kind: eventKind(r.byte()), by: uint16(r.upTo(MaxUsers + 1))}
	switch e.kind {
	case evCreate:
		r.configure(&e)
		r.user(&e)
		e.created = int64(r.upTo(1 << 62))
		e.epoch = uint32(r.upTo(1<<32 - 1))
		e.grids = r.specs()
	case evOpen:
		e.epoch = uint32(r.upTo(1<<32 - 1))
	case evJoin:
		r.user(&e)
	case evColour:
		e.colour = Colour(r.upTo(uint64(AnyColour)))
	case evLeave:
		e.number = r.byte()
	case evState:
		if e.state = State(r.byte()); e.state > Stopped {
			r.fail()
		}
	case evConfigure:
		r.configure(&e)
	case evEdits:
		e.grid = int(r.upTo(1 << 16))
		n := r.count()
		for e.edits = make([]Edit, 0, min(n, 1024)); n > 0 && r.err == nil; n-- {
			e.edits = append(e.edits, r.edit())
		}
	case evRewind:
		e.epoch = uint32(r.upTo(1<<32 - 1))
		e.meta = r.bytes()
	case evEnd:
	default:
		r.fail()
	}
	return e
}

func (r *reader) user(e *event) {
	e.user, e.name = r.text(), r.text()
	e.colour = Colour(r.upTo(uint64(AnyColour)))
}

func (r *reader) configure(e *event) {
	e.title = r.text()
	e.interval = time.Duration(r.upTo(1 << 62))
	e.persistent, e.relaxed = r.keep()
}

func appendSpecs(dst []byte, specs []GridSpec) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(specs)))
	for _, s := range specs {
		dst = binary.AppendUvarint(dst, uint64(s.Width))
		dst = binary.AppendUvarint(dst, uint64(s.Height))
		dst = binary.AppendUvarint(dst, uint64(s.Rule.Birth))
		dst = binary.AppendUvarint(dst, uint64(s.Rule.Survive))
		dst = append(dst, byte(s.Topology), byte(s.Mode), byte(s.Owners))
	}
	return dst
}

func (r *reader) specs() []GridSpec {
	n := r.count()
	specs := make([]GridSpec, 0, min(n, 64))
	for ; n > 0 && r.err == nil; n-- {
		specs = append(specs, GridSpec{
			Width: int(r.upTo(grid.MaxSide)), Height: int(r.upTo(grid.MaxSide)),
			Rule:     grid.Rule{Birth: uint16(r.upTo(1<<9 - 1)), Survive: uint16(r.upTo(1<<9 - 1))},
			Topology: grid.Topology(r.byte()), Mode: Mode(r.byte()), Owners: int(r.byte()),
		})
	}
	return specs
}

// entry is one entry of a game's log: a batch of events that apply at one generation in this order, or, without events,
// a mark that the game has reached the generation.
//
//	u8      version 1
//	varint  number: batches count from 0; a mark has the number of the next batch
//	varint  generation
//	varint  unix milliseconds
//	varint  number of events, then each: u8 kind, varint number of the user who asks plus one, what the kind needs
//
// A batch counts only if the next entry has a greater number, or if there is no next entry. So a game that got no answer
// to an append gives the same number to what it does next: if the lost batch is in the log after all, it is void, as its
// users were told that its fate is unknown, and as the cells they saw are without it.
type entry struct {
	number     uint64
	generation uint64
	time       int64
	events     []event
}

const entryVersion = 1

func (e *entry) append(dst []byte) []byte {
	dst = appendEntryHead(dst, e.number, e.generation, e.time, len(e.events))
	for i := range e.events {
		dst = e.events[i].append(dst)
	}
	return dst
}

func appendEntryHead(dst []byte, number, generation uint64, time int64, events int) []byte {
	dst = binary.AppendUvarint(append(dst, entryVersion), number)
	dst = binary.AppendUvarint(dst, generation)
	dst = binary.AppendUvarint(dst, uint64(time))
	return binary.AppendUvarint(dst, uint64(events))
}

// parseEntry reads an entry. The bytes may be anything; texts are copied, what is in meta aliases b.
func parseEntry(b []byte) (entry, error) {
	r := reader{b: b}
	if r.byte() != entryVersion {
		return entry{}, errCorrupt
	}
	e := entry{number: r.uint(), generation: r.uint(), time: int64(r.upTo(1 << 62))}
	n := r.count()
	for ; n > 0 && r.err == nil; n-- {
		e.events = append(e.events, r.event())
	}
	if r.err != nil || len(r.b) != 0 {
		return entry{}, errCorrupt
	}
	return e, nil
}
