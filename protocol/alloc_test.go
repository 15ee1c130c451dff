package protocol

import (
	"strings"
	"testing"
)

// Goal: the hot paths do not allocate. Method: AllocsPerRun over one message of each kind, with room in dst.
func TestNoAllocations(t *testing.T) {
	var (
		dst     = make([]byte, 0, 4096)
		line    = []byte("0000PUBLICgrüß dich, world of mine\r\n")
		payload = []byte("some text of thirty two bytes...")
		name    = []byte("Anna")
		wsText  = masked(fin|txt, "grüß dich, world of mine")
		wsPing  = masked(fin|ping, "0123")
		wsBad   = masked(fin|txt, "\xff")
		request = []byte(`{"route":"/chat/public","msgId":"123","content":{"text":"hello \"world\" é","list":[1,2.5e3,null]}}`)
		pushed  = AppendChatPush(nil, false, "Anna", "hello \"world\" é", 1700000000000)
		push, _ = ParsePush(pushed)
		long    = []byte(strings.Repeat("0", 100))
		id      = NewMsgID(123)
		server  = Assembler{Server: true}
		content = []byte(`{"epoch":1,"offset":2}`)
		job     = AppendJob(nil, strings.Repeat("0a", 16), content)
	)
	for what, f := range map[string]func(){
		"ParseCommand":       func() { ParseCommand(line) },
		"CutLine":            func() { CutLine(line, 8192) },
		"CutLine refusing":   func() { CutLine(long, 8192) },
		"ParseLine":          func() { ParseLine(line[:len(line)-2]) },
		"CutText":            func() { CutText(line, 8192) },
		"AppendLine":         func() { dst = AppendLine(dst[:0], CmdPublic, name, payload) },
		"Next text":          func() { Mask(wsText[6:], [4]byte(testMask)); server.Next(wsText); Mask(wsText[6:], [4]byte(testMask)) },
		"Next ping":          func() { server.Next(wsPing) },
		"Next incomplete":    func() { server.Next(wsText[:9]) },
		"Next refusing":      func() { server.Next(wsBad) },
		"ParseFrameHeader":   func() { ParseFrameHeader(wsText) },
		"AppendFrameHeader":  func() { dst = AppendFrameHeader(dst[:0], OpText, true, 300) },
		"AppendFrame":        func() { dst = AppendFrame(dst[:0], OpText, payload) },
		"AppendMaskedFrame":  func() { dst = AppendMaskedFrame(dst[:0], OpText, [4]byte{1, 2, 3, 4}, payload) },
		"AppendClose":        func() { dst = AppendClose(dst[:0], CloseSlow, "slow") },
		"AppendCloseLine":    func() { dst = AppendCloseLine(dst[:0], CloseSlow) },
		"ParseRequest":       func() { ParseRequest(request) },
		"AppendReply":        func() { dst = AppendReply(dst[:0], "/chat/public", id, StatusOK, "", content) },
		"AppendError":        func() { dst = AppendError(dst[:0], "/chat/public", id, StatusInvalid, "no", nil) },
		"AppendReplyLine":    func() { dst = AppendReplyLine(dst[:0], "/chat/public", id, StatusOK, "", content) },
		"AppendChatPush":     func() { dst = AppendChatPush(dst[:0], false, "Anna", payload, 1700000000000) },
		"ParsePush":          func() { ParsePush(pushed) },
		"AppendPushLine":     func() { dst = AppendPushLine(dst[:0], push) },
		"AppendPushEnvelope": func() { dst = AppendPushEnvelope(dst[:0], push, "chat.0.public", 1, 2) },
		"ValidJSON":          func() { ValidJSON(request) },
		"ValidName":          func() { ValidName("World_1") },
		"ValidDisplayName":   func() { ValidDisplayName("Ünïcödé") },
		"EscapeToken":        func() { EscapeToken("plain") },
		"ParseJob":           func() { ParseJob(job) },
		"AppendJob":          func() { dst = AppendJob(dst[:0], "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a", content) },
		"AppendGateResponse": func() { dst = AppendGateResponse(dst[:0], StatusOK, "ok", content) },
		"AppendGridHeader":   func() { dst = AppendGridHeader(dst[:0], GridHeader{Kind: GridTick}) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
}

// Goal: what is allocated follows the input, not a number in it. Method: a header that announces the most it may.
func TestNoAllocationsForAnnouncedBytes(t *testing.T) {
	announced := masked(txt, strings.Repeat("a", 1<<20))[:1000]
	a := Assembler{Server: true, Max: 1 << 30}
	if n := testing.AllocsPerRun(100, func() { a.Next(announced) }); n != 0 || a.parts != nil {
		t.Errorf("%v allocations", n)
	}
}
