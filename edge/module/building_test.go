package module

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"gosper/broker"
	"gosper/broker/memory"
	"gosper/broker/worker"
	"gosper/grid"
	"gosper/protocol"
)

// site is a Stamper that records.
type site struct {
	mu     sync.Mutex
	stamps []string // "body pattern"
	fails  int      // so many stamps fail first
	gone   bool     // all stamps fail for good
}

func (s *site) Check(_ context.Context, _, body string, _ *grid.Pattern, x, _ int32) error {
	if x < 0 {
		return refuse(protocol.StatusRange, "outside")
	}
	if body == "closed/0" {
		return refuse(protocol.StatusRefused, "join it first")
	}
	return nil
}

func (s *site) Stamp(_ context.Context, _, body string, p *grid.Pattern, _, _ int32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails > 0 {
		s.fails--
		return errors.New("the grid is busy")
	}
	if s.gone {
		return worker.Permanent(errors.New("the game is gone"))
	}
	s.stamps = append(s.stamps, body+" "+p.Name)
	return nil
}

func (s *site) stamped() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.stamps, ", ")
}

// builders is a rig whose table builds.
type builders struct {
	*rig
	queue    *memory.Queue
	schedule *memory.Schedule
	site     *site
	workers  *worker.Runtime
}

func newBuilders(t *testing.T, kinds BuildingKinds) *builders {
	b := &builders{rig: newRig(t, nil), site: &site{}}
	b.rig.table.Close() // another takes its place
	b.queue = memory.NewQueue(broker.QueueOptions{})
	b.schedule = memory.NewSchedule(b.queue)
	o := b.rig.table.tools.options
	table, err := New(Config{Options: o, Store: b.store, Registry: b.reg, Bus: b.bus, Jobs: b.queue, Schedule: b.schedule,
		Buildings: kinds, Stamper: b.site, Secret: []byte("0123456789abcdef"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	b.rig.table = table
	t.Cleanup(func() {
		b.stop()
		if err := errors.Join(b.schedule.Close(), b.queue.Close()); err != nil {
			t.Error(err)
		}
	})
	b.start()
	return b
}

func (b *builders) start() {
	tube, ok := b.table.BuildingTube()
	if !ok {
		b.t.Fatal("nothing is built")
	}
	tube.Base, tube.Cap = time.Millisecond, 10*time.Millisecond
	var err error
	if b.workers, err = worker.Start(worker.Options{Queue: b.queue, Tubes: []worker.Tube{tube}}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *builders) stop() {
	if err := b.workers.Stop(context.Background()); err != nil {
		b.t.Error(err)
	}
}

// hours are kinds that do not finish while a test runs.
func hours() BuildingKinds {
	return BuildingKinds{"house": {{Seconds: 3600, Pattern: "block"}, {Seconds: 7200, Pattern: "beehive"}}}
}

// quick are kinds that finish while a test waits.
func quick() BuildingKinds {
	return BuildingKinds{"house": {{Seconds: 0.02, Pattern: "block"}, {Seconds: 0.02, Pattern: "beehive"}}}
}

// Goal: a building is stamped at its time and every connection of its empire is told, once a level, others not. Method: two
// connections of one account, one of another; two levels.
func TestBuildingFinishes(t *testing.T) {
	b := newBuilders(t, quick())
	b.site.fails = 2 // it is tried again
	b.play("0", "Ann", "")
	other := b.play("0", "Bob", "")
	two := b.connect()
	two.must("/user/loginUnique", `{"unique_id":"device-0Ann"}`, nil)
	var made buildingOut
	one := b.connect()
	one.must("/user/loginUnique", `{"unique_id":"device-0Ann"}`, nil)
	one.must("/building/upgrade", `{"body_id":"7/0","kind":"house","x":3,"y":4}`, &made)
	if made.Target != 1 || made.Level != 0 || made.Ends-made.Starts != 20 {
		t.Errorf("%+v", made)
	}
	news := func(level string) func([]string) bool {
		return func(got []string) bool {
			return strings.Contains(strings.Join(got, "\n"), `"building_id":"`+made.ID+`","body_id":"7/0","empire_id":"`+made.Empire+`","level":`+level)
		}
	}
	one.await("level 1", news("1"))
	one.must("/building/upgrade", `{"building_id":"`+made.ID+`"}`, nil)
	got := one.await("level 2", news("2"))
	if n := strings.Count(strings.Join(got, "\n"), "/building/upgraded"); n != 2 {
		t.Errorf("told %d times", n)
	}
	if s := b.site.stamped(); !strings.EqualFold(s, "7/0 block, 7/0 beehive") {
		t.Error(s)
	}
	if r := one.call("/building/upgrade", `{"building_id":"`+made.ID+`"}`); r.Status != protocol.StatusRange {
		t.Errorf("%+v", r)
	}
	other.mu.Lock()
	defer other.mu.Unlock()
	for _, line := range other.got {
		if strings.Contains(line, "/building/") {
			t.Errorf("another account got %s", line)
		}
	}
}

// Goal: constructions wait for each other, and what is cancelled lets the later ones begin earlier. Method: three of an
// hour; the second, then the first are cancelled.
func TestBuildingsShift(t *testing.T) {
	b := newBuilders(t, hours())
	p := b.play("0", "Ann", "")
	var made [3]buildingOut
	for i := range made {
		p.must("/building/upgrade", `{"body_id":"7/0","kind":"house","x":`+string(rune('0'+i))+`}`, &made[i])
		if i > 0 && made[i].Starts != made[i-1].Ends {
			t.Errorf("%d begins at %d, not at %d", i, made[i].Starts, made[i-1].Ends)
		}
	}
	list := func() (out listBuildingsOut) {
		p.must("/building/list", `{"body_id":"7/0"}`, &out)
		return out
	}
	p.must("/building/cancel", `{"building_id":"`+made[1].ID+`"}`, nil)
	if l := list(); len(l.Buildings) != 2 || l.Buildings[1].ID != made[2].ID || l.Buildings[1].Ends != made[2].Ends-3600_000 {
		t.Errorf("%+v", l)
	}
	p.must("/building/cancel", `{"building_id":"`+made[0].ID+`"}`, nil)
	l := list()
	if len(l.Buildings) != 1 {
		t.Fatalf("%+v", l)
	}
	if wait := l.Buildings[0].Ends - l.Now; wait > 3600_001 || wait < 3600_000-patience.Milliseconds() {
		t.Errorf("the last one ends in %d ms", wait)
	}
	for content, status := range map[string]protocol.Status{
		`{"building_id":"` + made[0].ID + `"}`: protocol.StatusInvalid, `{"building_id":"../x"}`: protocol.StatusInvalid, `{}`: protocol.StatusInvalid,
	} {
		if r := p.call("/building/cancel", content); r.Status != status {
			t.Errorf("cancel %s: %+v", content, r)
		}
	}
	for content, status := range map[string]protocol.Status{
		`{}`: protocol.StatusMissing, `{"body_id":"7/0","kind":"castle"}`: protocol.StatusInvalid, `{"body_id":"closed/0","kind":"house"}`: protocol.StatusRefused,
		`{"body_id":"7/0","kind":"house","x":2}`: protocol.StatusInvalid, `{"building_id":"` + made[2].ID + `"}`: protocol.StatusInvalid,
	} {
		if r := p.call("/building/upgrade", content); r.Status != status {
			t.Errorf("upgrade %s: %+v", content, r)
		}
	}
}

// lateTimers are timers of a node that calls a function before it makes the next one.
type lateTimers struct {
	broker.Schedule
	next func()
}

func (l *lateTimers) Set(ctx context.Context, timer broker.Timer) error {
	if next := l.next; next != nil {
		l.next = nil
		next()
	}
	return l.Schedule.Set(ctx, timer)
}

// Goal: constructions that are begun at two nodes wait for each other. Method: one begins at the moment in which the other, at another
// node, has its record and no timer yet.
func TestBuildingsOfNodes(t *testing.T) {
	b := newBuilders(t, hours())
	other, err := New(Config{Options: b.table.tools.options, Store: b.store, Registry: b.reg, Bus: b.bus, Jobs: b.queue, Schedule: b.schedule,
		Buildings: hours(), Stamper: b.site, Secret: []byte("0123456789abcdef"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Close)
	p := b.play("0", "Ann", "")
	var first, second buildingOut
	late := &lateTimers{Schedule: b.schedule, next: func() {
		out, err := upgradeBuilding(other.tools, &Call{Context: t.Context(), Who: p.identity()}, &upgradeIn{Body: "7/0", Kind: "house", X: 2})
		if err != nil {
			t.Error(err)
		}
		second = out
	}}
	b.table.tools.buildings.schedule = late
	p.must("/building/upgrade", `{"body_id":"7/0","kind":"house","x":1}`, &first)
	if second.Starts != first.Ends {
		t.Errorf("the second begins at %d, the first ends at %d", second.Starts, first.Ends)
	}
}

// Goal: a crash between record and timer, and a job that comes twice, change nothing. Method: the timer is taken away, the
// start's repair runs when the building is due; the job is put a second time.
func TestBuildingRepaired(t *testing.T) {
	b := newBuilders(t, hours())
	p := b.play("0", "Ann", "")
	var made buildingOut
	p.must("/building/upgrade", `{"body_id":"7/0","kind":"house"}`, &made)
	timer, err := b.schedule.Get(t.Context(), "building."+made.ID)
	if err == nil {
		err = b.schedule.Cancel(t.Context(), timer.Key)
	}
	if err == nil {
		var record *building
		if record, err = b.table.tools.loadBuilding(t.Context(), made.Empire, made.ID); err == nil {
			record.Due = time.Now()
			err = b.table.tools.saveBuilding(t.Context(), record)
		}
	}
	if err == nil {
		err = b.table.RepairBuildings(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	p.await("the news", func(got []string) bool { return strings.Contains(strings.Join(got, "\n"), made.ID) })
	put := make(chan error, 1)
	b.queue.Put(buildingTube, timer.Body, timer.Put, func(_ uint64, err error) { put <- err })
	if err := <-put; err != nil {
		t.Fatal(err)
	}
	b.stop()
	b.start()
	if s := b.site.stamped(); strings.Count(s, ",") != 0 || s == "" {
		t.Error(s)
	}
}

// Goal: a building that can never be stamped is given up, its empire told why, and nothing is shown as due for ever. Method: a
// game that goes while a new building, and the second level of an old one, are under construction.
func TestBuildingFails(t *testing.T) {
	b := newBuilders(t, quick())
	p := b.play("0", "Ann", "")
	var old buildingOut
	p.must("/building/upgrade", `{"body_id":"7/0","kind":"house","x":1}`, &old)
	p.await("level 1", func(got []string) bool { return strings.Contains(strings.Join(got, "\n"), "/building/upgraded") })
	b.site.mu.Lock()
	b.site.gone = true
	b.site.mu.Unlock()
	p.must("/building/upgrade", `{"body_id":"7/0","kind":"house","x":9}`, nil)
	p.must("/building/upgrade", `{"building_id":"`+old.ID+`"}`, nil)
	p.await("both failures", func(got []string) bool {
		all := strings.Join(got, "\n")
		return strings.Count(all, "/building/failed") == 2 && strings.Contains(all, `"level":2,"reason":"the game is gone"`)
	})
	var l listBuildingsOut
	p.must("/building/list", `{}`, &l)
	if len(l.Buildings) != 1 || l.Buildings[0].ID != old.ID || l.Buildings[0].Level != 1 || l.Buildings[0].Target != 0 {
		t.Errorf("%+v", l.Buildings)
	}
	if r := p.call("/building/upgrade", `{"body_id":"7/0","kind":"house","x":-1}`); r.Status != protocol.StatusRange {
		t.Errorf("outside: %+v", r)
	}
}
