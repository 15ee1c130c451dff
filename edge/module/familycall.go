package module

import (
	"context"
	"fmt"

	"gosper/protocol"
)

// familyFunctions are what players can do with families. FAMILIES.md tells clients about them.
func familyFunctions() []Function {
	const write, read = ClassWrite, ClassRead
	const needs = NeedLogin | NeedWorld
	return []Function{
		define(Function{Route: "/family/create", Gate: "create_family", Needs: needs, Class: write,
			Doc: "Founds a family, with the caller as its owner.", Example: `{"name":"foxes","icon":3}`}, createFamily),
		define(Function{Route: "/family/leave", Gate: "leave_family", Needs: needs, Class: write,
			Doc: "Leaves the family. The owner cannot.", Example: `{}`}, leaveFamily),
		define(Function{Route: "/family/remove", Gate: "remove_user_family", Needs: needs, Class: write,
			Doc: "Removes a member of a lower role.", Example: `{"gn_target":"Ben"}`}, removeFromFamily),
		define(Function{Route: "/family/invite", Gate: "invite_user_family", Needs: needs, Class: write,
			Doc: "Invites a player by mail.", Example: `{"gn_target":"Ben"}`}, inviteToFamily),
		define(Function{Route: "/family/request", Gate: "request_join_family", Needs: needs, Class: write,
			Doc: "Asks the officers of a family by mail to be let in.", Example: `{"name":"foxes"}`}, requestFamily),
		define(Function{Route: "/family/respond", Gate: "respond_family", Needs: needs, Class: write,
			Doc:     "Accepts an invitation or, as an officer, a request: the key is that of the mail and counts once. With accept false it is turned down.",
			Example: `{"key":"263882790666882119330412398567834650213","accept":true}`}, respondFamily),
		define(Function{Route: "/family/notice", Gate: "set_notice_family", Needs: needs, Class: write,
			Doc: "Puts up the notice of the family.", Example: `{"msg":"Meet at eight."}`}, noticeFamily),
		define(Function{Route: "/family/blackboard", Gate: "set_blackboard_family", Needs: needs, Class: write,
			Doc: "Writes on the board of the family.", Example: `{"msg":"Friendly foxes wanted."}`}, boardFamily),
		define(Function{Route: "/family/icon", Gate: "set_icon_family", Needs: needs, Class: write,
			Doc: "Changes the icon of the family.", Example: `{"icon":4}`}, iconFamily),
		define(Function{Route: "/family/setRole", Gate: "set_role_family", Needs: needs, Class: write,
			Doc: "Gives a member another role, below that of the caller: 0 member, 4 elite, 8 admin.", Example: `{"gn_target":"Ben","role":8}`}, roleFamily),
		define(Function{Route: "/family/changeName", Gate: "change_name_family", Needs: needs, Class: write,
			Doc: "Gives the family another name; its talk moves to a new room.", Example: `{"name":"wolves"}`}, renameFamily),
		define(Function{Route: "/family/abdicate", Gate: "abdicate_family", Needs: needs, Class: write,
			Doc: "Hands the family over to a member, who is its owner then; a disbanding is taken back.", Example: `{"gn_target":"Ben"}`}, abdicateFamily),
		define(Function{Route: "/family/disband", Gate: "disband_family", Needs: needs, Class: write,
			Doc: "Ends the family after some hours.", Example: `{}`}, disbandFamily),
		define(Function{Route: "/family/cancelDisband", Gate: "cancel_disband_family", Needs: needs, Class: write,
			Doc: "Takes the end of the family back.", Example: `{}`}, cancelDisbandFamily),
		define(Function{Route: "/family/checkIn", Gate: "check_in_family", Needs: needs, Class: write,
			Doc: "Checks in for the day, which earns experience for player and family.", Example: `{}`}, checkInFamily),
		define(Function{Route: "/family/getAll", Gate: "get_all_family", Needs: needs, Class: read,
			Doc: "Reads the caller's family: members, notice, board, news.", Example: `{}`}, allOfFamily),
		define(Function{Route: "/family/search", Gate: "search_family", Needs: needs, Class: read,
			Doc: "Finds families whose names begin with a text.", Example: `{"name":"fox"}`}, searchFamily),
		define(Function{Route: "/family/random", Gate: "get_random_family", Needs: needs, Class: read,
			Doc: "Names some families of the world by chance.", Example: `{"number":5}`}, randomFamily),
		define(Function{Route: "/family/getConfig", Gate: "get_config_family", Needs: needs, Class: read,
			Doc: "Reads the limits of families.", Example: `{}`}, configFamily),
	}
}

type familyNameIn struct {
	Name  string `json:"name"`
	Name2 string `json:"fname"`
}

func (in *familyNameIn) text() string { return first(in.Name, in.Name2) }

type createFamilyIn struct {
	familyNameIn
	Icon int `json:"icon"`
}

type createFamilyOut struct {
	Name string `json:"name"`
	Icon int    `json:"icon"`
}

func createFamily(t *Tools, c *Call, in *createFamilyIn) (createFamilyOut, error) {
	name := in.text()
	general := t.families.settings.Get().General
	if err := checkFamilyName(name, &general); err != nil {
		return createFamilyOut{}, err
	}
	if in.Icon < 0 {
		return createFamilyOut{}, refuseGate(protocol.StatusRange, 94, "icon must not be negative")
	}
	f := &family{ID: newLoginID(), World: c.Who.World, Name: name, Icon: in.Icon}
	for range mostTries {
		a := t.newAct(f)
		f.Created = a.now.UTC()
		f.Members = []member{{c.Who.Account, RoleOwner, f.Created}}
		if err := t.found(c.Context, a); err != nil {
			return createFamilyOut{}, err
		}
		err := t.commitAct(c.Context, a)
		if overtaken(err) {
			continue
		}
		if err != nil {
			return createFamilyOut{}, err
		}
		t.announce(c.Context, f, familyChanged{Change: "created", By: a.me.Name}, c.Who.Account)
		return createFamilyOut{f.Name, f.Icon}, nil
	}
	return createFamilyOut{}, faultBusy
}

// found checks that the owner of a new family may have it, and that its name is free.
func (t *Tools) found(ctx context.Context, a *act) (err error) {
	f := a.family
	if a.me, err = t.loadPlayer(ctx, f.World, f.Members[0].Account); err != nil {
		return err
	}
	switch {
	case a.me.revision == 0:
		return faultNoWorld
	case a.me.FamilyID != "":
		return refuseGate(protocol.StatusInvalid, 98, "you are in a family already")
	}
	if err := t.mayJoin(&a.me, &a.general, 93, 95); err != nil {
		return err
	}
	op, ok, err := t.takeName(ctx, f.World, f.Name, f.ID)
	if err != nil {
		return err
	}
	if !ok {
		return refuseGate(protocol.StatusInvalid, 96, "the name is taken, or was given up a short time ago")
	}
	a.ops = append(a.ops, op)
	p := a.me
	p.FamilyID = f.ID
	a.put(p)
	return nil
}

// mayJoin refuses a player who has left a family a short time ago, or is of a level too low, with a code for each.
func (t *Tools) mayJoin(p *player, g *FamilyGeneral, rest, level protocol.Status) error {
	if wait := g.restOf(p, t.now()); wait > 0 {
		f := refuseGate(protocol.StatusRefused, rest, "the player has left a family a short time ago")
		f.Data = secondsData{int64(wait.Seconds()) + 1}
		return f
	}
	if t.levelOf(p.Exp) < g.PlayerLevel {
		return refuseGate(protocol.StatusPrerequisite, level, fmt.Sprintf("the player needs level %d", g.PlayerLevel))
	}
	return nil
}

// secondsData tells how long to wait.
type secondsData struct {
	Seconds int64 `json:"seconds"`
}

type leaveFamilyOut struct {
	Rest int64 `json:"cd_time"` // seconds before the next family
}

func leaveFamily(t *Tools, c *Call, _ *empty) (leaveFamilyOut, error) {
	account := c.Who.Account
	a, err := t.changeFamily(c, noFamily(99), func(a *act) error {
		if err := a.family.quit(account); err != nil {
			return err
		}
		p := a.me
		p.FamilyID, p.Left = "", a.now.UnixMilli()
		a.put(p)
		a.family.tell(newsLeave, a.me.Name, "", a.now)
		return nil
	})
	if err != nil {
		return leaveFamilyOut{}, err
	}
	t.announce(c.Context, a.family, familyChanged{Change: "left", By: a.me.Name}, account)
	return leaveFamilyOut{int64(a.general.rest().Seconds())}, nil
}

type targetIn struct {
	Target  string `json:"gn_target"`
	Target2 string `json:"target"`
}

func (in *targetIn) name() string { return first(in.Target, in.Target2) }

type removeFamilyOut struct {
	Name  string `json:"gn"`
	Times int    `json:"rmtimes"` // how many the family may still remove today
	Rest  int64  `json:"cd_time"` // seconds until then
}

func removeFromFamily(t *Tools, c *Call, in *targetIn) (removeFamilyOut, error) {
	var target player
	a, err := t.changeFamily(c, noFamily(99), func(a *act) (err error) {
		if target, err = t.playerNamed(c.Context, c.Who.World, in.name()); err != nil {
			return err
		}
		if err := a.family.kick(c.Who.Account, target.Account, &a.general, a.now); err != nil {
			return err
		}
		p := target
		p.FamilyID = "" // without the wait of those who leave: it was not their wish
		a.put(p)
		a.family.tell(newsRemove, a.me.Name, target.Name, a.now)
		return nil
	})
	if err != nil {
		return removeFamilyOut{}, err
	}
	t.announce(c.Context, a.family, familyChanged{Change: "removed", By: a.me.Name, Target: target.Name}, target.Account)
	return removeFamilyOut{target.Name, a.general.Kicks - a.family.Today.Kicks, tomorrow(a.now)}, nil
}
