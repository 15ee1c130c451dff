package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"gosper/grid/game"
)

// kind is the first byte of a frame on a link.
type kind uint8

// Kinds of frames, with what is behind the kind. Numbers of more than a byte are big endian; data are the rest.
const (
	kindPing    kind = 1 + iota // nothing
	kindPong                    // nothing
	kindAsk                     // u64 call, u8 what, u64 game (0: none), u64 token, data
	kindAnswer                  // u64 call, u8 code, data
	kindFrame                   // u32 number, u8 game.FrameKind, u32 epoch, u64 generation, u64 hash, data
	kindHole                    // u32 number: frames of the stream are missing here
	kindGone                    // u32 number: the game is elsewhere, the stream ends here
	kindWant                    // u32 number: a snapshot, please
	kindUnwatch                 // u32 number

	kinds
)

// what a question is about.
type what uint8

const (
	askCall    what = 1 + iota // data are the function table's
	askWatch                   // data are a watchRequest
	askAdopt                   // data are a handOver
	askPrepare                 // data are a handOver, of how the game is before

	whats
)

// code is how a question was answered.
type code uint8

const (
	codeOK      code = iota // data are the answer
	codeNotHere             // the game is not at this node: nothing was done
	codeBusy                // nothing was done
	codeRefused             // data are a refusal

	codes
)

// Sizes of frames without data, behind the length.
const (
	askSize    = 1 + 8 + 1 + 8 + 8
	answerSize = 1 + 8 + 1
	frameSize  = 1 + 4 + 1 + 4 + 8 + 8
	numberSize = 1 + 4
	lengthSize = 4
)

// frame is one frame of a link. Which fields count follows from the kind.
type frame struct {
	kind   kind
	call   uint64
	what   what
	game   game.ID
	token  uint64 // of the node that is asked, as the one that asks knows it
	code   code
	number uint32

	frame      game.FrameKind
	epoch      uint32
	generation uint64
	hash       uint64

	data []byte
}

// size is that of the frame behind its length.
func (f *frame) size() int { return f.kind.fixed() + len(f.data) }

// fixed is the size of a frame of that kind without data.
func (k kind) fixed() int {
	switch k {
	case kindAsk:
		return askSize
	case kindAnswer:
		return answerSize
	case kindFrame:
		return frameSize
	case kindHole, kindGone, kindWant, kindUnwatch:
		return numberSize
	}
	return 1
}

// carries says whether frames of that kind have data.
func (k kind) carries() bool { return k == kindAsk || k == kindAnswer || k == kindFrame }

// appendHead writes length and all but the data.
func (f *frame) appendHead(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(f.size()))
	dst = append(dst, byte(f.kind))
	switch f.kind {
	case kindAsk:
		dst = append(binary.BigEndian.AppendUint64(dst, f.call), byte(f.what))
		dst = binary.BigEndian.AppendUint64(dst, uint64(f.game))
		dst = binary.BigEndian.AppendUint64(dst, f.token)
	case kindAnswer:
		dst = append(binary.BigEndian.AppendUint64(dst, f.call), byte(f.code))
	case kindFrame:
		dst = append(binary.BigEndian.AppendUint32(dst, f.number), byte(f.frame))
		dst = binary.BigEndian.AppendUint32(dst, f.epoch)
		dst = binary.BigEndian.AppendUint64(dst, f.generation)
		dst = binary.BigEndian.AppendUint64(dst, f.hash)
	case kindHole, kindGone, kindWant, kindUnwatch:
		dst = binary.BigEndian.AppendUint32(dst, f.number)
	}
	return dst
}

var errFrame = errors.New("malformed frame")

// parseFrame reads what stands behind a length. data of the frame are a part of b.
func parseFrame(b []byte) (f frame, err error) {
	if len(b) == 0 || b[0] == 0 || kind(b[0]) >= kinds {
		return f, errFrame
	}
	f.kind = kind(b[0])
	fixed := f.kind.fixed()
	if len(b) < fixed || len(b) > fixed && !f.kind.carries() {
		return f, errFrame
	}
	f.data = b[fixed:]
	b = b[1:fixed]
	switch f.kind {
	case kindAsk:
		f.call, f.what, f.game = binary.BigEndian.Uint64(b), what(b[8]), game.ID(binary.BigEndian.Uint64(b[9:]))
		f.token = binary.BigEndian.Uint64(b[17:])
		if f.what == 0 || f.what >= whats {
			return f, errFrame
		}
	case kindAnswer:
		if f.call, f.code = binary.BigEndian.Uint64(b), code(b[8]); f.code >= codes {
			return f, errFrame
		}
	case kindFrame:
		f.number, f.frame, f.epoch = binary.BigEndian.Uint32(b), game.FrameKind(b[4]), binary.BigEndian.Uint32(b[5:])
		f.generation, f.hash = binary.BigEndian.Uint64(b[9:]), binary.BigEndian.Uint64(b[17:])
		if f.frame > game.FrameEnd {
			return f, errFrame
		}
	case kindHole, kindGone, kindWant, kindUnwatch:
		f.number = binary.BigEndian.Uint32(b)
	}
	return f, nil
}

// readFrame reads one frame of at most that many bytes into memory of its own. Memory is taken as the bytes come, so a length
// alone takes none.
func readFrame(r io.Reader, most int) (frame, error) {
	var head [lengthSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > math.MaxInt32 || int(n) > most {
		return frame{}, fmt.Errorf("%w: %d bytes, at most %d are allowed", errFrame, n, most)
	}
	const piece = 1 << 20
	b := make([]byte, min(int(n), piece))
	if _, err := io.ReadFull(r, b); err != nil {
		return frame{}, err
	}
	for len(b) < int(n) {
		more := min(int(n)-len(b), len(b))
		b = append(b, make([]byte, more)...)
		if _, err := io.ReadFull(r, b[len(b)-more:]); err != nil {
			return frame{}, err
		}
	}
	return parseFrame(b)
}
