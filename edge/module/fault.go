package module

import (
	"context"
	"encoding/json"
	"errors"

	"gosper/broker"
	"gosper/protocol"
)

// Fault is an error a client may read. A function returns one to refuse a call; every other error is logged and
// answered as "unknown error", so that no detail of the inside leaves the node.
type Fault struct {
	Status  protocol.Status // to a caller by route (websocket, line CALL, HTTP)
	Gate    protocol.Status // to a caller by gate name; 0 means gateRefused
	Message string
	Data    any // becomes content.data; nil is null. Never put what a client sent in secret here
}

// Error returns the message.
func (f *Fault) Error() string { return f.Message }

// gateRefused is the status of a refusal under a gate name that has no code of its own.
const gateRefused protocol.Status = 99

// refuse makes a Fault without a gate code of its own.
func refuse(status protocol.Status, message string) *Fault {
	return &Fault{Status: status, Message: message}
}

// refuseGate makes a Fault with its gate code.
func refuseGate(status, gate protocol.Status, message string) *Fault {
	return &Fault{Status: status, Gate: gate, Message: message}
}

// Messages that more than one place sends.
const (
	messageUnknown     = "unknown error"
	messageProgramming = "programming error"
	messageTimedOut    = "timed out"
	messageBusy        = "server is busy, try again"
	messageTooMany     = "too many calls, slow down"
	messageNotLoggedIn = "User is not logged in"
	messageExpired     = "Session expired"
)

var (
	faultBusy    = refuseGate(protocol.StatusBusy, protocol.StatusTimeout, messageBusy)
	faultTimeout = refuseGate(protocol.StatusUnknown, protocol.StatusTimeout, messageTimedOut)
)

// faultOf turns an error of a function into what the client sees, and says whether the log should have the error too.
func faultOf(err error) (f *Fault, internal bool) {
	if f = gameFault(err); f != nil {
		return f, false
	}
	switch {
	case errors.As(err, &f):
		return f, false
	case errors.Is(err, context.Canceled):
		return faultTimeout, false // the client has gone: nobody reads the answer
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, broker.ErrTimeout):
		return faultTimeout, true
	case errors.Is(err, broker.ErrBusy):
		return faultBusy, false
	case errors.Is(err, ErrOutboxFull):
		return faultBusy, true
	case errors.Is(err, broker.ErrDiskFull):
		return refuseGate(protocol.StatusBusy, protocol.StatusTimeout, "server storage is full, try later"), false // the store itself tells the operator
	}
	return refuseGate(protocol.StatusUnknown, protocol.StatusProgramming, messageUnknown), true
}

// reply encodes the fault for a caller by route or by gate name. bare leaves the envelope's "data" around its data away.
func (f *Fault) reply(gate, bare bool) Reply {
	var data any = struct {
		Data any `json:"data"`
	}{f.Data}
	if bare {
		data = f.Data
	}
	content, err := json.Marshal(data)
	if err != nil || bare && f.Data == nil {
		content = []byte(`{}`)
	}
	if !gate {
		return Reply{Status: f.Status, Message: f.Message, Content: content}
	}
	status, message := f.Gate, f.Message
	if status == 0 {
		status = gateRefused
	}
	if status == protocol.StatusProgramming {
		message = messageProgramming
	}
	return Reply{Status: status, Message: message, Content: content}
}
