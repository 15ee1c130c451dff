package protocol

import (
	"errors"
	"strconv"
)

// JobIDSize is the length of a job id: 16 bytes in small hex digits.
const JobIDSize = 32

// MaxFunction is the longest name of a gate function in bytes.
const MaxFunction = 64

// Faults of gate and worker lines. A bad request is answered with StatusProgramming, a bad job is dropped and counted.
var (
	ErrBadGate = errors.New("not a gate message")
	ErrBadJob  = errors.New("not a job: want 32 hex digits, ~, JSON")
)

// GateRequest is the line of a gate client: {"world":"0","function":"<name>","data":{"token":"…",…}}. Strings are
// copies, Data aliases the bytes parsed.
type GateRequest struct {
	World    string // "" when missing; an integer in JSON counts as its digits
	Function string
	Token    string // data.token; "" when there is none
	Data     []byte // a JSON object; "{}" when missing
}

// ParseGateRequest reads the line of a gate client, without its CR LF. world, token and data may be missing; a member that
// stands twice, a function that is not a string of 1 to MaxFunction bytes, a world that is no name, data that is no
// object, or invalid JSON give ErrBadGate.
func ParseGateRequest(line []byte) (GateRequest, error) {
	s := scanner{b: line}
	req := GateRequest{Data: emptyObject}
	var world, function, data bool
	var fault error
	s.take('{')
	for first := true; ; first = false {
		key, ok := s.member(first)
		if !ok {
			break
		}
		var err error
		switch {
		case key.equal("world"):
			req.World, err = s.world()
			err = once(&world, err)
		case key.equal("function"):
			var t text
			if t, err = s.stringOr(ErrBadGate, MaxFunction); len(t.raw) == 0 {
				err = ErrBadGate
			}
			req.Function, err = t.string(), once(&function, err)
		case key.equal("data"):
			req.Data, req.Token, err = s.gateData()
			err = once(&data, err)
		default:
			s.value(1)
		}
		if err != nil {
			fault = ErrBadGate
		}
	}
	if !s.end() || fault != nil || !function {
		return GateRequest{}, ErrBadGate
	}
	return req, nil
}

// world reads a world's name, written as a string or as an integer that is not negative.
func (s *scanner) world() (string, error) {
	var name string
	if s.peek() == '"' {
		name = s.str().string()
	} else if raw := s.raw(1); isUint(raw) {
		name = string(raw)
	}
	if !ValidName(name) {
		return "", ErrBadGate
	}
	return name, nil
}

// gateData skips the object of data and finds its token. Of two tokens the last counts, as for every JSON reader the
// functions use.
func (s *scanner) gateData() (data []byte, token string, err error) {
	if s.peek() != '{' {
		s.value(1)
		return nil, "", ErrBadGate
	}
	from := s.i
	s.i++
	for first := true; ; first = false {
		key, ok := s.member(first)
		if !ok {
			break
		}
		if key.equal("token") && s.peek() == '"' {
			token = s.str().string()
		} else {
			s.value(2)
		}
	}
	if s.bad {
		return nil, "", ErrBadGate
	}
	return s.b[from:s.i:s.i], token, nil
}

// AppendGateData appends the JSON object data with its member name set to a text: the only one of that name, at the end. The
// others stay as they are written. Error: ErrBadGate, when data is no object.
func AppendGateData(dst, data []byte, name, value string) ([]byte, error) {
	s := scanner{b: data}
	s.take('{')
	dst = append(dst, '{')
	for first := true; ; first = false {
		key, ok := s.member(first)
		if !ok {
			break
		}
		raw := s.raw(1)
		if key.equal(name) {
			continue
		}
		dst = append(append(append(dst, '"'), key.raw...), '"', ':')
		dst = append(append(dst, raw...), ',')
	}
	if !s.end() {
		return nil, ErrBadGate
	}
	dst = append(AppendJSONString(dst, name), ':')
	return append(AppendJSONString(dst, value), '}'), nil
}

// AppendGateRequest appends the line of a gate client with its CR LF. data must be a valid JSON object, or nil.
func AppendGateRequest(dst []byte, world, function string, data []byte) []byte {
	dst = append(dst, `{"world":`...)
	dst = AppendJSONString(dst, world)
	dst = append(dst, `,"function":`...)
	dst = AppendJSONString(dst, function)
	dst = append(dst, `,"data":`...)
	dst = appendObject(dst, data)
	return append(dst, '}', '\r', '\n')
}

// GateResponse is the line a gate answers with: {"status":n,"message":"…","data":…}. Data aliases the bytes parsed and
// is any valid JSON.
type GateResponse struct {
	Status  Status
	Message string
	Data    []byte
}

// AppendGateResponse appends the answer of a gate with its CR LF. data must be valid JSON, or nil for "{}".
func AppendGateResponse(dst []byte, status Status, message string, data []byte) []byte {
	dst = append(dst, `{"status":`...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, `,"message":`...)
	dst = AppendJSONString(dst, message)
	dst = append(dst, `,"data":`...)
	dst = appendObject(dst, data)
	return append(dst, '}', '\r', '\n')
}

// ParseGateResponse reads the answer of a gate or the JSON of a worker's reply, without CR LF. status must be there; of
// doubles the last counts. Error: ErrBadGate.
func ParseGateResponse(line []byte) (GateResponse, error) {
	s := scanner{b: line}
	res := GateResponse{Data: []byte("null")}
	good, status := true, false
	s.take('{')
	for first := true; ; first = false {
		key, ok := s.member(first)
		if !ok {
			break
		}
		switch string(key.raw) {
		case "status":
			var v int64
			v, status = parseInt(s.raw(1))
			res.Status = Status(v)
		case "message":
			t, err := s.stringOr(ErrBadGate, len(s.b))
			res.Message, good = t.string(), good && err == nil
		case "data":
			res.Data = s.raw(1)
		default:
			s.value(1)
		}
	}
	if !s.end() || !good || !status {
		return GateResponse{}, ErrBadGate
	}
	return res, nil
}

// ValidJobID reports whether id is JobIDSize small hex digits.
func ValidJobID[T string | []byte](id T) bool {
	if len(id) != JobIDSize {
		return false
	}
	for i := range len(id) {
		if c := id[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// AppendJob appends "<id>~<json>": a job on the queue, and with CR LF behind it a worker's reply. json must be valid.
func AppendJob(dst []byte, id string, json []byte) []byte {
	dst = append(dst, id...)
	dst = append(dst, '~')
	return appendObject(dst, json)
}

// AppendJobLine is AppendJob with the CR LF of the worker port.
func AppendJobLine(dst []byte, id string, json []byte) []byte {
	return append(AppendJob(dst, id, json), '\r', '\n')
}

// ParseJob splits "<id>~<json>". Both results alias b. The JSON is not read, but is not empty. Error: ErrBadJob.
func ParseJob(b []byte) (id, json []byte, err error) {
	if len(b) < JobIDSize+2 || b[JobIDSize] != '~' || !ValidJobID(b[:JobIDSize]) {
		return nil, nil, ErrBadJob
	}
	return b[:JobIDSize:JobIDSize], b[JobIDSize+1:], nil
}
