package protocol

import "encoding/binary"

// Command is the meaning of the 10 bytes that open a line frame. The zero value is CmdUnknown.
type Command uint8

// The commands of the line door. C: sent by clients, S: sent by servers. The payload follows the command without a
// blank between them.
const (
	CmdUnknown  Command = iota // not a command: the frame is a breach of the protocol
	CmdRegister                // 00REGISTER C nonce
	CmdPublic                  // 0000PUBLIC C text; S name:text
	CmdFamily                  // 0000FAMILY C text; S name:text
	CmdPing                    // 000000PING C any bytes, at most MaxPing
	CmdPong                    // 000000PONG S the bytes of the PING
	CmdCall                    // 000000CALL C request envelope
	CmdReply                   // 00000REPLY S reply envelope
	CmdPush                    // 000000PUSH S push envelope
	CmdOK                      // 00000000OK S empty: registered
	CmdExit                    // 000000EXIT C empty: close
	CmdClose                   // 00000CLOSE S code and reason: the server closes
	CmdWatch                   // 00000WATCH C grid to follow
	CmdUnwatch                 // 000UNWATCH C grid to follow no more
	CmdEdit                    // 000000EDIT C cells to place; S their place in the order of edits
	CmdGrid                    // 000000GRID S a whole grid
	CmdDelta                   // 00000DELTA S the cells that flipped

	commandCount
)

// CommandSize is the length of a command in bytes.
const CommandSize = 10

// MaxPing is the longest payload of a PING in bytes.
const MaxPing = 64

// commandText holds the commands as they stand on the wire. CmdUnknown has a text for logs that no frame can have.
var commandText = [commandCount]string{
	CmdUnknown:  "?unknown??",
	CmdRegister: "00REGISTER",
	CmdPublic:   "0000PUBLIC",
	CmdFamily:   "0000FAMILY",
	CmdPing:     "000000PING",
	CmdPong:     "000000PONG",
	CmdCall:     "000000CALL",
	CmdReply:    "00000REPLY",
	CmdPush:     "000000PUSH",
	CmdOK:       "00000000OK",
	CmdExit:     "000000EXIT",
	CmdClose:    "00000CLOSE",
	CmdWatch:    "00000WATCH",
	CmdUnwatch:  "000UNWATCH",
	CmdEdit:     "000000EDIT",
	CmdGrid:     "000000GRID",
	CmdDelta:    "00000DELTA",
}

// The last eight bytes of each command as a little-endian word. The first two bytes of every command are "00", since
// no name is longer than REGISTER: so one word and one half-word tell them all apart.
const (
	wordRegister = uint64('R') | 'E'<<8 | 'G'<<16 | 'I'<<24 | 'S'<<32 | 'T'<<40 | 'E'<<48 | 'R'<<56
	wordPublic   = uint64('0') | '0'<<8 | 'P'<<16 | 'U'<<24 | 'B'<<32 | 'L'<<40 | 'I'<<48 | 'C'<<56
	wordFamily   = uint64('0') | '0'<<8 | 'F'<<16 | 'A'<<24 | 'M'<<32 | 'I'<<40 | 'L'<<48 | 'Y'<<56
	wordPing     = uint64('0') | '0'<<8 | '0'<<16 | '0'<<24 | 'P'<<32 | 'I'<<40 | 'N'<<48 | 'G'<<56
	wordPong     = uint64('0') | '0'<<8 | '0'<<16 | '0'<<24 | 'P'<<32 | 'O'<<40 | 'N'<<48 | 'G'<<56
	wordCall     = uint64('0') | '0'<<8 | '0'<<16 | '0'<<24 | 'C'<<32 | 'A'<<40 | 'L'<<48 | 'L'<<56
	wordReply    = uint64('0') | '0'<<8 | '0'<<16 | 'R'<<24 | 'E'<<32 | 'P'<<40 | 'L'<<48 | 'Y'<<56
	wordPush     = uint64('0') | '0'<<8 | '0'<<16 | '0'<<24 | 'P'<<32 | 'U'<<40 | 'S'<<48 | 'H'<<56
	wordOK       = uint64('0') | '0'<<8 | '0'<<16 | '0'<<24 | '0'<<32 | '0'<<40 | 'O'<<48 | 'K'<<56
	wordExit     = uint64('0') | '0'<<8 | '0'<<16 | '0'<<24 | 'E'<<32 | 'X'<<40 | 'I'<<48 | 'T'<<56
	wordClose    = uint64('0') | '0'<<8 | '0'<<16 | 'C'<<24 | 'L'<<32 | 'O'<<40 | 'S'<<48 | 'E'<<56
	wordWatch    = uint64('0') | '0'<<8 | '0'<<16 | 'W'<<24 | 'A'<<32 | 'T'<<40 | 'C'<<48 | 'H'<<56
	wordUnwatch  = uint64('0') | 'U'<<8 | 'N'<<16 | 'W'<<24 | 'A'<<32 | 'T'<<40 | 'C'<<48 | 'H'<<56
	wordEdit     = uint64('0') | '0'<<8 | '0'<<16 | '0'<<24 | 'E'<<32 | 'D'<<40 | 'I'<<48 | 'T'<<56
	wordGrid     = uint64('0') | '0'<<8 | '0'<<16 | '0'<<24 | 'G'<<32 | 'R'<<40 | 'I'<<48 | 'D'<<56
	wordDelta    = uint64('0') | '0'<<8 | '0'<<16 | 'D'<<24 | 'E'<<32 | 'L'<<40 | 'T'<<48 | 'A'<<56

	padding = uint16('0') | '0'<<8
)

// String returns the 10 bytes of the command, left-padded with "0" ("00REGISTER").
func (c Command) String() string {
	if c >= commandCount {
		c = CmdUnknown
	}
	return commandText[c]
}

// ParseCommand reads the first CommandSize bytes of b, which must have that many. It returns CmdUnknown for anything
// but a known command with its exact padding. It does not allocate.
func ParseCommand(b []byte) Command {
	if binary.LittleEndian.Uint16(b) != padding {
		return CmdUnknown
	}
	switch binary.LittleEndian.Uint64(b[2:CommandSize]) {
	case wordPublic:
		return CmdPublic
	case wordPing:
		return CmdPing
	case wordFamily:
		return CmdFamily
	case wordPong:
		return CmdPong
	case wordCall:
		return CmdCall
	case wordReply:
		return CmdReply
	case wordPush:
		return CmdPush
	case wordEdit:
		return CmdEdit
	case wordDelta:
		return CmdDelta
	case wordGrid:
		return CmdGrid
	case wordRegister:
		return CmdRegister
	case wordOK:
		return CmdOK
	case wordExit:
		return CmdExit
	case wordClose:
		return CmdClose
	case wordWatch:
		return CmdWatch
	case wordUnwatch:
		return CmdUnwatch
	}
	return CmdUnknown
}

// Commands lists every command in the order of its value, without CmdUnknown. The slice is the caller's own.
func Commands() []Command {
	all := make([]Command, 0, commandCount-1)
	for c := CmdUnknown + 1; c < commandCount; c++ {
		all = append(all, c)
	}
	return all
}
