package protocol

import (
	"fmt"
	"strings"
	"testing"
)

func BenchmarkParseCommand(b *testing.B) {
	for _, c := range []Command{CmdPublic, CmdPing, CmdUnwatch} {
		text := []byte(c.String())
		b.Run(c.String(), func(b *testing.B) {
			for b.Loop() {
				if ParseCommand(text) != c {
					b.Fatal("wrong")
				}
			}
		})
	}
}

func BenchmarkCutLine(b *testing.B) {
	for _, payload := range []string{"", "hello there", strings.Repeat("a", 100), strings.Repeat("grüße", 17), strings.Repeat("a", 1000)} {
		line := AppendLine(nil, CmdPublic, []byte(payload))
		b.Run(fmt.Sprintf("%dB", len(line)), func(b *testing.B) {
			b.SetBytes(int64(len(line)))
			for b.Loop() {
				if _, _, n, err := CutLine(line, 8192); n != len(line) || err != nil {
					b.Fatal("wrong")
				}
			}
		})
	}
}

// BenchmarkCutLinePipelined is the read loop of a door over a buffer of 64 KiB of pings.
func BenchmarkCutLinePipelined(b *testing.B) {
	buf := []byte(strings.Repeat("000000PING12345678\r\n", 3276))
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		for rest := buf; len(rest) > 0; {
			_, _, n, _ := CutLine(rest, 8192)
			rest = rest[n:]
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*3276), "ns/line")
}

func BenchmarkAppendLine(b *testing.B) {
	dst, name, said := make([]byte, 0, 256), []byte("Anna:"), []byte(strings.Repeat("a", 100))
	for b.Loop() {
		dst = AppendLine(dst[:0], CmdPublic, name, said)
	}
}

func BenchmarkAssembler(b *testing.B) {
	for _, n := range []int{20, 100, 1000, 65536} {
		for _, text := range []string{"a", "é"} {
			payload := []byte(strings.Repeat(text, n/len(text)))
			frame := AppendMaskedFrame(nil, OpText, [4]byte{}, payload) // a mask of zeros: unmasking changes nothing
			b.Run(fmt.Sprintf("%dB of %s", n, text), func(b *testing.B) {
				a := Assembler{Server: true}
				b.SetBytes(int64(len(frame)))
				for b.Loop() {
					if _, n, err := a.Next(frame); n != len(frame) || err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkMask(b *testing.B) {
	for _, n := range []int{5, 20, 100, 1000, 65536} {
		p := make([]byte, n)
		b.Run(fmt.Sprintf("%dB", n), func(b *testing.B) {
			b.SetBytes(int64(n))
			for b.Loop() {
				Mask(p, [4]byte{1, 2, 3, 4})
			}
		})
	}
}

func BenchmarkAppendFrame(b *testing.B) {
	dst, payload := make([]byte, 0, 256), make([]byte, 100)
	for b.Loop() {
		dst = AppendFrame(dst[:0], OpText, payload)
	}
}

func BenchmarkParseRequest(b *testing.B) {
	for name, in := range map[string]string{
		"chat":     `{"route":"/chat/public","msgId":123,"content":{"text":"` + strings.Repeat("hello ", 16) + `"}}`,
		"register": `{"route":"/user/register","msgId":123,"clientCode":"0b8b1a4e-58f1-4f6e-a6cc-0c1f16b5d1c9-a1b2c3","content":{"username":"anna","email":"anna@example.org"}}`,
	} {
		b.Run(name, func(b *testing.B) {
			buf := []byte(in)
			b.ReportAllocs()
			b.SetBytes(int64(len(buf)))
			for b.Loop() {
				if _, err := ParseRequest(buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPush is what one published chat message costs a node in this package, whatever the number of subscribers.
func BenchmarkPush(b *testing.B) {
	data := AppendChatPush(nil, false, "Anna", strings.Repeat("hello ", 16), 1700000000000)
	dst := make([]byte, 0, 1024)
	b.Run("encode", func(b *testing.B) {
		said := []byte(strings.Repeat("hello ", 16))
		for b.Loop() {
			dst = AppendChatPush(dst[:0], false, "Anna", said, 1700000000000)
		}
	})
	b.Run("parse", func(b *testing.B) {
		for b.Loop() {
			ParsePush(data)
		}
	})
	p, _ := ParsePush(data)
	b.Run("line", func(b *testing.B) {
		for b.Loop() {
			dst = AppendPushLine(dst[:0], p)
		}
	})
	b.Run("envelope", func(b *testing.B) {
		for b.Loop() {
			dst = AppendPushEnvelope(dst[:0], p, "chat.0.public", 1700000000, 12345)
		}
	})
}

func BenchmarkAppendReply(b *testing.B) {
	dst, content := make([]byte, 0, 1024), []byte(`{"epoch":1700000000,"offset":12345}`)
	for b.Loop() {
		dst = AppendReply(dst[:0], "/chat/public", NewMsgID(123), StatusOK, "", content)
	}
}
