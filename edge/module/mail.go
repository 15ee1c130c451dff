package module

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"gosper/broker"
	"gosper/broker/post"
	"gosper/protocol"
)

// Mailboxes of players: one for each account and world. Contents are in the form of older clients.

// mailFunctions are what players do with mails.
func mailFunctions() []Function {
	const needs = NeedLogin | NeedWorld
	return []Function{
		define(Function{Route: "/mail/send", Gate: "send_mail", Needs: needs, Class: ClassWrite,
			Doc: "Sends a mail to a player of the world, by name (gn_target) or account (uid_target). With items (gid:iid:qty[,…]) it is a " +
				"gift out of the sender's own.",
			Example: `{"gn_target":"Ann","subj":"hello","body":"a glider for you","items":"9:glider:1"}`}, sendMail),
		define(Function{Route: "/mail/new", Gate: "get_new_mail", Needs: needs, Class: ClassRead,
			Doc:     "Reads the mails that have come since the last time this or /mail/all was called.",
			Example: `{}`}, newMail),
		define(Function{Route: "/mail/all", Gate: "get_all_mail", Needs: needs, Class: ClassRead,
			Doc:     "Reads all mails.",
			Example: `{}`}, allMail),
		define(Function{Route: "/mail/markRead", Gate: "mark_read_mail", Needs: needs, Class: ClassWrite,
			Doc:     "Marks a mail as read; the answer has its key, or \"\" when there is no such mail.",
			Example: `{"key":"0199a1b2c3d4e5f60718293a4b5c6d7e"}`}, markReadMail),
		define(Function{Route: "/mail/delete", Gate: "delete_mail", Needs: needs, Class: ClassWrite,
			Doc:     "Deletes a mail, and what it offers with it; the answer lists what was deleted.",
			Example: `{"key":"0199a1b2c3d4e5f60718293a4b5c6d7e"}`}, deleteMail),
		define(Function{Route: "/mail/deleteRead", Gate: "delete_read_mail", Needs: needs, Class: ClassWrite,
			Doc:     "Deletes the mails that were read.",
			Example: `{}`}, deleteReadMail),
		define(Function{Route: "/mail/acceptGift", Gate: "accept_gift", Needs: needs, Class: ClassWrite,
			Doc:     "Accepts the gift of a mail by its key, once: its items come to what the player has.",
			Example: `{"key":"0199a1b2c3d4e5f60718293a4b5c6d7e"}`}, acceptGift),
		define(Function{Route: "/mail/acceptGifts", Gate: "accept_gifts", Needs: needs, Class: ClassWrite,
			Doc:     "Accepts several gifts (keys), or all of the mailbox; each is accepted or refused for itself.",
			Example: `{"keys":["0199a1b2c3d4e5f60718293a4b5c6d7e"]}`}, acceptGifts),
	}
}

var faultNoPost = refuseGate(protocol.StatusBusy, 98, "this node has no mailboxes")

// boxOf returns the mailbox of a caller.
func (t *Tools) boxOf(who *Identity) (post.Box, error) {
	if t.post == nil {
		return post.Box{}, faultNoPost
	}
	return post.Box{World: who.World, UID: who.Account}, nil
}

// mailOut is a mail as clients know it: everything a text but read.
type mailOut struct {
	Read   int    `json:"read"` // 0 or 1
	Body   string `json:"body"`
	Time   string `json:"time"` // "2006-01-02 15:04:05" in the zone of the settings
	Type   string `json:"type"` // "0" simple, "1" gift, "2" request of a friend, "3" of a family
	From   string `json:"from"`
	Subj   string `json:"subj"`
	Key    string `json:"key"`
	Items  string `json:"items,omitempty"`
	Sender string `json:"uid_sender,omitempty"` // of a friend's request
	Target string `json:"uid_target,omitempty"` // of a family's request or invitation
	Name   string `json:"name,omitempty"`       // of the family
}

func (t *Tools) mailOut(m *post.Mail) mailOut {
	zone := time.FixedZone("", t.social.mails.Get().ZoneHours*3600)
	out := mailOut{Body: m.Body, Time: m.Time.In(zone).Format(time.DateTime), Type: kindText(m.Kind), From: m.From, Subj: m.Subject,
		Key: m.Key, Items: m.Items, Sender: m.Fields["uid_sender"], Target: m.Fields["uid_target"], Name: m.Fields["name"]}
	if m.Read {
		out.Read = 1
	}
	return out
}

func kindText(k post.Kind) string { return strconv.Itoa(int(k)) }

// mailCount is how full a mailbox is.
type mailCount struct {
	Now int `json:"cur"`
	Max int `json:"max"`
}

type mailsOut struct {
	Mail  []mailOut `json:"mail"`
	Count mailCount `json:"count"`
	Zone  int       `json:"zone"` // hours east of UTC of the times of the mails
}

func newMail(t *Tools, c *Call, _ *empty) (mailsOut, error) {
	return t.readMails(c, (*post.Office).New)
}
func allMail(t *Tools, c *Call, _ *empty) (mailsOut, error) {
	return t.readMails(c, (*post.Office).All)
}

func (t *Tools) readMails(c *Call, read func(*post.Office, context.Context, post.Box) ([]post.Mail, error)) (mailsOut, error) {
	box, err := t.boxOf(&c.Who)
	if err != nil {
		return mailsOut{}, err
	}
	mails, err := read(t.post, c.Context, box)
	if err != nil {
		return mailsOut{}, err
	}
	out := mailsOut{Mail: make([]mailOut, len(mails)), Zone: t.social.mails.Get().ZoneHours}
	for i := range mails {
		out.Mail[i] = t.mailOut(&mails[i])
	}
	out.Count.Now, out.Count.Max, err = t.post.Count(c.Context, box)
	return out, err
}

type mailKey struct {
	Key string `json:"key"`
}

type mailKeys struct {
	Keys []string `json:"keys"`
}

func markReadMail(t *Tools, c *Call, in *mailKey) (mailKey, error) {
	box, err := t.boxOf(&c.Who)
	if err != nil {
		return mailKey{}, err
	}
	if !validMailKey(in.Key) {
		return mailKey{}, nil
	}
	err = t.post.MarkRead(c.Context, box, in.Key)
	if errors.Is(err, broker.ErrNotFound) {
		return mailKey{}, nil
	}
	return *in, err
}

// validMailKey says whether key can be the key of a mail.
func validMailKey(key string) bool {
	return key != "" && len(key) <= post.MaxKey && protocol.EscapeToken(key) == key
}

func deleteMail(t *Tools, c *Call, in *mailKey) (mailKeys, error) {
	box, err := t.boxOf(&c.Who)
	if err != nil {
		return mailKeys{}, err
	}
	if !validMailKey(in.Key) {
		return mailKeys{[]string{}}, nil
	}
	err = t.post.Delete(c.Context, box, in.Key)
	if errors.Is(err, broker.ErrNotFound) {
		return mailKeys{[]string{}}, nil
	}
	if err != nil {
		return mailKeys{}, err
	}
	t.closeDoor(c.Context, in.Key)
	return mailKeys{[]string{in.Key}}, nil
}

func deleteReadMail(t *Tools, c *Call, _ *empty) (mailKeys, error) {
	box, err := t.boxOf(&c.Who)
	if err != nil {
		return mailKeys{}, err
	}
	keys, err := t.post.DeleteRead(c.Context, box)
	if err != nil {
		return mailKeys{}, err
	}
	for _, key := range keys {
		t.closeDoor(c.Context, key)
	}
	if keys == nil {
		keys = []string{}
	}
	return mailKeys{keys}, nil
}

// newMailRoute is the push that tells a player of a mail.
const newMailRoute = "/mail/new"

// newMailPush is its content. Count is missing when the node was too busy to count.
type newMailPush struct {
	World string     `json:"world"`
	Key   string     `json:"key"`
	Type  string     `json:"type"`
	From  string     `json:"from"`
	Subj  string     `json:"subj"`
	Count *mailCount `json:"count,omitempty"`
}

// MailDelivered tells every connection of the receiver about a mail: the Delivered of the post office. It does not block.
func (t *Table) MailDelivered(box post.Box, m post.Mail) {
	push := newMailPush{World: box.World, Key: m.Key, Type: kindText(m.Kind), From: m.From, Subj: m.Subject}
	counted := t.tools.later(func(ctx context.Context) {
		if now, most, err := t.tools.post.Count(ctx, box); err == nil {
			push.Count = &mailCount{now, most}
		}
		t.tools.tellUser(box.UID, newMailRoute, push)
	})
	if !counted {
		t.tools.tellUser(box.UID, newMailRoute, push)
	}
}

// RegisterMail opens the door to what a mail offers for services: its key becomes a nonce whose payload is the kind, the
// fields of the mail and the box. It does nothing for a simple mail. Players need no nonce: the mail is what counts.
func (t *Table) RegisterMail(ctx context.Context, box post.Box, m *post.Mail) error {
	return t.tools.registerMail(ctx, box, m)
}

func (t *Tools) registerMail(ctx context.Context, box post.Box, m *post.Mail) error {
	if m.Kind == post.Simple {
		return nil
	}
	payload := map[string]string{"type": kindText(m.Kind), nonceBox: box.World + "/" + box.UID}
	if m.Items != "" {
		payload["items"] = m.Items
	}
	for name, value := range m.Fields {
		if payload[name] == "" {
			payload[name] = value
		}
	}
	value, err := json.Marshal(payload)
	if err != nil {
		return err
	}
	return t.registry.Create(ctx, nonceKey(m.Key), value, t.options.NonceAge)
}
