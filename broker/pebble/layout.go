package pebble

import (
	"encoding/binary"
	"fmt"
	"time"

	"gosper/broker"
	"gosper/broker/keys"
)

// layoutVersion is what S|format must hold. It grows when older programs could misread the keys.
const layoutVersion = 1

// Spaces: the first byte of every key. See the package documentation.
const (
	spaceRecord  = 'r'
	spaceKey     = 'k'
	spaceLease   = 'l'
	spaceTopic   = 't'
	spaceMessage = 'h'
	spaceLog     = 'g'
	spaceEntry   = 'e'
	spacePlace   = 'p'
	spacePart    = 'q'
	spaceJob     = 'J'
	spaceChange  = 'j'
	spaceReady   = 'R'
	spaceDelayed = 'D'
	spaceBuried  = 'B'
	spaceUnique  = 'U'
	spaceTube    = 'T'
	spaceTimer   = 'z'
	spaceDue     = 'Z'
	spaceGroup   = 'G'
)

// Single numbers.
var (
	metaBatch    = []byte("Sbatch")
	metaEpoch    = []byte("Sepoch")
	metaFloor    = []byte("Sfloor")
	metaFormat   = []byte("Sformat")
	metaBoot     = []byte("Sboot")
	metaJob      = []byte("Sjob")
	metaTimer    = []byte("Stimer")
	metaTube     = []byte("Stube")
	metaLog      = []byte("Slog")
	metaRevision = []byte("Srevision")
	metaToken    = []byte("Stoken")
	metaTopic    = []byte("Stopic")
)

// in returns the key of name in a space.
func in(space byte, name string) []byte {
	return append(append(make([]byte, 0, 1+len(name)), space), name...)
}

// after returns the first key above all that start with prefix; nil when there is none.
func after(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func parseNumber(b []byte) (uint64, error) {
	if len(b) != 8 {
		return 0, fmt.Errorf("number of %d bytes", len(b))
	}
	return binary.BigEndian.Uint64(b), nil
}

// messageKey names the message of a subject; offset 0 sorts before all of them.
func messageKey(id, offset uint64) []byte {
	b := append(make([]byte, 0, 17), spaceMessage)
	b = binary.BigEndian.AppendUint64(b, id)
	return binary.BigEndian.AppendUint64(b, offset)
}

func appendMessage(dst []byte, m *broker.Message) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(m.Time.UnixMicro()))
	return append(dst, m.Data...)
}

// parseMessage makes the message that was stored under key. It copies value.
func parseMessage(subject string, epoch uint64, key, value []byte) (*broker.Message, error) {
	if len(key) != 17 || len(value) < 8 {
		return nil, damaged("message", key)
	}
	return &broker.Message{
		Subject:  subject,
		Data:     append([]byte{}, value[8:]...),
		Time:     time.UnixMicro(int64(binary.BigEndian.Uint64(value))),
		Position: broker.Position{Epoch: epoch, Offset: binary.BigEndian.Uint64(key[9:])},
	}, nil
}

// topicRecord is the value of t|subject.
type topicRecord struct {
	id, base uint64
	keep     broker.Keep
}

func (t topicRecord) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, t.id)
	b = binary.BigEndian.AppendUint64(b, t.base)
	b = binary.BigEndian.AppendUint32(b, uint32(min(t.keep.Messages, 1<<31-1)))
	return binary.BigEndian.AppendUint64(b, uint64(t.keep.Age.Milliseconds()))
}

func parseTopic(key, value []byte) (topicRecord, error) {
	if len(value) != 28 {
		return topicRecord{}, damaged("subject", key)
	}
	return topicRecord{
		id:   binary.BigEndian.Uint64(value),
		base: binary.BigEndian.Uint64(value[8:]),
		keep: broker.Keep{
			Messages: int(binary.BigEndian.Uint32(value[16:])),
			Age:      time.Duration(binary.BigEndian.Uint64(value[20:])) * time.Millisecond,
		},
	}, nil
}

func encodeKey(it keys.Item[[]byte]) []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(it.Expires.UnixMilli()))
	return append(b, it.Value...)
}

func parseKey(key, value []byte) (it keys.Item[[]byte], err error) {
	if len(value) < 8 {
		return it, damaged("registry key", key)
	}
	it.Expires = time.UnixMilli(int64(binary.BigEndian.Uint64(value)))
	it.Value = append([]byte{}, value[8:]...)
	return it, nil
}

func encodeLease(it keys.Item[keys.Holder]) []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(it.Expires.UnixMilli()))
	b = binary.BigEndian.AppendUint64(b, it.Value.Token)
	return append(b, it.Value.Owner...)
}

func parseLease(key, value []byte) (it keys.Item[keys.Holder], err error) {
	if len(value) < 16 {
		return it, damaged("lease", key)
	}
	it.Expires = time.UnixMilli(int64(binary.BigEndian.Uint64(value)))
	it.Value = keys.Holder{Token: binary.BigEndian.Uint64(value[8:]), Owner: string(value[16:])}
	return it, nil
}

func damaged(what string, key []byte) error {
	return fmt.Errorf("the %s under %q can not be read: the store is damaged", what, key)
}
