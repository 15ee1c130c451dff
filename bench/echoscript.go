package bench

import (
	"fmt"

	"gosper/protocol"
)

// echoScript is the cyclic conversation of a connection: what is sent, and byte for byte what must come back. Every
// frame has its own number, so a lost, doubled or swapped frame shows as a difference.
type echoScript struct {
	send, want           []byte
	sendFrame, wantFrame int // bytes of one frame
}

// echoCycle is how many frames a script has before it starts again; more than are ever under way.
const echoCycle = 4096

func newEchoScript(frame func(i int) (send, want []byte)) echoScript {
	var s echoScript
	for i := range echoCycle {
		send, want := frame(i)
		s.send, s.want = append(s.send, send...), append(s.want, want...)
		s.sendFrame, s.wantFrame = len(send), len(want)
	}
	return s
}

// echoNumber is the payload of a PING that makes its line frame echoFrame bytes long.
func echoNumber(i int) []byte {
	return fmt.Appendf(nil, "%0*d", echoFrame-protocol.CommandSize-2, i)
}

func lineEcho() echoScript {
	return newEchoScript(func(i int) (send, want []byte) {
		return protocol.AppendLine(nil, protocol.CmdPing, echoNumber(i)), protocol.AppendLine(nil, protocol.CmdPong, echoNumber(i))
	})
}

func bareEcho() echoScript {
	return newEchoScript(func(i int) (send, want []byte) {
		f := protocol.AppendLine(nil, protocol.CmdPing, echoNumber(i))
		return f, f
	})
}

// webEcho holds the same frames as lineEcho without CR LF, each in a masked websocket frame.
func webEcho() echoScript {
	return newEchoScript(func(i int) (send, want []byte) {
		ping := append([]byte(protocol.CmdPing.String()), echoNumber(i)...)
		pong := append([]byte(protocol.CmdPong.String()), echoNumber(i)...)
		mask := [4]byte{byte(i), byte(i >> 8), 0xa5, 0x3c}
		return protocol.AppendMaskedFrame(nil, protocol.OpText, mask, ping), protocol.AppendFrame(nil, protocol.OpText, pong)
	})
}
