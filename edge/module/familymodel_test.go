package module

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"gosper/broker"
	"gosper/broker/memory"
	"gosper/broker/worker"
	"gosper/edge/config"
	"gosper/protocol"
)

// village is a naive model of the families of one world: who is in which, with which role.
type village struct {
	roles  map[string]map[string]Role // family -> player -> role
	kicks  map[string]int
	ending map[string]bool
	rested map[string]bool // names that were given up
	most   int
}

func (v *village) of(player string) (string, Role) {
	for name, members := range v.roles {
		if role, ok := members[player]; ok {
			return name, role
		}
	}
	return "", 0
}

// do changes the model and says whether the call should succeed.
func (v *village) do(what, by, target, name string, role Role) bool {
	mine, my := v.of(by)
	theirs, their := v.of(target)
	officer := mine != "" && my >= RoleAdmin
	switch what {
	case "create":
		if mine != "" || v.roles[name] != nil || v.rested[name] {
			return false
		}
		v.roles[name] = map[string]Role{by: RoleOwner}
	case "leave":
		if mine == "" || my == RoleOwner {
			return false
		}
		delete(v.roles[mine], by)
	case "remove":
		if !officer || by == target || theirs != mine || their >= my || v.kicks[mine] >= 3 {
			return false
		}
		v.kicks[mine]++
		delete(v.roles[mine], target)
	case "role":
		if !officer || by == target || theirs != mine || their >= my || role >= my || role == their {
			return false
		}
		v.roles[mine][target] = role
	case "owner":
		if my != RoleOwner || by == target || theirs != mine {
			return false
		}
		v.roles[mine][by], v.roles[mine][target] = RoleBasic, RoleOwner
		delete(v.ending, mine)
	case "join": // an officer lets the target in
		if !officer || theirs != "" || v.ending[mine] || len(v.roles[mine]) >= v.most {
			return false
		}
		v.roles[mine][target] = RoleBasic
	case "rename":
		if !officer {
			return false
		}
		v.move(mine, name) // the test takes a name that nobody had
	case "disband":
		if !officer || v.ending[mine] {
			return false
		}
		v.ending[mine] = true
	case "keep":
		if !officer || !v.ending[mine] {
			return false
		}
		delete(v.ending, mine)
	}
	return true
}

// move renames a family. Its old name rests.
func (v *village) move(from, to string) {
	v.roles[to], v.kicks[to], v.ending[to] = v.roles[from], v.kicks[from], v.ending[from]
	delete(v.roles, from)
	delete(v.kicks, from)
	delete(v.ending, from)
	if !v.ending[to] {
		delete(v.ending, to)
	}
	v.rested[from] = true
}

var familyRoutes = map[string]string{"create": "/family/create", "leave": "/family/leave", "remove": "/family/remove", "role": "/family/setRole",
	"owner": "/family/abdicate", "rename": "/family/changeName", "disband": "/family/disband", "keep": "/family/cancelDisband"}

// Goal: whatever players call in whatever order, families are what a naive model says, and the records agree with each
// other. Method: random calls of six players in a world of their own, compared after each call.
func TestFamiliesLikeModel(t *testing.T) {
	r := newTown(t)
	tools := r.table.tools
	const most = 4
	r.setFamilies(func(g *FamilyGeneral) { g.Members.Max, g.Kicks = most, 3 })
	world := 0
	rapid.Check(t, func(t *rapid.T) {
		world++
		place := fmt.Sprintf("model%d", world)
		players := []string{"ann", "ben", "cleo", "dora", "emil", "finn"}
		for _, name := range players {
			if err := tools.savePlayer(context.Background(), place, player{}, player{Account: name, Name: name, Listed: true}); err != nil {
				t.Fatal(err)
			}
		}
		model := &village{roles: map[string]map[string]Role{}, kicks: map[string]int{}, ending: map[string]bool{}, rested: map[string]bool{}, most: most}
		fresh := 0
		for range rapid.IntRange(1, 40).Draw(t, "calls") {
			what := rapid.SampledFrom([]string{"create", "create", "join", "join", "join", "join", "leave", "remove", "role", "role", "owner", "rename", "disband", "keep"}).Draw(t, "what")
			by, target := rapid.SampledFrom(players).Draw(t, "by"), rapid.SampledFrom(players).Draw(t, "target")
			name := rapid.SampledFrom([]string{"foxes", "owls", "bears"}).Draw(t, "name")
			if what == "rename" {
				fresh++
				name = fmt.Sprintf("new%d", fresh)
			}
			role := rapid.SampledFrom([]Role{RoleBasic, RoleElite, RoleAdmin, RoleOwner}).Draw(t, "role")
			want := model.do(what, by, target, name, role)
			status := r.family(place, by, what, target, name, role)
			if (status == protocol.StatusOK) != want {
				t.Fatalf("%s %s %s %s %d: status %d, the model says %v", what, by, target, name, role, status, want)
			}
			if err := r.compare(place, players, model); err != nil {
				t.Fatalf("after %s by %s of %s: %v", what, by, target, err)
			}
		}
	})
}

// town is a rig with timers, whose jobs the test does.
type town struct {
	*rig
	schedule *memory.Schedule
}

func newTown(t *testing.T) *town {
	queue := memory.NewQueue(broker.QueueOptions{})
	b := &town{newRig(t, nil), memory.NewSchedule(queue)}
	b.table.tools.families.schedule = b.schedule
	t.Cleanup(func() {
		if err := errors.Join(b.schedule.Close(), queue.Close()); err != nil {
			t.Error(err)
		}
	})
	return b
}

// setFamilies changes the figures of families, before the first call.
func (r *rig) setFamilies(change func(*FamilyGeneral)) {
	s := DefaultFamilySettings()
	change(&s.General)
	r.table.tools.families.settings = config.Bind(nil, "family", s, (*FamilySettings).complete)
}

// family makes a call of a player, or lets the target in.
func (b *town) family(world, by, what, target, name string, role Role) protocol.Status {
	who := Identity{Account: by, World: world, Name: by, LoggedIn: true}
	if what == "join" {
		return b.letIn(who, target)
	}
	content := fmt.Sprintf(`{"name":%q,"gn_target":%q,"role":%d}`, name, target, role)
	return b.do(&Call{Route: familyRoutes[what], Door: "ws", Content: []byte(content), Who: who}).Status
}

// letIn has an officer let somebody in, as behind a request.
func (r *rig) letIn(who Identity, target string) protocol.Status {
	t := r.table.tools
	p, err := t.loadPlayer(context.Background(), who.World, who.Account)
	if err != nil || p.FamilyID == "" {
		return protocol.StatusMissing
	}
	_, err = t.join(&Call{Context: context.Background(), Who: who}, who.World, p.FamilyID, target)
	if err == nil {
		return protocol.StatusOK
	}
	fault, internal := faultOf(err)
	if internal {
		r.t.Error(err)
	}
	return fault.Status
}

// compare reads the records of a world and tells how they differ from the model, or from each other.
func (b *town) compare(world string, players []string, model *village) error {
	records, err := b.store.List(context.Background(), familyKey(world, ""), "", 100)
	if err != nil {
		return err
	}
	got := map[string]map[string]Role{}
	ids := map[string]string{}
	for _, r := range records {
		f, err := readFamily(r)
		if err != nil {
			return err
		}
		got[f.Name] = map[string]Role{}
		for _, m := range f.Members {
			got[f.Name][m.Account] = m.Role
			ids[m.Account] = f.ID
		}
		if owners := slices.Collect(maps.Values(got[f.Name])); len(owners) != len(f.Members) || strings.Count(fmt.Sprint(owners), "10") != 1 {
			return fmt.Errorf("%s has members %v", f.Name, f.Members)
		}
		if f.Disband.IsZero() == model.ending[f.Name] {
			return fmt.Errorf("%s ends at %v", f.Name, f.Disband)
		}
		if named, err := b.table.tools.familyNamed(context.Background(), world, f.Name); err != nil || named == nil || named.ID != f.ID {
			return fmt.Errorf("%s is not found by its name: %v %v", f.Name, named, err)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(model.roles) {
		return fmt.Errorf("got %v, want %v", got, model.roles)
	}
	for _, name := range players {
		p, err := b.table.tools.loadPlayer(context.Background(), world, name)
		if err != nil || p.FamilyID != ids[name] {
			return fmt.Errorf("%s names family %q and is in %q: %v", name, p.FamilyID, ids[name], err)
		}
	}
	return nil
}

// Goal: a family ends at its time, all members are free and told, its name rests, and an end that was taken back or set
// anew is safe from an old job. Method: the job by hand, at the right and at wrong times; the repair of a lost timer.
func TestFamilyEnds(t *testing.T) {
	b := newTown(t)
	ann, ben := b.play("0", "Ann", "foxes"), b.play("0", "Ben", "foxes")
	second := b.connect()
	second.must("/session/resume", `{"token":"`+ben.token()+`"}`, nil)
	var out disbandFamilyOut
	ann.must("/family/disband", `{}`, &out)
	if out.Timer != 24*3600 {
		t.Errorf("it ends in %d s", out.Timer)
	}
	f := b.familyNow("0", "foxes")
	timer, err := b.schedule.Get(t.Context(), familyTimer(f.ID))
	if err != nil || !timer.Due.Equal(f.Disband) {
		t.Fatalf("timer %+v, %v; the record says %v", timer, err, f.Disband)
	}
	ann.must("/family/cancelDisband", `{}`, nil)
	if _, err := b.schedule.Get(t.Context(), familyTimer(f.ID)); err == nil {
		t.Error("the timer is still there")
	}
	b.runEnd(timer)
	if b.familyNow("0", "foxes") == nil {
		t.Fatal("the job of an end that was taken back has ended the family")
	}
	b.pass(1e9)
	ann.must("/family/disband", `{}`, nil)
	b.runEnd(timer)
	if f = b.familyNow("0", "foxes"); f == nil {
		t.Fatal("the job of an older end has ended the family")
	}
	if err := b.schedule.Cancel(t.Context(), familyTimer(f.ID)); err != nil {
		t.Fatal(err)
	}
	if err := b.table.RepairFamilies(t.Context()); err != nil {
		t.Fatal(err)
	}
	timer, err = b.schedule.Get(t.Context(), familyTimer(f.ID))
	if err != nil {
		t.Fatal("the repair has set no timer:", err)
	}
	b.runEnd(timer)
	b.runEnd(timer) // a second time nothing happens
	for _, p := range []*peer{ann, ben, second} {
		p.await("the end", func(got []string) bool {
			return strings.Contains(strings.Join(got, "\n"), `"family":"","name":"foxes","change":"ended"`)
		})
		if p.identity().Family != "" || slices.Contains(p.Subscriptions(), "chat.0.family.foxes") {
			t.Errorf("%s is still in the room: %v", p.identity().Name, p.Subscriptions())
		}
	}
	if n := b.count(familyPrefix) + b.count(familyEndPrefix); n != 0 {
		t.Errorf("%d records stay", n)
	}
	if reply := ben.call("/family/create", `{"name":"Foxes"}`); reply.Status != protocol.StatusInvalid {
		t.Errorf("the name of a family that just ended: %d %s", reply.Status, reply.Message)
	}
	b.pass(b.table.tools.options.ChatKeep.Age + 1e9)
	ben.must("/family/create", `{"name":"foxes"}`, nil)
}

// runEnd does the job of a timer.
func (b *town) runEnd(timer broker.Timer) {
	b.t.Helper()
	job := &worker.Job{}
	err := json.Unmarshal(timer.Body, &job.Message)
	if err == nil {
		err = b.table.tools.endFamily(context.Background(), job)
	}
	if err != nil {
		b.t.Error(err)
	}
}

// familyNow reads a family by its name; nil for none.
func (r *rig) familyNow(world, name string) *family {
	r.t.Helper()
	f, err := r.table.tools.familyNamed(context.Background(), world, name)
	if err != nil {
		r.t.Fatal(err)
	}
	return f
}

// token returns a session token of the peer.
func (p *peer) token() string {
	p.rig.t.Helper()
	token, err := p.rig.table.tools.sessionToken(p.identity(), p.identity().Login)
	if err != nil {
		p.rig.t.Fatal(err)
	}
	return token
}
