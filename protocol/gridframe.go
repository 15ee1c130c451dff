package protocol

import (
	"encoding/binary"
	"errors"
)

// GridKind is the kind of a binary grid frame.
type GridKind uint8

// Kinds of frames.
const (
	GridSnapshot GridKind = 1 // the whole grid
	GridDelta    GridKind = 2 // what changed, against the generation before the last
	GridEdits    GridKind = 3 // edits and the generation at which they apply
	GridTick     GridKind = 4 // a generation and its hash alone
)

// GridFlags say what the payload of a grid frame holds beside live cells.
type GridFlags uint8

// Flags of frames.
const (
	GridOwners  GridFlags = 1 << 0 // owners of cells
	GridBlended GridFlags = 1 << 1 // blended colours

	gridFlagsKnown = GridOwners | GridBlended
)

// GridHeaderSize is the length of the header of a grid frame in bytes.
const GridHeaderSize = 32

// ErrBadGridFrame is returned for a grid frame that is short, or of an unknown kind, or has unknown flags.
var ErrBadGridFrame = errors.New("not a grid frame")

// GridHeader opens every binary websocket message of a grid stream, little-endian:
//
//	 0  u8   kind
//	 1  u8   flags
//	 2  u16  grid
//	 4  u32  epoch
//	 8  u64  game
//	16  u64  generation
//	24  u64  hash
//	32  …    payload
type GridHeader struct {
	Kind       GridKind
	Flags      GridFlags
	Grid       uint16 // index of the grid in its game
	Epoch      uint32 // changes when the game's history was rewound or lost
	Game       uint64
	Generation uint64 // after the frame is applied
	Hash       uint64 // of the live cells, after the frame is applied
}

// AppendGridHeader appends the header; the payload follows.
func AppendGridHeader(dst []byte, h GridHeader) []byte {
	dst = append(dst, byte(h.Kind), byte(h.Flags))
	dst = binary.LittleEndian.AppendUint16(dst, h.Grid)
	dst = binary.LittleEndian.AppendUint32(dst, h.Epoch)
	dst = binary.LittleEndian.AppendUint64(dst, h.Game)
	dst = binary.LittleEndian.AppendUint64(dst, h.Generation)
	return binary.LittleEndian.AppendUint64(dst, h.Hash)
}

// ParseGridHeader reads a grid frame. payload aliases b and is not checked. Error: ErrBadGridFrame.
func ParseGridHeader(b []byte) (h GridHeader, payload []byte, err error) {
	if len(b) < GridHeaderSize {
		return GridHeader{}, nil, ErrBadGridFrame
	}
	h = GridHeader{
		Kind:       GridKind(b[0]),
		Flags:      GridFlags(b[1]),
		Grid:       binary.LittleEndian.Uint16(b[2:]),
		Epoch:      binary.LittleEndian.Uint32(b[4:]),
		Game:       binary.LittleEndian.Uint64(b[8:]),
		Generation: binary.LittleEndian.Uint64(b[16:]),
		Hash:       binary.LittleEndian.Uint64(b[24:]),
	}
	if h.Kind < GridSnapshot || h.Kind > GridTick || h.Flags&^gridFlagsKnown != 0 {
		return GridHeader{}, nil, ErrBadGridFrame
	}
	return h, b[GridHeaderSize:], nil
}
