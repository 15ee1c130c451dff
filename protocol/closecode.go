package protocol

import (
	"errors"
	"strconv"
)

// CloseCode says why a connection ends. Websocket clients get it in the close frame, registered line clients in
// 00000CLOSE; every other door only counts it. Codes below 4000 are those of RFC 6455, section 7.4.
type CloseCode uint16

// Close codes of RFC 6455, and our own from 4000.
const (
	CloseNormal      CloseCode = 1000
	CloseGoingAway   CloseCode = 1001
	CloseProtocol    CloseCode = 1002
	CloseUnsupported CloseCode = 1003
	CloseNoStatus    CloseCode = 1005 // never sent: a close frame without payload
	CloseAbnormal    CloseCode = 1006 // never sent: the connection went away without a close
	CloseBadData     CloseCode = 1007
	ClosePolicy      CloseCode = 1008
	CloseTooBig      CloseCode = 1009
	CloseInternal    CloseCode = 1011
	CloseRestart     CloseCode = 1012

	CloseAuthTimeout CloseCode = 4001
	CloseAuth        CloseCode = 4002
	CloseReplaced    CloseCode = 4003
	CloseLoggedOut   CloseCode = 4004
	CloseSlow        CloseCode = 4005
	CloseTimeout     CloseCode = 4006
	CloseRate        CloseCode = 4007
	CloseLimit       CloseCode = 4008
	CloseAbuse       CloseCode = 4009
	CloseBanned      CloseCode = 4010
)

// CloseInfo is one row of the table of close codes.
type CloseInfo struct {
	Code      CloseCode
	Name      string // one word in snake case: metric label, log field and the reason on the wire
	Meaning   string
	Reconnect bool // whether a client should come back by itself (with growing pauses) and resume
}

// closeCodes is the table behind CloseCodes, in the order of codes.
var closeCodes = [...]CloseInfo{
	{CloseNormal, "normal", "the client asked for it, or the work is done", false},
	{CloseGoingAway, "going_away", "this node drains: go to another one", true},
	{CloseProtocol, "protocol_error", "a frame broke the protocol", false},
	{CloseUnsupported, "unsupported_data", "a kind of message this endpoint does not take", false},
	{CloseNoStatus, "no_status", "the peer closed without a code; never on the wire", true},
	{CloseAbnormal, "abnormal", "the connection was lost without a close; never on the wire", true},
	{CloseBadData, "bad_data", "text that is not UTF-8", false},
	{ClosePolicy, "policy", "refused: not allowed here", false},
	{CloseTooBig, "too_big", "a frame or message over the limit", false},
	{CloseInternal, "internal_error", "an error of the server; its log has more", true},
	{CloseRestart, "restart", "the server restarts", true},
	{CloseAuthTimeout, "auth_timeout", "no valid registration in time", true},
	{CloseAuth, "auth_failed", "a nonce or token that is unknown, used or expired", false},
	{CloseReplaced, "replaced", "a newer login of this account took over", false},
	{CloseLoggedOut, "logged_out", "the session ended: log in again", false},
	{CloseSlow, "slow", "the client read too slowly and its queue was full", true},
	{CloseTimeout, "timeout", "no sign of life: two pings without an answer", true},
	{CloseRate, "rate", "too many messages in too short a time", true},
	{CloseLimit, "limit", "the server or this address has as many connections as it may", true},
	{CloseAbuse, "abuse", "too many bad messages", false},
	{CloseBanned, "banned", "the player is banned: the refusal of a login says until when", false},
}

// CloseCodes returns the table of close codes in the order of codes. The slice is the caller's own.
func CloseCodes() []CloseInfo { return append([]CloseInfo(nil), closeCodes[:]...) }

// Info returns the table's row of the code, and false for a code that is not in it.
func (c CloseCode) Info() (CloseInfo, bool) {
	for i := range closeCodes {
		if closeCodes[i].Code == c {
			return closeCodes[i], true
		}
	}
	return CloseInfo{Code: c, Name: "unknown", Meaning: "a code of no meaning here"}, false
}

// Name returns the word of the table ("slow"), or "unknown". It does not allocate.
func (c CloseCode) Name() string {
	for i := range closeCodes {
		if closeCodes[i].Code == c {
			return closeCodes[i].Name
		}
	}
	return "unknown"
}

// Reconnect reports whether a client that was closed with this code should come back by itself.
func (c CloseCode) Reconnect() bool {
	info, _ := c.Info()
	return info.Reconnect
}

// String returns code and name ("4005 slow").
func (c CloseCode) String() string { return strconv.Itoa(int(c)) + " " + c.Name() }

// Sendable reports whether RFC 6455 lets the code stand in a close frame (section 7.4.1 and 7.4.2): 1000 to 1003,
// 1007 to 1014, and 3000 to 4999.
func (c CloseCode) Sendable() bool {
	switch {
	case c >= 1000 && c <= 1003, c >= 1007 && c <= 1014, c >= 3000 && c <= 4999:
		return true
	}
	return false
}

// CloseCodeOf returns the code under which an error of this package closes a connection: the code of a *WSError,
// CloseTooBig for ErrLineTooLong, CloseBadData for ErrBadUTF8, CloseProtocol for every other breach, and CloseInternal
// for errors of others.
func CloseCodeOf(err error) CloseCode {
	var ws *WSError
	switch {
	case errors.As(err, &ws):
		return ws.Code
	case errors.Is(err, ErrLineTooLong):
		return CloseTooBig
	case errors.Is(err, ErrBadUTF8):
		return CloseBadData
	case errors.Is(err, ErrUnknownCommand), errors.Is(err, ErrBadLine):
		return CloseProtocol
	}
	return CloseInternal
}

// AppendCloseLine appends the frame that tells a registered line client why it is closed: the code in decimal, a
// blank, the name of the code.
func AppendCloseLine(dst []byte, code CloseCode) []byte {
	dst = append(dst, commandText[CmdClose]...)
	dst = strconv.AppendUint(dst, uint64(code), 10)
	dst = append(dst, ' ')
	dst = append(dst, code.Name()...)
	return append(dst, '\r', '\n')
}

// ParseCloseLine reads the payload of 00000CLOSE. The code is 1000 to 4999; the reason is everything after the blank.
// Error: ErrBadLine.
func ParseCloseLine(payload []byte) (code CloseCode, reason string, err error) {
	if len(payload) < 5 || payload[4] != ' ' {
		return 0, "", ErrBadLine
	}
	n := 0
	for _, c := range payload[:4] {
		if c < '0' || c > '9' {
			return 0, "", ErrBadLine
		}
		n = n*10 + int(c-'0')
	}
	if n < 1000 || n > 4999 {
		return 0, "", ErrBadLine
	}
	return CloseCode(n), string(payload[5:]), nil
}
