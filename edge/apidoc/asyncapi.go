package apidoc

import (
	"encoding/json"
	"fmt"
	"strings"

	"gosper/edge/module"
	"gosper/protocol"
)

// AsyncAPI returns the AsyncAPI 3.0 document of the websocket, the line door, the gate and its workers. The node is the
// application: it receives calls and sends replies and pushes.
func AsyncAPI(s Site) []byte {
	d := &asyncDocument{schemas: newSchemas("#/components/schemas/"), messages: make(object), channels: make(object), operations: make(object)}
	d.websocket(s)
	d.line()
	d.gate(s.Functions)
	d.workers()
	return text(object{
		"asyncapi": "3.0.0",
		"info": object{"title": "gosper: websocket, lines and gate", "version": s.Version, "license": object{"name": "MIT"},
			"description": "The doors of a node for clients that stay, for phones that ask one thing, and for workers.\n\n" + statusTable() + "\n" + closeTable()},
		"defaultContentType": "application/json",
		"servers": object{
			"http":   server("localhost:8080", "ws", "the public HTTP port; https-addr is its TLS twin"),
			"line":   server("localhost:9000", "tcp", "the line door; tls-line-addr is its TLS twin"),
			"gate":   server("localhost:8880", "tcp", "the gate; tls-gate-addr is its TLS twin"),
			"worker": server("localhost:8201", "tcp", "the port of the gate for replies of workers, for trusted machines only"),
		},
		"channels": d.channels, "operations": d.operations,
		"components": object{"messages": d.messages, "schemas": d.schemas.all},
	})
}

func server(host, kind, about string) object {
	return object{"host": host, "protocol": kind, "description": about}
}

// closeTable describes the close codes, in Markdown.
func closeTable() string {
	var b strings.Builder
	b.WriteString("Codes with which the node closes a connection:\n\n| code | name | meaning | come back |\n|---|---|---|---|\n")
	for _, c := range protocol.CloseCodes() {
		back := "no"
		if c.Reconnect {
			back = "yes"
		}
		fmt.Fprintf(&b, "| %d | %s | %s | %s |\n", c.Code, c.Name, c.Meaning, back)
	}
	return b.String()
}

// asyncDocument is an AsyncAPI document under construction.
type asyncDocument struct {
	schemas                        *schemas
	messages, channels, operations object
}

func ref(path string) object { return object{"$ref": "#/" + path} }

// channel enters a channel of one server.
func (d *asyncDocument) channel(name, server string, address any, about string) {
	d.channels[name] = object{"address": address, "description": about, "servers": []any{ref("servers/" + server)}, "messages": make(object)}
}

// message enters a message of a channel and returns the reference by which operations name it.
func (d *asyncDocument) message(channel, name, summary, kind string, payload, example any) object {
	m := object{"name": name, "summary": summary, "payload": payload}
	if kind != "" {
		m["contentType"] = kind
	}
	if example != nil {
		m["examples"] = []any{object{"payload": example}}
	}
	d.messages[name] = m
	d.channels[channel].(object)["messages"].(object)[name] = ref("components/messages/" + name)
	return ref("channels/" + channel + "/messages/" + name)
}

// operation enters what the node does with messages of a channel: receive or send.
func (d *asyncDocument) operation(id, action, channel, summary string, message object, replies ...object) object {
	o := object{"action": action, "channel": ref("channels/" + channel), "summary": summary, "messages": []any{message}}
	if len(replies) > 0 {
		o["reply"] = object{"channel": ref("channels/" + channel), "messages": replies}
	}
	d.operations[id] = o
	return o
}

// websocket enters every function and push.
func (d *asyncDocument) websocket(s Site) {
	d.channel("websocket", "http", "/ws", "Envelopes, one in a text message, without a subprotocol or with gosper.v1. The line door calls the same functions by 000000CALL. "+
		"With gosper.line.v1 a text message is a line of the line door without its CR LF.")
	d.channels["websocket"].(object)["bindings"] = object{"ws": object{"method": "GET"}}
	failure := d.message("websocket", "failure", "Why a call failed; the status says what kind of failure it is.", "", envelope(object{"type": "string"}, true,
		object{"type": "object", "properties": object{"data": object{}}}), nil)
	for _, f := range s.Functions {
		id := operationID(f.Route)
		call := d.message("websocket", "call_"+id, f.Doc, "", object{"type": "object", "required": []string{"route"}, "properties": object{
			"route": object{"const": f.Route}, "msgId": messageID(), "clientCode": object{"type": "string"}, "content": d.schemas.of(f.In, true)}},
			object{"route": f.Route, "msgId": 1, "content": json.RawMessage(f.Example)})
		reply := d.message("websocket", "reply_"+id, "The answer to "+f.Route+".", "", envelope(object{"const": f.Route}, true, d.schemas.of(f.Out, false)), nil)
		o := d.operation("call_"+id, "receive", "websocket", f.Route, call, reply, failure)
		o["description"], o["x-needs"], o["x-rate"] = describe(&f), f.Needs.String(), f.Class.String()
	}
	for _, p := range s.Pushes {
		id := operationID(p.Route)
		about := p.Doc + " To " + p.To + "."
		push := d.message("websocket", "push_"+id, about, "", envelope(object{"const": p.Route}, false, d.schemas.of(p.Content, false)),
			object{"room": "main", "route": p.Route, "status": 0, "message": "OK", "content": json.RawMessage(p.Example)})
		o := d.operation("push_"+id, "send", "websocket", p.Route, push)
		o["description"], o["x-kept"] = about, p.Kept
		if p.Subject != "" {
			o["x-subject"] = p.Subject
		}
	}
	frame := d.message("websocket", "grid_frame", "A frame of a grid that the connection watches: 32 bytes of header, little-endian, then a payload.", "application/octet-stream",
		object{"type": "string", "contentEncoding": "binary"}, nil)
	d.operation("grid_frame", "send", "websocket", "frames of a watched grid, as binary messages", frame)
}

func messageID() object { return object{"type": []string{"integer", "string"}} }

// envelope is the schema of a reply, or of a push, which has no msgId.
func envelope(route object, reply bool, content object) object {
	properties := object{"room": object{"type": "string"}, "route": route, "status": object{"type": "integer"}, "message": object{"type": "string"}, "content": content}
	if reply {
		properties["msgId"] = messageID()
	} else {
		properties["position"] = object{"type": "object", "properties": object{"subject": object{"type": "string"},
			"epoch": object{"type": "integer"}, "offset": object{"type": "integer"}}}
	}
	return object{"type": "object", "required": []string{"route", "status", "message"}, "properties": properties}
}

// lineFrame is one command of the line door in one direction.
type lineFrame struct {
	command protocol.Command
	server  bool   // sent by the node
	payload string // in words
	doc     string
}

// lineFrames lists the frames of the line door.
var lineFrames = []lineFrame{
	{protocol.CmdRegister, false, "nonce", "First frame of a client; later: become who the new nonce names."},
	{protocol.CmdOK, true, "nothing", "Registered."},
	{protocol.CmdPublic, false, "text", "Say to the world."},
	{protocol.CmdPublic, true, "name:text", "Said in the world, to the speaker too."},
	{protocol.CmdFamily, false, "text", "Say to the family."},
	{protocol.CmdFamily, true, "name:text", "Said in the family, to the speaker too."},
	{protocol.CmdPing, false, "at most 64 bytes", "Ask for a sign of life."},
	{protocol.CmdPong, true, "the bytes of the PING", "The sign."},
	{protocol.CmdCall, false, "request envelope", "Call a function, by the envelope of a call on the websocket."},
	{protocol.CmdReply, true, "reply envelope", "The answer, by the envelope of a reply on the websocket."},
	{protocol.CmdPush, true, "push envelope", "Any push that is not a chat line, by its envelope on the websocket."},
	{protocol.CmdWatch, false, "game/grid [mode]", "Follow a grid."},
	{protocol.CmdUnwatch, false, "game/grid", "Follow it no more."},
	{protocol.CmdEdit, false, "game/grid x,y RLE", "Place a pattern."},
	{protocol.CmdEdit, true, "game/grid seq generation", "Where the edit stands in the order of edits."},
	{protocol.CmdGrid, true, "game/grid generation WxH hash RLE", "The whole grid."},
	{protocol.CmdDelta, true, "game/grid generation hash RLE", "The cells that flipped."},
	{protocol.CmdExit, false, "nothing", "Close."},
	{protocol.CmdClose, true, "code, blank, name", "The server closes, and why."},
}

// line enters the frames of the line door.
func (d *asyncDocument) line() {
	d.channel("line", "line", nil, "Frames of a command of 10 characters, a payload and CR LF. The first frame is 00REGISTER with a nonce of /chat/token; any breach closes the connection.")
	for _, f := range lineFrames {
		from, action := "client", "receive"
		if f.server {
			from, action = "node", "send"
		}
		command := f.command.String()
		id := "line_" + from + "_" + strings.TrimLeft(command, "0")
		m := d.message("line", id, f.doc+" Payload: "+f.payload+".", "text/plain", object{"type": "string", "pattern": "^" + command}, nil)
		d.operation(id, action, "line", command, m)
	}
}

// gate enters the functions that have a name at the gate.
func (d *asyncDocument) gate(functions []module.Function) {
	d.channel("gate", "gate", nil, "One line of JSON in, one out, CR LF behind each; then the gate closes.")
	for _, f := range functions {
		if f.Gate == "" {
			continue
		}
		id := operationID(f.Gate)
		data := object{"allOf": []any{d.schemas.of(f.In, true), object{"type": "object", "properties": object{"token": object{"type": "string"}}}}}
		request := d.message("gate", "gate_request_"+id, f.Doc, "", object{"type": "object", "required": []string{"function"}, "properties": object{
			"world": object{"type": "string"}, "function": object{"const": f.Gate}, "data": data}},
			object{"world": "0", "function": f.Gate, "data": json.RawMessage(f.Example)})
		response := d.message("gate", "gate_response_"+id, "The answer to "+f.Gate+".", "", object{"type": "object", "required": []string{"status", "message"},
			"properties": object{"status": object{"type": "integer"}, "message": object{"type": "string"}, "data": object{}}}, nil)
		o := d.operation("gate_"+id, "receive", "gate", f.Gate, request, response)
		o["description"] = describe(&f)
	}
}

// workers enters the lines of workers elsewhere.
func (d *asyncDocument) workers() {
	d.channel("worker", "worker", nil, "Workers take jobs, <id>~<request>, from the tube jobs, at the beanstalkd port or from the queue of a cluster, and answer here by lines on a connection that lasts.")
	line := object{"type": "string", "pattern": "^[0-9a-f]{32}~\\{"}
	d.operation("worker_reply", "receive", "worker", "the answer to a job", d.message("worker", "job_reply", "Job id, ~, response, CR LF.", "text/plain", line,
		`0123456789abcdef0123456789abcdef~{"status":0,"message":"","data":{}}`))
}
