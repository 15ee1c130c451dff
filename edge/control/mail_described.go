package control

import "gosper/edge/apidoc"

// mailEndpoints describes the post office.
func mailEndpoints() []apidoc.Endpoint {
	box := []apidoc.Param{{Name: "world", Doc: "1 to 32 of A-Z a-z 0-9 _ -", Required: true, Example: "0"}, {Name: "uid", Doc: "account, in the same form", Required: true, Example: "42"}}
	mail := append(box[:2:2], apidoc.Param{Name: "key", Doc: "of the mail", Required: true})
	errs := []int{400, 500, 503}
	return []apidoc.Endpoint{
		{Method: "POST", Path: "/send", Group: groupPost, Body: apidoc.Type[sendIn](), Out: apidoc.Type[sendOut](), Errors: errs,
			Doc: "Sends a mail: it is durable when status is 0; 1 says that the mailbox is full, -1 that a field is bad. Types: 0 simple, 1 gift (items), 2 request of " +
				"a friend (uid_sender), 3 of a family (uid_target, name); but for 0 the key is a nonce too. With a key of its own (1 to 64 of A-Z a-z 0-9 _ -) a mail can be sent again without doubling.",
			Example: `{"world":"0","uid":"42","mail":{"type":"1","from":"system","subj":"GIFT_1","body":"","items":"3:17:1"}}`},
		{Method: "POST", Path: "/new", Group: groupPost, Form: box, Doc: "Mails that nobody has asked for yet, the oldest first; from then on they are no longer new.", Out: apidoc.Type[mailsOut](), Errors: errs},
		{Method: "POST", Path: "/all", Group: groupPost, Form: box, Doc: "All mails, the oldest first; from then on none is new.", Out: apidoc.Type[mailsOut](), Errors: errs},
		{Method: "POST", Path: "/mark_read", Group: groupPost, Form: mail, Doc: `Marks a mail as read; key is "" when there is no such mail.`, Out: apidoc.Type[mailKeyOut](), Errors: errs},
		{Method: "POST", Path: "/delete", Group: groupPost, Form: mail, Doc: "Deletes a mail, and its nonce.", Out: apidoc.Type[mailKeysOut](), Errors: errs},
		{Method: "POST", Path: "/delete_read", Group: groupPost, Form: box, Doc: "Deletes the mails that were read.", Out: apidoc.Type[mailKeysOut](), Errors: errs},
		{Method: "GET", Path: "/admin/mail/box", Group: groupPost, Query: box, Doc: "All mails; new ones stay new.", Out: apidoc.Type[mailsOut](), Errors: errs},
		{Method: "POST", Path: "/admin/mail/reindex", Group: groupPost, Form: box, Doc: "Builds the index of a mailbox again from its files.", Out: apidoc.Type[done](), Errors: errs},
	}
}
