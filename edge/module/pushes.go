package module

import (
	"reflect"
)

// Push describes one kind of message that clients get without having asked. Everything in it is description: documents
// are made from it.
type Push struct {
	Route   string // "/chat/public"
	Doc     string // one line
	To      string // who gets it, in words
	Subject string // on the bus, with <names> for its parts; "" for one that is made for a single connection
	Kept    bool   // has history: it comes with a position, and again on /session/resume
	Content reflect.Type
	Example string // a content
}

// Who gets a push, in words.
const (
	toAccount = "every connection of the account"
	toWatcher = "every connection that is in the game or watches it"
	toFamily  = "every connection of a member of the family"
	toWorld   = "every connection in the world"
)

func describePush[T any](p Push) Push {
	p.Content = reflect.TypeFor[T]()
	return p
}

// chatPush is the content of chat, which package protocol writes without this type.
type chatPush struct {
	Name string `json:"name"`
	Text string `json:"text"`
	Time int64  `json:"time"` // unix milliseconds
}

// gapPush is the content of the push that tells of missed messages, which the engine writes.
type gapPush struct {
	Subject string `json:"subject"`
	Epoch   uint64 `json:"epoch"`
	Offset  uint64 `json:"offset"`
}

// Pushes lists every push of a node, by subject. The slice is the caller's own. A new push is entered here.
func Pushes() []Push {
	const chat = `{"name":"Ann","text":"hello","time":1767225600000}`
	return []Push{
		describePush[empty](Push{Route: "/welcome", To: "a connection, as its first message", Example: `{}`,
			Doc: "The websocket is open; the client may call functions."}),
		describePush[gapPush](Push{Route: "/session/gap", To: "a connection that follows the subject", Example: `{"subject":"chat.0.public","epoch":1,"offset":17}`,
			Doc: "Messages of a subject were missed and cannot be sent again; the stream goes on behind this position."}),
		describePush[chatPush](Push{Route: "/chat/public", To: toWorld, Subject: "chat.<world>.public", Kept: true, Example: chat,
			Doc: "Somebody spoke to the world, the receiver included. The line door gives it as 0000PUBLIC."}),
		describePush[chatPush](Push{Route: "/chat/family", To: toFamily, Subject: "chat.<world>.family.<family>", Kept: true, Example: chat,
			Doc: "Somebody spoke to the family. The line door gives it as 0000FAMILY."}),
		describePush[presencePush](Push{Route: "/chat/presence", To: "every connection that follows presence", Subject: "presence.<world>",
			Example: `{"world":"0","count":2,"joined":["Ann"],"left":[]}`,
			Doc:     "Players came to a world or left it; a very full world tells the count only."}),
		describePush[upgradedOut](Push{Route: buildingUpgrade, To: toAccount, Subject: "user.<account>", Kept: true,
			Example: `{"building_id":"0123456789abcdef","body_id":"0123456789/0","empire_id":"42","level":1}`,
			Doc:     "A level of a building is done and stamped on its grid."}),
		describePush[failedOut](Push{Route: buildingFailed, To: toAccount, Subject: "user.<account>", Kept: true,
			Example: `{"building_id":"0123456789abcdef","body_id":"0123456789/0","empire_id":"42","level":1,"reason":"there is no such game"}`,
			Doc:     "A level of a building cannot be stamped any more; the building keeps the level it had, or is gone."}),
		describePush[usersPush](Push{Route: routeGameUsers, To: toWatcher, Subject: "game.<game>", Example: `{"game":"0123456789","owner":"42","users":[]}`,
			Doc: "Users came to a game, left it or changed."}),
		describePush[statePush](Push{Route: routeGameState, To: toWatcher, Subject: "game.<game>",
			Example: `{"game":"0123456789","name":"garden","state":"running","interval":100,"persistent":true,"epoch":1,"generation":7}`,
			Doc:     "What a game does now has changed; the state ended is its last push."}),
		describePush[ownerPush](Push{Route: routeGameOwner, To: toWatcher, Subject: "game.<game>",
			Example: `{"game":{"id":"0123456789","name":"garden","owner":"42","users":[],"grids":[{"width":64,"height":64,"rule":"B3/S23","topology":"torus","mode":"plain"}],` +
				`"interval":100,"state":"paused","persistent":true,"created":1767225600000,"epoch":1,"generation":7},"previous":"41"}`,
			Doc: "A game passed to another user."}),
		describePush[mutedPush](Push{Route: mutedRoute, To: toAccount, Subject: "user.<account>", Kept: true, Example: `{"muted":true,"until":1767225600000,"reason":"flood"}`,
			Doc: "The account may no longer speak, or may speak again."}),
		describePush[newMailPush](Push{Route: newMailRoute, To: toAccount, Subject: "user.<account>", Kept: true,
			Example: `{"world":"0","key":"a1","type":"1","from":"Ann","subj":"a gift","count":{"cur":1,"max":50}}`,
			Doc:     "A mail has come."}),
		describePush[friendPush](Push{Route: friendRoute, To: toAccount, Subject: "user.<account>", Kept: true, Example: `{"world":"0","uid":"42","change":"added"}`,
			Doc: "A friendship has begun or ended."}),
		describePush[familyChanged](Push{Route: routeFamilyChanged, To: toAccount + " of each member, and of whom it concerns", Subject: "user.<account>", Kept: true,
			Example: `{"world":"0","family":"knights","name":"knights","change":"joined","gn":"Ann"}`,
			Doc:     "The family, or a place in it, has changed."}),
		describePush[familyInvited](Push{Route: routeFamilyInvited, To: toAccount, Subject: "user.<account>", Kept: true,
			Example: `{"world":"0","name":"knights","gn":"Ann","key":"a1"}`,
			Doc:     "A family has invited the account; the mail of the same key accepts."}),
		describePush[chainCompletedPush](Push{Route: chainCompletedRoute, To: toAccount, Subject: "user.<account>", Kept: true,
			Example: `{"hash":"5c0bb9a1a1e8d8a4f1c5e2ef2c3b5a0e","state":"completed","completion_message":{"hash":"5c0bb9a1a1e8d8a4f1c5e2ef2c3b5a0e","items":[]}}`,
			Doc:     "A work chain of the account has ended."}),
	}
}

// Functions lists the table of functions without running any: for documents. The slice is the caller's own.
func Functions() []Function { return allFunctions() }
