package module

import (
	"context"
	"unicode/utf8"

	"gosper/broker"
	"gosper/protocol"
)

// chatFunctions are the talk of a world and of its families.
func chatFunctions() []Function {
	return []Function{
		define(Function{Route: "/chat/token", Gate: "get_login_token_chat", Needs: NeedWorld, Class: ClassWrite,
			Doc:     "Makes a nonce for REGISTER or /session/register: one use, valid for a short time.",
			Example: `{}`}, chatToken),
		defineInline(Function{Route: protocol.RouteChatPublic, Gate: "send_public_chat", Needs: NeedWorld, Class: ClassOpen,
			Doc:     "Says something to everyone in the world.",
			Example: `{"text":"hello"}`}, chatPublic),
		defineInline(Function{Route: protocol.RouteChatFamily, Gate: "send_family_chat", Needs: NeedWorld, Class: ClassOpen,
			Doc:     "Says something to the family.",
			Example: `{"text":"hello"}`}, chatFamily),
		define(Function{Route: "/chat/history", Gate: "get_history_chat", Needs: NeedWorld, Class: ClassRead,
			Doc:     "Reads what was said: the newest messages, or those after a position.",
			Example: `{"family":false,"epoch":7,"offset":42,"limit":50}`}, chatHistory),
		define(Function{Route: "/chat/presence", Gate: "get_presence_chat", Needs: NeedWorld, Class: ClassRead,
			Doc:     "Tells who is in the world; with watch, also from now on (or, when false, no more).",
			Example: `{"watch":true}`}, chatPresence),
	}
}

type tokenOut struct {
	Token string `json:"token"`
}

func chatToken(t *Tools, c *Call, _ *empty) (tokenOut, error) {
	nonce := newNonce()
	if err := t.settleFamily(c.Context, &c.Who); err != nil {
		return tokenOut{}, err
	}
	return tokenOut{nonce}, t.registerNonce(c.Context, nonce, payloadOf(c.Who))
}

type sayIn struct {
	Text string `json:"text"`
}

func chatPublic(t *Tools, c *Call, in *sayIn, done func(broker.Position, error)) {
	say(t, &c.Who, false, in.Text, done)
}

func chatFamily(t *Tools, c *Call, in *sayIn, done func(broker.Position, error)) {
	say(t, &c.Who, true, in.Text, done)
}

var (
	faultNoWorld  = refuse(protocol.StatusMissing, "Not in a world: enter one first")
	faultNoFamily = refuse(protocol.StatusMissing, "Not in a family")
	faultNoText   = refuse(protocol.StatusMissing, "text is missing")
	faultLongText = refuse(protocol.StatusTooMuch, "text is too long")
	faultBadText  = refuse(protocol.StatusBadCharacters, "text has characters that are not allowed")
	faultTooMany  = refuse(protocol.StatusRefused, messageTooMany)
)

// say publishes chat text as who. It never blocks and calls done exactly once: with the position when the bus has
// taken the message for good, or with a Fault or an error of the bus. text is copied.
func say[T string | []byte](t *Tools, who *Identity, family bool, text T, done func(broker.Position, error)) {
	switch {
	case who.World == "" || who.Name == "":
		done(broker.Position{}, faultNoWorld)
		return
	case family && who.Family == "":
		done(broker.Position{}, faultNoFamily)
		return
	}
	now := t.now()
	if fault := checkText(text, t.options.TextBytes); fault != nil {
		done(broker.Position{}, fault)
		return
	}
	if fault := t.mayNotSay(who, now); fault != nil {
		done(broker.Position{}, fault)
		return
	}
	if !t.limits.allow(callerOf(ClassChat, who, ""), now) {
		done(broker.Position{}, faultTooMany)
		return
	}
	subject := protocol.ChatSubject(who.World, "")
	if family {
		subject = protocol.ChatSubject(who.World, who.Family)
	}
	data := make([]byte, 0, len(text)+len(who.Name)+pushOverhead)
	data = protocol.AppendChatPush(data, family, who.Name, text, now.UnixMilli())
	t.bus.Publish(subject, data, t.options.ChatKeep, done)
}

// pushOverhead is the size of a chat push without name and text, when neither needs escapes.
const pushOverhead = 96

// checkText refuses what a chat text cannot be. Line ends and tabs may stand in it, other control characters not:
// they would reach the terminals of line clients.
func checkText[T string | []byte](text T, max int) *Fault {
	if len(text) == 0 {
		return faultNoText
	}
	if len(text) > max {
		return faultLongText
	}
	ascii := byte(0)
	for i := 0; i < len(text); i++ {
		b := text[i]
		ascii |= b
		if b < ' ' && b != '\n' && b != '\r' && b != '\t' || b == 0x7f {
			return faultBadText
		}
	}
	if ascii >= utf8.RuneSelf && !utf8.ValidString(string(text)) {
		return faultBadText
	}
	return nil
}

// callerOf returns whom a rate limit of a class counts.
func callerOf(class Class, who *Identity, remote string) caller {
	switch {
	case class == ClassAuth:
		return caller{class, "", remote}
	case who.Account != "":
		return caller{class, who.Account, ""}
	case who.World != "":
		return caller{class, who.World, who.Name}
	}
	return caller{class, "", remote}
}

type historyIn struct {
	Family bool `json:"family"`
	broker.Position
	Limit int `json:"limit"` // 0: as many as allowed
}

// said is one message of a history, with its place.
type said struct {
	Name string `json:"name"`
	Text string `json:"text"`
	Time int64  `json:"time"` // unix milliseconds
	broker.Position
}

type historyOut struct {
	Messages        []said `json:"messages"` // oldest first
	broker.Position        // of the newest message of the subject
	Recovered       bool   `json:"recovered"` // false: something after the asked position is lost
}

func chatHistory(t *Tools, c *Call, in *historyIn) (historyOut, error) {
	subject := protocol.ChatSubject(c.Who.World, "")
	if in.Family {
		if c.Who.Family == "" {
			return historyOut{}, faultNoFamily
		}
		subject = protocol.ChatSubject(c.Who.World, c.Who.Family)
	}
	if in.Limit < 0 || in.Limit > t.options.HistoryMax {
		return historyOut{}, refuse(protocol.StatusRange, "limit is out of range")
	}
	if in.Limit == 0 {
		in.Limit = t.options.HistoryMax
	}
	recovery, err := t.bus.History(c.Context, subject, in.Position, in.Limit)
	if err != nil {
		return historyOut{}, err
	}
	out := historyOut{Messages: make([]said, 0, len(recovery.Messages)), Position: recovery.Top, Recovered: recovery.Recovered}
	for _, m := range recovery.Messages {
		if line, ok := saidOf(m); ok {
			out.Messages = append(out.Messages, line)
		}
	}
	return out, nil
}

// saidOf returns a message of a chat subject as /chat/history tells it; false for what is no chat.
func saidOf(m *broker.Message) (said, bool) {
	push, err := protocol.ParsePush(m.Data)
	if err != nil {
		return said{}, false
	}
	chat, err := protocol.ParseChat(push.Content)
	return said{chat.Name, chat.Text, chat.Time, m.Position}, err == nil
}

type presenceIn struct {
	Watch *bool `json:"watch"`
}

type presenceOut struct {
	World string   `json:"world"`
	Count int      `json:"count"`
	Names []string `json:"names,omitempty"` // in order; missing when the world is too full to name all
}

func chatPresence(t *Tools, c *Call, in *presenceIn) (presenceOut, error) {
	if in.Watch != nil {
		if err := watchPresence(c.Context, c, *in.Watch); err != nil {
			return presenceOut{}, err
		}
	}
	count, names := t.presence.members(c.Who.World)
	return presenceOut{World: c.Who.World, Count: count, Names: names}, nil
}

// watchPresence subscribes the call's connection to the presence of its world, or ends that.
func watchPresence(ctx context.Context, c *Call, watch bool) error {
	if c.Session == nil {
		return faultNoConnection
	}
	subject := protocol.PresenceSubject(c.Who.World)
	if !watch {
		c.Session.Unsubscribe(subject)
		return nil
	}
	_, _, err := c.Session.Subscribe(ctx, subject, broker.Position{})
	return err
}
