package control

import (
	"context"
	"errors"

	"github.com/valyala/fasthttp"

	"gosper/broker"
	"gosper/broker/post"
	"gosper/edge/module"
	"gosper/protocol"
)

// Endpoints of the post office, with the bodies and answers that services of the older system know.

// Statuses of /send.
const (
	sendOK   = 0
	sendFull = 1
	sendBad  = -1
)

type sendIn struct {
	World any            `json:"world"` // a text or a number
	UID   any            `json:"uid"`
	Mail  map[string]any `json:"mail"`
}

type sendOut struct {
	Status  int    `json:"status"` // 0, 1 for a full mailbox, -1 for bad fields
	UID     string `json:"uid"`
	Key     string `json:"key"` // "" unless status is 0
	Message string `json:"message,omitempty"`
}

type mailsOut struct {
	Mail  []module.MailOut `json:"mail"`
	Count mailCount        `json:"count"`
}

type mailCount struct {
	Cur int `json:"cur"`
	Max int `json:"max"`
}

type mailKeyOut struct {
	Key string `json:"key"`
}

type mailKeysOut struct {
	Keys []string `json:"keys"`
}

// mailFields are the members that a mail of each kind must have, besides type, from, subj and body.
var mailFields = map[post.Kind][]string{post.Gift: {"items"}, post.FriendRequest: {"uid_sender"}, post.FamilyRequest: {"uid_target", "name"}}

// kindsByText are the types of mails as services write them.
var kindsByText = map[string]post.Kind{"0": post.Simple, "1": post.Gift, "2": post.FriendRequest, "3": post.FamilyRequest}

// readMail makes a mail of a service's object. The message says which member is missing or wrong; "" is fine.
func readMail(in map[string]any) (m post.Mail, message string) {
	for _, name := range []string{"type", "from", "subj", "body"} {
		if in[name] == nil {
			return m, name + " is missing"
		}
	}
	kind, ok := kindsByText[textOf(in["type"])]
	if !ok {
		return m, `type must be "0" to "3"`
	}
	m = post.Mail{Kind: kind, From: textOf(in["from"]), Subject: textOf(in["subj"]), Body: textOf(in["body"]), Items: textOf(in["items"]), Key: textOf(in["key"])}
	for _, name := range mailFields[kind] {
		value := textOf(in[name])
		if value == "" {
			return m, name + " is missing"
		}
		if name != "items" {
			if m.Fields == nil {
				m.Fields = make(map[string]string, 2)
			}
			m.Fields[name] = value
		}
	}
	return m, ""
}

// sendMail answers POST /send with JSON {"world","uid","mail":{"type","from","subj","body",…}}: {"status","uid","key"}. The
// key of a mail that offers something is a nonce too; a mail whose nonce cannot be registered is deleted again.
func (s *Server) sendMail(ctx *fasthttp.RequestCtx) {
	var in sendIn
	if !s.hasPost(ctx) || !decodeBody(ctx, &in) {
		return
	}
	box := post.Box{World: textOf(in.World), UID: textOf(in.UID)}
	m, message := readMail(in.Mail)
	if message != "" {
		answer(ctx, sendOut{Status: sendBad, UID: box.UID, Message: message})
		return
	}
	work, cancel := serviceContext()
	defer cancel()
	key, err := s.config.Post.Send(work, box, m)
	if err == nil {
		m.Key = key
		if err = s.config.Table.RegisterMail(work, box, &m); err != nil && !errors.Is(err, broker.ErrExists) {
			err = errors.Join(err, s.config.Post.Delete(work, box, key))
		} else {
			err = nil
		}
	}
	switch {
	case errors.Is(err, post.ErrFull):
		answer(ctx, sendOut{Status: sendFull, UID: box.UID, Message: err.Error()})
	case errors.Is(err, post.ErrBadMail), errors.Is(err, post.ErrBadBox):
		answer(ctx, sendOut{Status: sendBad, UID: box.UID, Message: err.Error()})
	case err != nil:
		s.failedPost(ctx, err)
	default:
		answer(ctx, sendOut{UID: box.UID, Key: key})
	}
}

// hasPost answers that the node has no post office, and returns false then.
func (s *Server) hasPost(ctx *fasthttp.RequestCtx) bool {
	if s.config.Post == nil {
		fail(ctx, fasthttp.StatusServiceUnavailable, protocol.StatusBusy, "this node has no mailboxes")
	}
	return s.config.Post != nil
}

// failedPost answers with what the post office could not do.
func (s *Server) failedPost(ctx *fasthttp.RequestCtx, err error) {
	switch {
	case errors.Is(err, post.ErrBadBox):
		fail(ctx, fasthttp.StatusBadRequest, protocol.StatusInvalid, "world and uid must be 1 to 32 of A-Z a-z 0-9 _ -")
	case errors.Is(err, broker.ErrDiskFull), errors.Is(err, broker.ErrBusy), errors.Is(err, broker.ErrClosed):
		s.log.Error("mail was not taken", "error", err)
		fail(ctx, fasthttp.StatusServiceUnavailable, protocol.StatusBusy, "mail cannot be taken now, try again later")
	default:
		s.failed500(ctx, "mail", err)
	}
}

// boxAsked returns the mailbox that a form or a query names.
func boxAsked(args *fasthttp.Args) post.Box {
	return post.Box{World: string(args.Peek("world")), UID: string(args.Peek("uid"))}
}

// newMail answers POST /new with form world, uid: the mails that were not asked for before.
func (s *Server) newMail(ctx *fasthttp.RequestCtx) {
	s.listMail(ctx, boxAsked(ctx.PostArgs()), (*post.Office).New)
}

// allMail answers POST /all with form world, uid.
func (s *Server) allMail(ctx *fasthttp.RequestCtx) {
	s.listMail(ctx, boxAsked(ctx.PostArgs()), (*post.Office).All)
}

// peekMail answers GET /admin/mail/box?world=&uid= as /all, but new mails stay new.
func (s *Server) peekMail(ctx *fasthttp.RequestCtx) {
	s.listMail(ctx, boxAsked(ctx.QueryArgs()), (*post.Office).Peek)
}

func (s *Server) listMail(ctx *fasthttp.RequestCtx, box post.Box, list func(*post.Office, context.Context, post.Box) ([]post.Mail, error)) {
	if !s.hasPost(ctx) {
		return
	}
	work, cancel := serviceContext()
	defer cancel()
	mails, err := list(s.config.Post, work, box)
	out := mailsOut{Mail: make([]module.MailOut, len(mails))}
	if err == nil {
		out.Count.Cur, out.Count.Max, err = s.config.Post.Count(work, box)
	}
	if err != nil {
		s.failedPost(ctx, err)
		return
	}
	for i := range mails {
		out.Mail[i] = s.config.Table.ShowMail(&mails[i])
	}
	answer(ctx, out)
}

// readMailMark answers POST /mark_read with form world, uid, key: {"key"}, "" when there is no such mail.
func (s *Server) readMailMark(ctx *fasthttp.RequestCtx) {
	key, found := s.oneMail(ctx, (*post.Office).MarkRead)
	if found {
		answer(ctx, mailKeyOut{key})
	}
}

// deleteMail answers POST /delete with form world, uid, key: {"keys"} of what was deleted.
func (s *Server) deleteMail(ctx *fasthttp.RequestCtx) {
	key, found := s.oneMail(ctx, (*post.Office).Delete)
	if !found {
		return
	}
	keys := []string{}
	if key != "" {
		keys = append(keys, key)
	}
	s.answerDeleted(ctx, keys)
}

// oneMail does something to the mail of a form and returns its key, "" when there is none; false when it has answered.
func (s *Server) oneMail(ctx *fasthttp.RequestCtx, do func(*post.Office, context.Context, post.Box, string) error) (key string, ok bool) {
	if !s.hasPost(ctx) {
		return "", false
	}
	work, cancel := serviceContext()
	defer cancel()
	args := ctx.PostArgs()
	key = string(args.Peek("key"))
	err := do(s.config.Post, work, boxAsked(args), key)
	if errors.Is(err, broker.ErrNotFound) {
		return "", true
	}
	if err != nil {
		s.failedPost(ctx, err)
	}
	return key, err == nil
}

// deleteReadMail answers POST /delete_read with form world, uid: {"keys"} of what was deleted.
func (s *Server) deleteReadMail(ctx *fasthttp.RequestCtx) {
	if !s.hasPost(ctx) {
		return
	}
	work, cancel := serviceContext()
	defer cancel()
	keys, err := s.config.Post.DeleteRead(work, boxAsked(ctx.PostArgs()))
	if err != nil {
		s.failedPost(ctx, err)
		return
	}
	s.answerDeleted(ctx, append([]string{}, keys...))
}

// answerDeleted drops the nonces of deleted mails: they can no more be accepted.
func (s *Server) answerDeleted(ctx *fasthttp.RequestCtx, keys []string) {
	work, cancel := serviceContext()
	defer cancel()
	for _, key := range keys {
		s.config.Table.DropNonce(work, key)
	}
	answer(ctx, mailKeysOut{keys})
}

// reindexMail answers POST /admin/mail/reindex with form world, uid: the index of the mailbox is built again.
func (s *Server) reindexMail(ctx *fasthttp.RequestCtx) {
	if !s.hasPost(ctx) {
		return
	}
	work, cancel := serviceContext()
	defer cancel()
	if err := s.config.Post.Reindex(work, boxAsked(ctx.PostArgs())); err != nil {
		s.failedPost(ctx, err)
		return
	}
	answer(ctx, statusOut{})
}
