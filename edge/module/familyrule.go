package module

import (
	"slices"
	"time"
	"unicode"
	"unicode/utf8"

	"gosper/protocol"
)

// The rules of families: what may become of a record. They read and write nothing else, so that a test can compare them
// with a simple model. Each refusal has the number that clients of the gate know for its function.

func noRight(gate protocol.Status) *Fault {
	return refuseGate(protocol.StatusRefused, gate, "your role in the family does not allow this")
}

func notMember(gate protocol.Status) *Fault {
	return refuseGate(protocol.StatusInvalid, gate, "this player is not in your family")
}

func noFamily(gate protocol.Status) *Fault {
	return refuseGate(protocol.StatusMissing, gate, "Not in a family")
}

// admit takes a player in.
func (f *family) admit(account string, g *FamilyGeneral, now time.Time) error {
	switch {
	case f.find(account) >= 0:
		return refuseGate(protocol.StatusInvalid, 98, "this player is in a family already")
	case !f.Disband.IsZero():
		return refuseGate(protocol.StatusRefused, 97, "the family is about to end")
	case len(f.Members) >= g.Members.Max:
		return familyLimit(refuseGate(protocol.StatusTooMuch, 96, "the family is full"))
	}
	f.Members = append(f.Members, member{account, RoleBasic, now.UTC().Truncate(time.Millisecond)})
	return nil
}

// quit lets a member go.
func (f *family) quit(account string) error {
	role, ok := f.roleOf(account)
	switch {
	case !ok:
		return noFamily(99)
	case role == RoleOwner:
		return refuseGate(protocol.StatusRefused, 98, "the owner cannot leave: hand the family over or disband it")
	}
	f.drop(account)
	return nil
}

func (f *family) drop(account string) {
	f.Members = slices.DeleteFunc(f.Members, func(m member) bool { return m.Account == account })
}

// kick removes a member and counts it.
func (f *family) kick(by, target string, g *FamilyGeneral, now time.Time) error {
	mine, ok := f.roleOf(by)
	theirs, member := f.roleOf(target)
	today := f.today(now)
	switch {
	case !ok:
		return noFamily(99)
	case by == target:
		return refuseGate(protocol.StatusInvalid, 96, "you cannot remove yourself: leave the family")
	case !member:
		return notMember(98)
	case mine < RoleAdmin || theirs >= mine:
		return noRight(97)
	case today.Kicks >= g.Kicks:
		return familyLimit(refuseGate(protocol.StatusRefused, 94, "the family removes no more members today"))
	}
	today.Kicks++
	f.drop(target)
	return nil
}

// invite counts an invitation.
func (f *family) invite(by string, g *FamilyGeneral, now time.Time) error {
	mine, ok := f.roleOf(by)
	today := f.today(now)
	switch {
	case !ok:
		return noFamily(99)
	case mine < RoleAdmin:
		return noRight(98)
	case !f.Disband.IsZero():
		return refuseGate(protocol.StatusRefused, 90, "the family is about to end")
	case today.Invites >= g.Invites:
		return familyLimit(refuseGate(protocol.StatusRefused, 91, "the family invites nobody else today"))
	}
	today.Invites++
	return nil
}

// post puts up a notice and counts it.
func (f *family) post(by, text string, g *FamilyGeneral, now time.Time) error {
	mine, ok := f.roleOf(by)
	today := f.today(now)
	switch {
	case !ok:
		return noFamily(99)
	case mine < RoleAdmin:
		return noRight(98)
	case today.Notices >= g.Notices:
		return familyLimit(refuseGate(protocol.StatusRefused, 97, "the family puts up no more notices today"))
	}
	if err := checkFamilyText(text, g.NoticeMax); err != nil {
		return err
	}
	today.Notices++
	f.Notice = text
	return nil
}

// write writes on the board.
func (f *family) write(by, text string, g *FamilyGeneral) error {
	mine, ok := f.roleOf(by)
	switch {
	case !ok:
		return noFamily(99)
	case mine < RoleAdmin:
		return noRight(98)
	}
	if err := checkFamilyText(text, g.BoardMax); err != nil {
		return err
	}
	f.Board = text
	return nil
}

// checkFamilyText checks what is put up for all members. It may be empty.
func checkFamilyText(text string, most int) error {
	if !utf8.ValidString(text) || slices.ContainsFunc([]rune(text), func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' && r != '\r' }) {
		return refuseGate(protocol.StatusBadCharacters, 96, "msg has characters that are not allowed")
	}
	if utf8.RuneCountInString(text) > most {
		return refuseGate(protocol.StatusTooMuch, 95, "msg is too long")
	}
	return nil
}

// setIcon changes the picture.
func (f *family) setIcon(by string, icon int) error {
	mine, ok := f.roleOf(by)
	switch {
	case icon < 0:
		return refuseGate(protocol.StatusRange, 99, "icon must not be negative")
	case !ok:
		return noFamily(98)
	case mine < RoleAdmin:
		return noRight(97)
	case f.Icon == icon:
		return refuseGate(protocol.StatusInvalid, 96, "the family has this icon already")
	}
	f.Icon = icon
	return nil
}

// setRole gives a member another role below that of who gives it.
func (f *family) setRole(by, target string, role Role) error {
	mine, ok := f.roleOf(by)
	theirs, member := f.roleOf(target)
	switch {
	case role != RoleBasic && role != RoleElite && role != RoleAdmin && role != RoleOwner:
		return refuseGate(protocol.StatusInvalid, 95, "role must be 0, 4 or 8")
	case by == target:
		return refuseGate(protocol.StatusInvalid, 99, "you cannot change your own role")
	case !ok:
		return noFamily(98)
	case !member:
		return notMember(97)
	case theirs == role:
		return refuseGate(protocol.StatusInvalid, 94, "the member has this role already")
	case mine < RoleAdmin || theirs >= mine || role >= mine:
		return noRight(96)
	}
	f.Members[f.find(target)].Role = role
	return nil
}

// rename gives the family another name.
func (f *family) rename(by, name string, g *FamilyGeneral) error {
	if err := checkFamilyName(name, g); err != nil {
		return err
	}
	mine, ok := f.roleOf(by)
	switch {
	case !ok:
		return noFamily(98)
	case mine < RoleAdmin:
		return noRight(97)
	case f.Name == name:
		return refuseGate(protocol.StatusInvalid, 95, "the family has this name already")
	}
	f.Name = name
	return nil
}

// checkFamilyName checks the form of a name.
func checkFamilyName(name string, g *FamilyGeneral) error {
	if !protocol.ValidName(name) {
		return refuseGate(protocol.StatusInvalid, 99, "the name of a family must be 1 to 32 of A-Z a-z 0-9 _ -")
	}
	if len(name) < g.NameMin {
		return refuseGate(protocol.StatusInvalid, 99, "the name of the family is too short")
	}
	return nil
}

// abdicate hands the family over; who did is a plain member then, and the family stays.
func (f *family) abdicate(by, target string) error {
	mine, ok := f.roleOf(by)
	_, member := f.roleOf(target)
	switch {
	case !ok:
		return noFamily(99)
	case !member:
		return notMember(96)
	case mine != RoleOwner:
		return refuseGate(protocol.StatusRefused, 95, "only the owner can hand the family over")
	case by == target:
		return refuseGate(protocol.StatusInvalid, 94, "you are the owner already")
	}
	f.Members[f.find(by)].Role = RoleBasic
	f.Members[f.find(target)].Role = RoleOwner
	f.Disband = time.Time{}
	return nil
}

// end says when the family will be disbanded.
func (f *family) end(by string, g *FamilyGeneral, now time.Time) error {
	mine, ok := f.roleOf(by)
	switch {
	case !ok:
		return noFamily(99)
	case mine < RoleAdmin:
		return noRight(98)
	case !f.Disband.IsZero():
		return refuseGate(protocol.StatusInvalid, 97, "the family is being disbanded already")
	}
	f.Disband = now.Add(g.disbandAfter()).UTC().Truncate(time.Millisecond)
	return nil
}

// keep takes the end back.
func (f *family) keep(by string) error {
	mine, ok := f.roleOf(by)
	switch {
	case !ok:
		return noFamily(99)
	case mine < RoleAdmin:
		return noRight(98)
	case f.Disband.IsZero():
		return refuseGate(protocol.StatusInvalid, 97, "the family is not being disbanded")
	}
	f.Disband = time.Time{}
	return nil
}
