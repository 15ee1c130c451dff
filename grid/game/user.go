package game

import "slices"

// MaxUsers is how many users one game can know, those who left included: owner numbers are a byte.
const MaxUsers = 255

// users are those who ever joined a game, by number. Everything here depends on the order of events alone.
type users struct {
	list     []User
	owner    int    // index by number, -1 for nobody
	sequence uint64 // of joining and leaving
}

// byID returns the user, nil for one who never joined.
func (us *users) byID(id string) *User {
	for i := range us.list {
		if us.list[i].ID == id {
			return &us.list[i]
		}
	}
	return nil
}

// byNumber returns the user with that number, nil if there is none.
func (us *users) byNumber(n int) *User {
	for i := range us.list {
		if int(us.list[i].Number) == n {
			return &us.list[i]
		}
	}
	return nil
}

// present returns a user who has not left.
func (us *users) present(id string) *User {
	if u := us.byID(id); u != nil && u.Present {
		return u
	}
	return nil
}

func (us *users) ownerID() string {
	if u := us.byNumber(us.owner); u != nil {
		return u.ID
	}
	return ""
}

// taken says whether another user has the colour.
func (us *users) taken(c Colour, id string) bool {
	return slices.ContainsFunc(us.list, func(u User) bool { return u.Colour == c && u.ID != id })
}

func (us *users) colourFor(want Colour, id string) Colour {
	return chooseColour(want, id, func(c Colour) bool { return us.taken(c, id) })
}

// join adds a user or brings one back, with a number below most. Somebody who is present already is only renamed, so a
// client that lost its connection may join again. Error: ErrFull.
func (us *users) join(id, name string, want Colour, most int) (*User, error) {
	u := us.byID(id)
	switch {
	case u != nil && u.Present:
		u.Name = name
		return u, nil
	case u == nil:
		n := us.freeNumber(most)
		if n < 0 {
			return nil, ErrFull
		}
		us.list = slices.DeleteFunc(us.list, func(v User) bool { return int(v.Number) == n })
		at, _ := slices.BinarySearchFunc(us.list, n, func(v User, n int) int { return int(v.Number) - n })
		us.list = slices.Insert(us.list, at, User{ID: id, Number: uint8(n), Colour: AnyColour})
		u = &us.list[at]
	}
	if want == AnyColour {
		want = u.Colour // the one from before, if there was one
	}
	u.Name, u.Present, u.Colour = name, true, us.colourFor(want, id)
	us.sequence++
	u.joined = us.sequence
	if us.byNumber(us.owner) == nil {
		us.owner = int(u.Number)
	}
	return u, nil
}

// freeNumber is the lowest number nobody ever had, then that of who left first; -1 when all are present.
func (us *users) freeNumber(most int) int {
	most = min(most, MaxUsers)
	first := -1
	var left uint64
	for n := range most {
		u := us.byNumber(n)
		if u == nil {
			return n
		}
		if !u.Present && (first < 0 || u.left < left) {
			first, left = n, u.left
		}
	}
	return first
}

// leave marks a user as gone. The game passes to who came next after its owner.
func (us *users) leave(n int) bool {
	u := us.byNumber(n)
	if u == nil || !u.Present {
		return false
	}
	us.sequence++
	u.Present, u.left = false, us.sequence
	if us.owner == n {
		us.owner = us.heir()
	}
	return true
}

// heir is the number of the user present for the longest time, -1 for nobody.
func (us *users) heir() int {
	next := -1
	var joined uint64
	for _, u := range us.list {
		if u.Present && (next < 0 || u.joined < joined) {
			next, joined = int(u.Number), u.joined
		}
	}
	return next
}

// count is how many are present.
func (us *users) count() int {
	n := 0
	for _, u := range us.list {
		if u.Present {
			n++
		}
	}
	return n
}
