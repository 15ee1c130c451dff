package line

import (
	"strconv"

	"gosper/edge"
	"gosper/protocol"
)

// The functions behind the commands of games.
const (
	routeWatch   = "/game/watch"
	routeUnwatch = "/game/unwatch"
)

// watch asks for the stream of a grid. The answer is its GRID; a refusal comes as a push of the route, with its status.
func (Commands) watch(s *edge.Session, payload []byte) (breach string) {
	w, err := protocol.ParseWatch(payload)
	if err != nil {
		return "bad_line"
	}
	b := append(gridContent(w.GridName), `,"mode":"`...)
	b = append(append(b, w.Mode.String()...), '"')
	if w.Mode == protocol.WatchView {
		b = append(b, `,"view":{"x":`...)
		b = strconv.AppendInt(b, int64(w.View.X), 10)
		b = append(b, `,"y":`...)
		b = strconv.AppendInt(b, int64(w.View.Y), 10)
		b = append(b, `,"width":`...)
		b = strconv.AppendInt(b, int64(w.View.Width), 10)
		b = append(b, `,"height":`...)
		b = append(strconv.AppendInt(b, int64(w.View.Height), 10), '}')
	}
	s.Call(edge.Request{Route: routeWatch, Content: append(b, '}'), Quiet: true})
	return ""
}

// unwatch ends the stream of a grid. It has no answer.
func (Commands) unwatch(s *edge.Session, payload []byte) (breach string) {
	w, err := protocol.ParseWatch(payload)
	if err != nil {
		return "bad_line"
	}
	s.Call(edge.Request{Route: routeUnwatch, Content: append(gridContent(w.GridName), '}'), Quiet: true})
	return ""
}

// gridContent begins the content of a call about a grid. Names need no escapes.
func gridContent(n protocol.GridName) []byte {
	b := append(make([]byte, 0, 128), `{"game":"`...)
	b = append(append(b, n.Game...), `","grid":`...)
	return strconv.AppendUint(b, uint64(n.Grid), 10)
}

// edit hands an edit to its game. Its answer is an EDIT line, also when it was refused; a client that goes on although it
// was refused for its rate is closed in the end.
func (Commands) edit(s *edge.Session, payload []byte) (breach string) {
	if _, err := protocol.ParseGridEdit(payload); err != nil {
		return "bad_line"
	}
	s.EditLine(append([]byte(nil), payload...), edited)
	return ""
}

// edited tells a client what became of its edit.
func edited(s *edge.Session, reply []byte, status protocol.Status) {
	if len(reply) == 0 { // the payload breaks the protocol in a way that only games know
		s.End(protocol.ClosePolicy, "bad_line")
		return
	}
	Append(s, protocol.CmdEdit, reply)
	if status == protocol.StatusRefused {
		s.Strike(protocol.CloseRate, protocol.CloseRate.Name())
	}
}
