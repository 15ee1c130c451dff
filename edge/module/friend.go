package module

import (
	"context"
	"errors"
	"strings"
	"time"

	"gosper/broker"
	"gosper/broker/post"
	"gosper/protocol"
)

// friendFunctions are the friends of a player in a world.
func friendFunctions() []Function {
	const needs = NeedLogin | NeedWorld
	return []Function{
		define(Function{Route: "/friend/request", Gate: "request_friend", Needs: needs, Class: ClassWrite,
			Doc:     "Asks a player (gn_target or uid_target) to become a friend, by a mail whose key accepts it once.",
			Example: `{"gn_target":"Ann"}`}, requestFriend),
		define(Function{Route: "/friend/respond", Gate: "respond_friend", Needs: needs, Class: ClassWrite,
			Doc:     "Answers a request by the key of its mail: yes, or no with accept false.",
			Example: `{"key":"0199a1b2c3d4e5f60718293a4b5c6d7e","accept":true}`}, respondFriend),
		define(Function{Route: "/friend/remove", Gate: "remove_friend", Needs: needs, Class: ClassWrite,
			Doc:     "Ends a friendship (gn_target or uid_target), on both sides.",
			Example: `{"gn_target":"Ann"}`}, removeFriend),
		define(Function{Route: "/friend/all", Gate: "get_all_friend", Needs: needs, Class: ClassRead,
			Doc:     "Lists the friends, who of them is here, and who has got the gift of the day.",
			Example: `{}`}, allFriends),
		define(Function{Route: "/friend/find", Gate: "find_person", Needs: needs, Class: ClassLook,
			Doc:     "Finds the player of a name (gn_target) or account (uid_target), and players whose names begin like it.",
			Example: `{"gn_target":"An"}`}, findPerson),
	}
}

// whom names another player of the world.
type whom struct {
	Name string `json:"gn_target"`
	UID  string `json:"uid_target"`
}

// personOut is another player as clients see one.
type personOut struct {
	Name   string `json:"gn"`
	UID    string `json:"uid"`
	Exp    int    `json:"exp"`
	Online bool   `json:"online"`
}

func (t *Tools) personOut(world string, p *player) personOut {
	return personOut{Name: p.Name, UID: p.Account, Exp: p.Exp, Online: t.presence.present(world, p.Name)}
}

// Subjects of mails that clients show in their own words.
const (
	subjectFriendRequest = "FRIEND_REQUEST"
	subjectFriendGift    = "FRIEND_GIFT"
)

// friendAsk is how long a player cannot ask the same player again, unless it was answered.
const friendAsk = 24 * time.Hour

func friendAskKey(world, from, to string) string { return "friendask." + world + "." + from + "." + to }

func requestFriend(t *Tools, c *Call, in *whom) (personOut, error) {
	if t.post == nil {
		return personOut{}, faultNoPost
	}
	if fault := t.muted(&c.Who, t.now()); fault != nil {
		return personOut{}, fault
	}
	to, err := t.findPlayer(c.Context, c.Who.World, in.Name, in.UID)
	if err != nil {
		return personOut{}, err
	}
	me, world := c.Who.Account, c.Who.World
	if _, err := t.befriend(c.Context, world, me, to.Account); err != nil {
		return personOut{}, err // what stands against it now; it is looked at again when it is accepted
	}
	ask := friendAskKey(world, me, to.Account)
	if err := t.registry.Create(c.Context, ask, nil, friendAsk); errors.Is(err, broker.ErrExists) {
		return personOut{}, refuseGate(protocol.StatusInvalid, 95, "you have asked this player already: wait for the answer")
	} else if err != nil {
		return personOut{}, err
	}
	if err := t.sendRequest(c, &to); err != nil {
		if undo := t.registry.Delete(c.Context, ask); undo != nil {
			t.log.Warn("a friend cannot be asked again today", "error", undo)
		}
		return personOut{}, err
	}
	return t.personOut(world, &to), nil
}

// sendRequest mails a request within the limit of a day.
func (t *Tools) sendRequest(c *Call, to *player) error {
	most := t.social.friends.Get().RequestDay
	if err := t.takeDaily(c.Context, "friend request", &c.Who, most); err != nil {
		var over *Fault
		if errors.As(err, &over) {
			return refuseGate(over.Status, 96, over.Message)
		}
		return err
	}
	box := post.Box{World: c.Who.World, UID: to.Account}
	m := post.Mail{Kind: post.FriendRequest, From: c.Who.Name, Subject: subjectFriendRequest, Fields: map[string]string{"uid_sender": c.Who.Account}}
	var err error
	if m.Key, err = t.post.Send(c.Context, box, m); err != nil {
		t.giveDaily(c.Context, "friend request", &c.Who)
		return postFault(err)
	}
	if err := t.registerMail(c.Context, box, &m); err != nil && !errors.Is(err, broker.ErrExists) {
		t.log.Warn("a mail has no nonce for services; players can accept it", "key", m.Key, "error", err)
	}
	return nil
}

type respondIn struct {
	Key    string `json:"key"`
	Accept *bool  `json:"accept"` // missing: yes
}

func respondFriend(t *Tools, c *Call, in *respondIn) (personOut, error) {
	me, world := c.Who.Account, c.Who.World
	yes := in.Accept == nil || *in.Accept
	m, err := t.acceptMail(c.Context, &c.Who, in.Key, post.FriendRequest, func(m *post.Mail) ([]broker.Op, error) {
		if !yes {
			return nil, nil
		}
		sender := m.Fields["uid_sender"]
		if _, err := t.findPlayer(c.Context, world, "", sender); err != nil {
			return nil, err
		}
		return t.befriend(c.Context, world, me, sender)
	})
	if err != nil {
		return personOut{}, err
	}
	sender := m.Fields["uid_sender"]
	if err := t.registry.Delete(c.Context, friendAskKey(world, sender, me)); err != nil {
		t.log.Warn("a friend cannot be asked again today", "error", err)
	}
	if yes {
		t.tellFriends(world, me, sender, "added")
	}
	p, err := t.loadPlayer(c.Context, world, sender)
	return t.personOut(world, &p), err
}

// friendRoute is the push that tells both sides of a friendship of its beginning and end.
const friendRoute = "/friend/changed"

// friendPush is its content.
type friendPush struct {
	World  string `json:"world"`
	UID    string `json:"uid"`    // of the other side
	Change string `json:"change"` // "added" or "removed"
}

func (t *Tools) tellFriends(world, a, b, change string) {
	t.tellUser(a, friendRoute, friendPush{world, b, change})
	t.tellUser(b, friendRoute, friendPush{world, a, change})
}

func removeFriend(t *Tools, c *Call, in *whom) (personOut, error) {
	p, err := t.findPlayer(c.Context, c.Who.World, in.Name, in.UID)
	if err != nil {
		return personOut{}, err
	}
	were, err := t.unfriend(c.Context, c.Who.World, c.Who.Account, p.Account)
	switch {
	case err != nil:
		return personOut{}, err
	case p.Account == c.Who.Account:
		return personOut{}, faultSelf
	case !were:
		return personOut{}, faultNoFriend
	}
	t.tellFriends(c.Who.World, c.Who.Account, p.Account, "removed")
	return t.personOut(c.Who.World, &p), nil
}

var faultNoFriend = refuseGate(protocol.StatusInvalid, 97, "this player is no friend of yours")

// friendOut is one friend.
type friendOut struct {
	personOut
	Since  int64 `json:"since"`  // unix milliseconds
	Gifted bool  `json:"gifted"` // has got the gift of the day
}

type friendsOut struct {
	Friends []friendOut `json:"friends"`
	Max     int         `json:"max"`
}

func allFriends(t *Tools, c *Call, _ *empty) (friendsOut, error) {
	out := friendsOut{Friends: []friendOut{}, Max: t.social.friends.Get().Most}
	list, err := t.loadFriends(c.Context, c.Who.World, c.Who.Account)
	if err != nil {
		return out, err
	}
	today := t.today()
	for _, f := range list.Friends {
		p, err := t.loadPlayer(c.Context, c.Who.World, f.UID)
		if err != nil {
			return out, err
		}
		out.Friends = append(out.Friends, friendOut{t.personOut(c.Who.World, &p), f.Since.UnixMilli(), f.Gift == today})
	}
	return out, nil
}

// today is the day (UTC) by which what happens once a day is counted.
func (t *Tools) today() string { return t.now().UTC().Format(time.DateOnly) }

// findMost is the most players that a search names besides the one of exactly that name.
const findMost = 20

type foundOut struct {
	Person *personOut  `json:"person"` // null without one
	Family string      `json:"family,omitempty"`
	Friend bool        `json:"friend"`
	Like   []personOut `json:"like"` // whose names begin like it
}

func findPerson(t *Tools, c *Call, in *whom) (foundOut, error) {
	out := foundOut{Like: []personOut{}}
	p, err := t.findPlayer(c.Context, c.Who.World, in.Name, in.UID)
	var nobody *Fault
	switch {
	case err == nil:
		person := t.personOut(c.Who.World, &p)
		out.Person = &person
		if out.Family, _, err = t.familyOf(c.Context, c.Who.World, p.Account); err != nil {
			return out, err
		}
	case errors.As(err, &nobody) && in.UID == "" && protocol.ValidDisplayName(in.Name):
	default:
		return out, err
	}
	list, err := t.loadFriends(c.Context, c.Who.World, c.Who.Account)
	if err != nil {
		return out, err
	}
	out.Friend = out.Person != nil && list.find(p.Account) >= 0
	if in.UID == "" {
		out.Like, err = t.namesLike(c.Context, c.Who.World, in.Name, p.Account)
	}
	if err == nil && out.Person == nil && len(out.Like) == 0 {
		err = nobody
	}
	return out, err
}

// namesLike returns players whose names begin like name, but for the account of exactly that name.
func (t *Tools) namesLike(ctx context.Context, world, name, but string) ([]personOut, error) {
	found := []personOut{}
	records, err := t.store.List(ctx, playerNameKey(world, strings.TrimSpace(name)), "", findMost+1)
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		account := string(r.Value)
		if account == but || len(found) == findMost {
			continue
		}
		p, err := t.loadPlayer(ctx, world, account)
		if err != nil {
			return nil, err
		}
		if p.Name != "" {
			found = append(found, t.personOut(world, &p))
		}
	}
	return found, nil
}
