package control

import (
	"time"

	"gosper/broker"
	"gosper/broker/chain"
	"gosper/edge/apidoc"
	"gosper/edge/module"
)

// What documents say of the endpoints. Every route of a server has a row here: a test compares.

// Groups of endpoints.
const (
	groupSite       = "site"
	groupProbes     = "probes"
	groupAuth       = "auth"
	groupConfig     = "config"
	groupQueue      = "queue"
	groupMail       = "e-mail"
	groupPost       = "post office"
	groupModeration = "moderation"
	groupChain      = "work chains"
	groupEvents     = "events"
	groupEngine     = "engine"
	groupNode       = "node"
)

// probe is the answer of a probe.
type probe struct {
	Status  string `json:"status"`
	Version string `json:"version,omitempty"`
	Reason  string `json:"reason,omitempty"`
}

// oldVersion is the answer of /get_server_version and /get_client_version.
type oldVersion struct {
	Status  int    `json:"status"`
	Version string `json:"version,omitempty"`
	Message string `json:"message,omitempty"`
}

// done is the answer of an order without data.
type done struct {
	Status  int    `json:"status"`
	Message string `json:"message,omitempty"`
}

var settingName = apidoc.Param{Name: "name", Doc: "name of a file without .json", Example: "world_map"}

// listenQuery are the wishes of a listener to events.
var listenQuery = []apidoc.Param{{Name: "types", Doc: "only these, comma-separated: processes, processStatusCounts, subscriptions, engineStatus, or those of your services", Example: "processes"},
	{Name: "positions", Doc: "1: each message tells its position, and the first one, begin, where the listener begins", Example: "1"},
	{Name: "since", Doc: "epoch.offset, one for each type: what came after them comes first", Example: "1.17"}}

// publicEndpoints describes the public site.
func publicEndpoints() []apidoc.Endpoint {
	return []apidoc.Endpoint{
		{Method: "GET", Path: "/", Group: groupSite, Open: true, Doc: "The page of the game.", Kind: "text/html", Errors: []int{304}},
		{Method: "GET", Path: "/ws", Group: groupSite, Open: true, Code: 101, Errors: []int{400, 403, 426, 503},
			Doc: "The websocket handshake, with the subprotocol gosper.v1, gosper.line.v1 or none. See the AsyncAPI document for what follows."},
		{Method: "GET", Path: "/api/ws/events", Group: groupEvents, Open: true, Code: 101, Errors: []int{400, 403, 426, 503},
			Query: append(listenQuery, apidoc.Param{Name: "mine", Doc: "1: only what belongs to the account of the token", Example: "1"}),
			Doc:   "A websocket that tells what has become stale. The subprotocols are base64.bearer.token and the token; __ping__ is answered by __pong__."},
		{Method: "GET", Path: "/api/settings/ws-status/", Group: groupEvents, Open: true, Code: 101, Errors: []int{400, 403, 426, 503},
			Query: []apidoc.Param{{Name: "token", Doc: "a token", Required: true}}, Doc: "For older pages: a websocket that tells the state of the engine's lock."},
		{Method: "GET", Path: "/api/processes/all/", Group: groupEvents, Open: true, Code: 101, Errors: []int{400, 403, 426, 503},
			Query: []apidoc.Param{{Name: "token", Doc: "a token", Required: true}}, Doc: "For older pages: a websocket on which nothing is sent any more."},
		{Method: "GET", Path: "/healthz", Group: groupProbes, Open: true, Doc: "The process works.", Out: apidoc.Type[probe]()},
		{Method: "GET", Path: "/api", Group: groupSite, Open: true, Doc: "A page that shows these documents.", Kind: "text/html", Errors: []int{304}},
		{Method: "GET", Path: "/api/openapi.json", Group: groupSite, Open: true, Doc: "This document.", Out: apidoc.Type[map[string]any](), Errors: []int{304}},
		{Method: "GET", Path: "/api/asyncapi.json", Group: groupSite, Open: true, Doc: "The document of websocket, lines and gate.", Out: apidoc.Type[map[string]any](), Errors: []int{304}},
		{Method: "GET", Path: "/api/functions", Group: groupSite, Open: true, Doc: "The table of functions.", Out: apidoc.Type[[]functionOut]()},
		{Method: "POST", Path: "/api/call/{route}", Group: groupSite, Open: true, Part: apidoc.Param{Name: "route", Doc: "route of a function without its first /", Example: "user/clientCode"},
			Doc:  "Calls a function. The body is its content; a bearer token says who calls, the header Gosper-Client-Code holds a client code.",
			Body: apidoc.Type[map[string]any](), Example: `{}`, Out: apidoc.Type[apiReply](), Errors: []int{400, 401, 403, 413, 415, 503}},
		{Method: "GET", Path: "/api/config", Group: groupConfig, Open: true, Doc: "Lists the config files that everybody may read, and the releases of today.", Out: apidoc.Type[settingsOut](), Errors: []int{304}},
		{Method: "GET", Path: "/api/config/{name}", Group: groupConfig, Open: true, Part: settingName, Doc: "A config file that everybody may read.",
			Out: apidoc.Type[any](), Errors: []int{304, 404, 503}},
	}
}

// internalEndpoints describes the internal server.
func internalEndpoints() []apidoc.Endpoint {
	var all []apidoc.Endpoint
	for _, list := range [][]apidoc.Endpoint{authEndpoints(), configEndpoints(), queueEndpoints(), mailEndpoints(), moderationEndpoints(), chainEndpoints(), engineEndpoints(), nodeEndpoints()} {
		all = append(all, list...)
	}
	return all
}

func authEndpoints() []apidoc.Endpoint {
	return []apidoc.Endpoint{
		{Method: "POST", Path: "/issue_token", Group: groupAuth, Doc: "Issues a token for an account. A new login token replaces the one before.", Form: []apidoc.Param{
			{Name: "uid", Doc: "account, 1 to 32 of A-Z a-z 0-9 _ -", Required: true, Example: "42"}, {Name: "is_session", Doc: "1 for a session token beside the login token, 0 or nothing for a login token", Example: "0"},
			{Name: "prev_token", Doc: "taken for older callers, and not looked at"}},
			Out: apidoc.Type[struct {
				Token string `json:"token"`
			}](), Errors: []int{400, 500}},
		{Method: "POST", Path: "/validate_token", Group: groupAuth, Doc: "Says whose a token is: status 0 with the account, or 1.", Form: []apidoc.Param{{Name: "token", Doc: "the token", Required: true}},
			Out: apidoc.Type[struct {
				Status int `json:"status"`
				Data   *struct {
					UID string `json:"uid"`
				} `json:"data,omitempty"`
			}](), Errors: []int{500}},
		{Method: "POST", Path: "/register_nonce", Group: groupAuth, Doc: "Opens a nonce that can be redeemed once: status 0, or 1 when it is open already.",
			Body: apidoc.Type[struct {
				Nonce   string         `json:"nonce"`
				Payload map[string]any `json:"payload"`
				TTL     int            `json:"ttl"`
			}](), Example: `{"nonce":"184467440737095516","payload":{"world":"0","gn":"Ann","fn":""},"ttl":120}`, Out: apidoc.Type[done](), Errors: []int{400, 500}},
		{Method: "POST", Path: "/redeem_nonce", Group: groupAuth, Doc: "Redeems nonces: for each key its payload with status 0, or status 1. Of several callers exactly one succeeds.",
			Body: apidoc.Type[struct {
				Keys []string `json:"keys"`
			}](), Example: `{"keys":["184467440737095516"]}`, Out: apidoc.Type[map[string]map[string]any](), Errors: []int{400}},
	}
}

func configEndpoints() []apidoc.Endpoint {
	const old = "text/json"
	return []apidoc.Endpoint{
		{Method: "GET", Path: "/config", Group: groupConfig, Doc: "Lists the config files with their ETags, what is broken, and the releases of today.", Out: apidoc.Type[settingsOut](), Errors: []int{304}},
		{Method: "GET", Path: "/config/{name}", Group: groupConfig, Part: settingName, Doc: "The config file of a name that is in force.", Out: apidoc.Type[any](), Errors: []int{304, 404, 503}},
		{Method: "GET", Path: "/get_{name}_config", Group: groupConfig, Part: settingName, Doc: "The same, for older services.", Out: apidoc.Type[any](), Kind: old, Errors: []int{304, 404, 503}},
		{Method: "GET", Path: "/get_game_manager_config", Group: groupConfig, Doc: "One object with the content of every name; its version is the release of servers of today.",
			Out: apidoc.Type[map[string]any](), Kind: old, Errors: []int{304}},
		{Method: "GET", Path: "/get_server_version", Group: groupConfig, Doc: "The release of servers of today, by the file version.", Out: apidoc.Type[oldVersion](), Kind: old},
		{Method: "GET", Path: "/get_client_version", Group: groupConfig, Doc: "The release of clients of today, by the file version.", Out: apidoc.Type[oldVersion](), Kind: old},
		{Method: "GET", Path: "/get_server_config_location", Group: groupConfig, Doc: "The path below which config files are.", Kind: old,
			Out: apidoc.Type[struct {
				Status   int    `json:"status"`
				Location string `json:"location"`
			}]()},
		{Method: "GET", Path: "/get_world_map", Group: groupConfig, Query: []apidoc.Param{{Name: "world", Doc: "a number: only the map of this world", Example: "5"}},
			Doc: "The file world_map, or the map of one world.", Out: apidoc.Type[any](), Kind: old, Errors: []int{304, 400, 404, 503}},
	}
}

func queueEndpoints() []apidoc.Endpoint {
	page := []apidoc.Param{{Name: "after", Doc: "behind this id, or for timers unix milliseconds", Example: "0"}, {Name: "limit", Doc: "1 to 1000", Example: "100"}}
	id := apidoc.Param{Name: "id", Doc: "number of the job", Required: true, Example: "17"}
	tube := apidoc.Param{Name: "tube", Doc: "name of the tube", Required: true, Example: "jobs"}
	return []apidoc.Endpoint{
		{Method: "GET", Path: "/admin/queue/tubes", Group: groupQueue, Query: []apidoc.Param{{Name: "tube", Doc: "only this one", Example: "jobs"}}, Doc: "Tubes with their counts.",
			Out: apidoc.Type[struct {
				Tubes []Tube `json:"tubes"`
			}](), Errors: []int{500}},
		{Method: "GET", Path: "/admin/queue/jobs", Group: groupQueue, Doc: "Jobs of a tube in a state, by id, with the beginning of each body.",
			Query: append([]apidoc.Param{tube, {Name: "state", Doc: "ready, reserved, delayed or buried", Required: true, Example: "buried"}}, page...),
			Out: apidoc.Type[struct {
				Jobs []Job `json:"jobs"`
			}](), Errors: []int{400, 500}},
		{Method: "GET", Path: "/admin/queue/job", Group: groupQueue, Query: []apidoc.Param{id}, Doc: "One job with its whole body.", Out: apidoc.Type[Job](), Errors: []int{400, 404, 500}},
		{Method: "POST", Path: "/admin/queue/kick", Group: groupQueue, Doc: "Makes buried or delayed jobs ready: one by its id, or up to bound of a tube.",
			Form: []apidoc.Param{{Name: "id", Doc: "number of a job", Example: "17"}, {Name: "tube", Doc: "or name of a tube", Example: "jobs"}, {Name: "bound", Doc: "most jobs of the tube, 1 to 100000", Example: "10"}},
			Out: apidoc.Type[struct {
				Kicked int `json:"kicked"`
			}](), Errors: []int{400, 404, 500, 503}},
		{Method: "POST", Path: "/admin/queue/bury", Group: groupQueue, Form: []apidoc.Param{id, {Name: "reason", Doc: "why, for others", Example: "looks odd"}}, Doc: "Buries a job that is not reserved.",
			Out: apidoc.Type[done](), Errors: []int{400, 404, 500, 503}},
		{Method: "POST", Path: "/admin/queue/delete", Group: groupQueue, Form: []apidoc.Param{id}, Doc: "Deletes a job that is not reserved.", Out: apidoc.Type[done](), Errors: []int{400, 404, 500, 503}},
		{Method: "POST", Path: "/admin/queue/pause", Group: groupQueue, Form: []apidoc.Param{tube, {Name: "for", Doc: "a duration such as 30s; 0s ends a pause", Required: true, Example: "30s"}},
			Doc: "Pauses a tube.", Out: apidoc.Type[done](), Errors: []int{400, 404, 500}},
		{Method: "GET", Path: "/admin/schedule/timers", Group: groupQueue, Query: append([]apidoc.Param{{Name: "group", Doc: "only those of a group"}}, page...), Doc: "Timers by the time at which they are due.",
			Out: apidoc.Type[struct {
				Pending int     `json:"pending"`
				Timers  []Timer `json:"timers"`
			}](), Errors: []int{400, 500}},
		{Method: "POST", Path: "/admin/schedule/cancel", Group: groupQueue, Form: []apidoc.Param{{Name: "key", Doc: "of the timer", Required: true}}, Doc: "Cancels a timer.", Out: apidoc.Type[done](), Errors: []int{404, 500}},
	}
}

func moderationEndpoints() []apidoc.Endpoint {
	who := []apidoc.Param{{Name: "uid", Doc: "account", Example: "42"}, {Name: "world", Doc: "or a world", Example: "0"}, {Name: "name", Doc: "and a name in it", Example: "Ann"}, {Name: "by", Doc: "who orders it", Example: "eve"}}
	impose := append([]apidoc.Param{{Name: "for", Doc: "a duration such as 2h; missing: for good", Example: "2h"}, {Name: "reason", Doc: "the player reads it", Example: "flood"}}, who...)
	type sanctioned struct {
		Status int             `json:"status"`
		Data   module.Sanction `json:"data"`
	}
	order := func(path, doc string, form []apidoc.Param) apidoc.Endpoint {
		return apidoc.Endpoint{Method: "POST", Path: "/admin/moderation/" + path, Group: groupModeration, Form: form, Doc: doc, Out: apidoc.Type[sanctioned](), Errors: []int{400, 404, 500, 503}}
	}
	return []apidoc.Endpoint{
		{Method: "GET", Path: "/admin/moderation", Group: groupModeration, Query: []apidoc.Param{{Name: "past", Doc: "1: also those that are over", Example: "1"}}, Doc: "Sanctions, newest first.",
			Out: apidoc.Type[struct {
				Sanctions []module.Sanction `json:"sanctions"`
			}](), Errors: []int{400}},
		order("mute", "Takes the word from a player.", impose), order("ban", "Locks a player out.", impose),
		order("unmute", "Ends a mute early.", who), order("unban", "Ends a ban early.", who),
		{Method: "GET", Path: "/admin/moderation/reports", Group: groupModeration, Query: []apidoc.Param{{Name: "after", Doc: "behind this id"}, {Name: "limit", Doc: "1 to 1000", Example: "100"}}, Doc: "What players report, oldest first.",
			Out: apidoc.Type[struct {
				Reports []module.Report `json:"reports"`
			}](), Errors: []int{400, 500}},
		{Method: "GET", Path: "/admin/chatlog", Group: groupModeration, Doc: "Lines of the chat log, oldest first; next, when it is there, asks for more.", Query: []apidoc.Param{
			{Name: "world", Doc: "only this world", Example: "0"}, {Name: "family", Doc: "only the talk of this family", Example: "foxes"}, {Name: "public", Doc: "1: only what was said in public", Example: "1"},
			{Name: "name", Doc: "only what this player said", Example: "Ann"}, {Name: "text", Doc: "only lines with this text, in any case", Example: "glider"},
			{Name: "from", Doc: "from this time on", Example: "2026-11-21T20:00:00Z"}, {Name: "to", Doc: "until this time", Example: "2026-11-21T21:00:00Z"},
			{Name: "limit", Doc: "1 to 1000", Example: "100"}, {Name: "next", Doc: "that of the page before"}},
			Out: apidoc.Type[module.ChatPage](), Errors: []int{400, 404, 500}},
		{Method: "POST", Path: "/admin/moderation/resolve", Group: groupModeration, Form: []apidoc.Param{{Name: "id", Doc: "of the report", Required: true}}, Doc: "A report is dealt with and goes.", Out: apidoc.Type[done](), Errors: []int{404, 500}},
	}
}

func chainEndpoints() []apidoc.Endpoint {
	const example = `{"work_message":{"hash":"5c0bb9a1a1e8d8a4f1c5e2ef2c3b5a0e","items":[{"order":1,"request":{"url":"https://shop.example","endpoint":"/orders/api/stock/reserve","type":"HTTPS","method":"POST","payload":"{}"}}]}}`
	hash := apidoc.Param{Name: "hash", Doc: "hash of the message", Example: "5c0bb9a1a1e8d8a4f1c5e2ef2c3b5a0e"}
	wait := apidoc.Param{Name: "wait", Doc: "seconds to wait, at most 30", Example: "20"}
	return []apidoc.Endpoint{
		{Method: "POST", Path: "/work", Group: groupChain, Doc: "Submits a work message, JSON or protobuf: 202 for a new chain, 200 for a message that is known.", Code: 202,
			Body: apidoc.Type[map[string]any](), Example: example, Out: apidoc.Type[workOut](), Errors: []int{400, 409, 503}},
		{Method: "GET", Path: "/work/{hash}", Group: groupChain, Part: hash, Query: []apidoc.Param{wait}, Doc: "Where a chain stands, at once or when it has ended. A client that accepts application/x-protobuf gets a completion or notification message.",
			Out: apidoc.Type[chain.Status](), Errors: []int{400, 404, 503}},
		{Method: "POST", Path: "/work/{hash}/cancel", Group: groupChain, Part: hash, Doc: "Ends a chain: calls under way are cut short, the rest is skipped.", Out: apidoc.Type[chain.Status](), Errors: []int{404, 409, 503}},
		{Method: "GET", Path: "/completions", Group: groupChain, Query: []apidoc.Param{wait, {Name: "max", Doc: "most messages, 1 to 100", Example: "10"}},
			Doc: "Takes completion messages, which come again after two minutes unless they are acknowledged.", Out: apidoc.Type[struct {
				Completions []completion `json:"completions"`
			}](), Errors: []int{400, 500}},
		{Method: "POST", Path: "/completions/ack", Group: groupChain, Form: []apidoc.Param{{Name: "receipt", Doc: "of the completion", Required: true, Example: "17-3"}}, Doc: "Acknowledges a completion.", Out: apidoc.Type[done](), Errors: []int{400, 409, 500}},
		{Method: "POST", Path: "/notifications", Group: groupChain, Doc: "Gives items that await a notification their answers; the body is a notification message, JSON or protobuf.",
			Body: apidoc.Type[map[string]any](), Example: `{"notification_message":{"hash":"5c0bb9a1a1e8d8a4f1c5e2ef2c3b5a0e","items":[{"order":1,"response":{"error":false,"ok":true,"data":"{}","metadata":""}}]}}`,
			Out: apidoc.Type[notifiedOut](), Errors: []int{400, 404, 409, 503}},
	}
}

func engineEndpoints() []apidoc.Endpoint {
	id := apidoc.Param{Name: "id", Doc: "hash of the chain, or for POST the name of a workflow", Example: "5c0bb9a1a1e8d8a4f1c5e2ef2c3b5a0e"}
	return []apidoc.Endpoint{
		{Method: "GET", Path: "/api/settings/status", Group: groupEngine, Doc: "The engine's lock, and how many calls are under way.", Out: apidoc.Type[chain.Settings](), Errors: []int{503}},
		{Method: "PUT", Path: "/api/settings/status", Group: groupEngine, Doc: "Locks or unlocks the engine: a lock stops the next step of every chain.", Body: apidoc.Type[struct {
			Lock bool `json:"global_lock"`
		}](), Example: `{"global_lock":true}`, Out: apidoc.Type[chain.Settings](), Errors: []int{400, 503}},
		{Method: "GET", Path: "/api/settings/worker-status", Group: groupEngine, Doc: "How many calls can be, wait to be, and are under way.", Out: apidoc.Type[workersOut](), Errors: []int{503}},
		{Method: "GET", Path: "/api/processes", Group: groupEngine, Query: []apidoc.Param{{Name: "state", Doc: "only those in it", Example: "failed"}, {Name: "after", Doc: "behind this hash"}, {Name: "limit", Doc: "1 to 1000", Example: "100"}},
			Doc: "Chains, by hash.", Out: apidoc.Type[[]chain.Summary](), Errors: []int{304, 400, 503}},
		{Method: "GET", Path: "/api/processes/status-counts", Group: groupEngine, Doc: "Numbers of chains by state.", Out: apidoc.Type[countsOut](), Errors: []int{503}},
		{Method: "PUT", Path: "/api/processes/resume-all", Group: groupEngine, Doc: "Runs every failed chain again.", Out: apidoc.Type[resumedOut](), Errors: []int{503}},
		{Method: "GET", Path: "/api/processes/{id}", Group: groupEngine, Part: id, Doc: "Where a chain stands, with the answers it has.", Out: apidoc.Type[chain.Status](), Errors: []int{404, 503}},
		{Method: "POST", Path: "/api/processes/{id}", Group: groupEngine, Part: id, Code: 201, Doc: "Starts a workflow of the config file workflows; the body is the payload of items that have none. 503 while the engine is locked.",
			Body: apidoc.Type[any](), Example: `[{"customer":7}]`, Out: apidoc.Type[startedOut](), Errors: []int{400, 404, 503}},
		{Method: "DELETE", Path: "/api/processes/{id}", Group: groupEngine, Part: id, Code: 204, Doc: "Forgets a chain that has ended.", Errors: []int{404, 409, 503}},
		{Method: "PUT", Path: "/api/processes/{id}/resume", Group: groupEngine, Part: id, Code: 204, Doc: "Runs a failed chain again from what was not completed.", Errors: []int{404, 409, 503}},
		{Method: "PUT", Path: "/api/processes/{id}/abort", Group: groupEngine, Part: id, Code: 204, Doc: "Ends a chain.", Errors: []int{404, 409, 503}},
		{Method: "GET", Path: "/api/ws/events", Group: groupEvents, Code: 101, Errors: []int{400, 403, 426, 503}, Query: listenQuery,
			Doc: "A websocket that tells what has become stale, as at the public port. Pages give the token as second subprotocol, behind base64.bearer.token."},
		{Method: "POST", Path: "/api/events", Group: groupEvents, Code: 204, Doc: "Tells listeners of the events door that something is stale.", Body: apidoc.Type[eventIn](), Example: `{"type":"orders","id":"7"}`, Errors: []int{400}},
	}
}

func nodeEndpoints() []apidoc.Endpoint {
	type taken struct {
		Status int             `json:"status"`
		Data   broker.Position `json:"data"`
	}
	type tailed struct {
		Subject string    `json:"subject"`
		Time    time.Time `json:"time"`
		broker.Position
		Data any   `json:"data"`
		Lost int64 `json:"lost,omitempty"`
	}
	list := []apidoc.Endpoint{
		{Method: "GET", Path: "/admin", Group: groupNode, Open: true, Doc: "The operator's page. It shows what the other endpoints tell, to whom they tell it.", Kind: "text/html", Errors: []int{304}},
		{Method: "GET", Path: "/admin/state", Group: groupNode, Doc: "The node, the chains that moved last, tubes, the next timers and games, for the operator's page.", Out: apidoc.Type[stateOut](), Errors: []int{500}},
		{Method: "GET", Path: "/metrics", Group: groupNode, Doc: "Metrics in the text format of Prometheus.", Kind: "text/plain"},
		{Method: "GET", Path: "/healthz", Group: groupProbes, Open: true, Doc: "The process works.", Out: apidoc.Type[probe]()},
		{Method: "GET", Path: "/readyz", Group: groupProbes, Open: true, Doc: "The node takes clients.", Out: apidoc.Type[probe](), Errors: []int{503}},
		{Method: "GET", Path: "/api/openapi.json", Group: groupNode, Doc: "This document.", Out: apidoc.Type[map[string]any](), Errors: []int{304}},
		{Method: "GET", Path: "/api/asyncapi.json", Group: groupNode, Doc: "The document of websocket, lines and gate.", Out: apidoc.Type[map[string]any](), Errors: []int{304}},
		{Method: "POST", Path: "/admin/publish", Group: groupNode, Doc: "Sends a push to every client that follows a subject; history keeps it for those who come back.",
			Body: apidoc.Type[struct {
				Subject string         `json:"subject"`
				Route   string         `json:"route"`
				Content map[string]any `json:"content"`
				History bool           `json:"history"`
			}](), Example: `{"subject":"chat.0.public","route":"/chat/public","content":{"name":"operator","text":"hello","time":1767225600000},"history":true}`,
			Out: apidoc.Type[taken](), Errors: []int{400, 500}},
		{Method: "GET", Path: "/admin/tail", Group: groupNode, Query: []apidoc.Param{{Name: "subject", Doc: "a subject or pattern", Required: true, Example: "chat.>"}},
			Doc: "Every message of the subject from now on, one JSON object a line.", Out: apidoc.Type[tailed](), Kind: "application/x-ndjson", Errors: []int{400, 503}},
		{Method: "POST", Path: "/admin/drain", Group: groupNode, Doc: "The node begins to drain, as on SIGTERM.", Code: 202, Out: apidoc.Type[done]()},
		{Method: "GET", Path: "/admin/mail/outbox", Group: groupMail, Query: []apidoc.Param{{Name: "after", Doc: "behind this id"}, {Name: "limit", Doc: "1 to 1000", Example: "100"}}, Doc: "E-mails that wait, oldest first.",
			Out: apidoc.Type[struct {
				Emails []module.Email `json:"emails"`
			}](), Errors: []int{400, 500}},
		{Method: "POST", Path: "/admin/mail/sent", Group: groupMail, Form: []apidoc.Param{{Name: "id", Doc: "of the e-mail", Required: true}}, Doc: "An e-mail was sent by hand and leaves the outbox.", Out: apidoc.Type[done](), Errors: []int{404, 500}},
		{Method: "GET", Path: "/debug/pprof/", Group: groupNode, Doc: "Lists the profiles of the process.", Kind: "text/html"},
		{Method: "GET", Path: "/debug/pprof/{profile}", Group: groupNode, Part: apidoc.Param{Name: "profile", Doc: "heap, goroutine, profile, trace, …", Example: "heap"}, Doc: "One profile.", Kind: "application/octet-stream"},
	}
	for _, name := range []string{"icon.svg", "page.css", "page.js", "api.js", "chart.js", "events.js", "metrics.js", "table.js", "tables.js"} {
		list = append(list, apidoc.Endpoint{Method: "GET", Path: "/admin/" + name, Group: groupNode, Open: true, Doc: "A file of the operator's page.",
			Kind: newFile(name, nil).kind, Errors: []int{304}})
	}
	return list
}
