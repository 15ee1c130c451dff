package module

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"gosper/broker"
	"gosper/broker/worker"
	"gosper/edge/config"
	"gosper/grid"
	"gosper/protocol"
)

// A building is a pattern under construction on a grid. Its names are those of older clients: an empire is an account, a
// body is a grid, "<game>/<grid>". An upgrade is a timer of the group of its body; what ends it is a job, so it is done
// though the node was down when it was due. Upgrades of one empire on one body are built one after another, and what
// is cancelled lets the later ones begin earlier.
//
// Two places know about a building: its record (kind, place, level reached, level under construction) and, while it is
// built, its timer, whose due time alone says when it is done. The record is written first; a start sets timers that a
// crash left out. The job names the level it is for, so one that comes twice does nothing the second time.

const (
	buildingTube    = "bg_building"
	buildingFinish  = "/building/finishUpgrade"
	buildingUpgrade = "/building/upgraded"
	buildingFailed  = "/building/failed"
	buildingSubject = "ps_building" // every building finished, for other services
	buildingsMost   = 256           // of one empire on one body
)

// buildingKeep is the history of pushes of an account: who was away gets them on resume.
var buildingKeep = broker.Keep{Messages: 200, Age: 24 * time.Hour}

// Stamper brings buildings to grids.
type Stamper interface {
	// Check says why the empire may not build a pattern at a place of a body; nil when it may.
	Check(ctx context.Context, empire, body string, p *grid.Pattern, x, y int32) error
	// Stamp brings the pattern to life. worker.Permanent marks errors that will stay.
	Stamp(ctx context.Context, empire, body string, p *grid.Pattern, x, y int32) error
}

// buildings is what the functions of this file share.
type buildings struct {
	kinds    *config.Value[BuildingKinds]
	schedule broker.Schedule
	stamper  Stamper
	locks    [64]sync.Mutex // one at a time for an empire
	seed     maphash.Seed
}

func (s *buildings) lock(empire string) *sync.Mutex {
	return &s.locks[maphash.String(s.seed, empire)%uint64(len(s.locks))]
}

// building is the record of one.
type building struct {
	ID     string    `json:"building_id"`
	Body   string    `json:"body_id"`
	Empire string    `json:"empire_id"`
	Kind   string    `json:"kind"`
	X      int32     `json:"x"`
	Y      int32     `json:"y"`
	Level  int       `json:"level"`            // reached; 0 is a building site
	Target int       `json:"target,omitempty"` // under construction; 0 is none
	Takes  int64     `json:"takes,omitempty"`  // milliseconds of construction
	Due    time.Time `json:"due,omitzero"`     // for a start that finds no timer; the timer counts

	revision uint64
}

func buildingPrefix(empire string) string { return "building/" + empire + "/" }

func (b *building) key() string   { return buildingPrefix(b.Empire) + b.ID }
func (b *building) timer() string { return "building." + b.ID }
func (b *building) group() string { return buildingGroup(b.Empire, b.Body) }

func buildingGroup(empire, body string) string {
	return "building." + empire + "." + strings.ReplaceAll(body, "/", ".")
}

// buildingOut is a building as clients see it.
type buildingOut struct {
	ID     string `json:"building_id"`
	Body   string `json:"body_id"`
	Empire string `json:"empire_id"`
	Kind   string `json:"kind"`
	X      int32  `json:"x"`
	Y      int32  `json:"y"`
	Level  int    `json:"level"`
	Target int    `json:"target,omitempty"` // under construction
	Starts int64  `json:"starts,omitempty"` // unix milliseconds
	Ends   int64  `json:"ends,omitempty"`
}

// out adds the times, which the timer knows.
func (b *building) out(due time.Time) buildingOut {
	o := buildingOut{ID: b.ID, Body: b.Body, Empire: b.Empire, Kind: b.Kind, X: b.X, Y: b.Y, Level: b.Level, Target: b.Target}
	if b.Target > 0 && !due.IsZero() {
		o.Ends = due.UnixMilli()
		o.Starts = o.Ends - b.Takes
	}
	return o
}

// buildingFunctions are what clients can do with buildings.
func buildingFunctions() []Function {
	return []Function{
		define(Function{Route: "/building/upgrade", Gate: "upgrade_building", Needs: NeedLogin, Class: ClassWrite,
			Doc: "Begins a building on a grid (body_id is game/grid, with kind, x and y), or the next level of one (building_id). It is built after " +
				"what the account builds on that grid already; /building/upgraded tells when it is done.",
			Example: `{"body_id":"0123456789/0","kind":"house","x":10,"y":20}`}, upgradeBuilding),
		define(Function{Route: "/building/cancel", Gate: "cancel_building", Needs: NeedLogin, Class: ClassWrite,
			Doc:     "Ends the construction of a building; what is built after it on that grid begins earlier.",
			Example: `{"building_id":"01a2b3c4"}`}, cancelBuilding),
		define(Function{Route: "/building/list", Gate: "get_all_building", Needs: NeedLogin, Class: ClassRead,
			Doc:     "Lists the account's buildings, of one grid or of all, with the times of construction, and the kinds that can be built.",
			Example: `{"body_id":"0123456789/0"}`}, listBuildings),
	}
}

var faultNoBuildings = refuse(protocol.StatusBusy, "this node builds nothing")

type upgradeIn struct {
	Building string `json:"building_id"`
	Body     string `json:"body_id"`
	Kind     string `json:"kind"`
	X        int32  `json:"x"`
	Y        int32  `json:"y"`
}

func upgradeBuilding(t *Tools, c *Call, in *upgradeIn) (buildingOut, error) {
	s := t.buildings
	if s == nil {
		return buildingOut{}, faultNoBuildings
	}
	empire := c.Who.Account
	l := s.lock(empire)
	l.Lock()
	defer l.Unlock()
	for range turnTries {
		turn, err := t.buildingTurn(c.Context, empire)
		if err != nil {
			return buildingOut{}, err
		}
		out, err := t.beginBuilding(c, empire, in, turn)
		if !overtaken(err) {
			return out, err
		}
	}
	return buildingOut{}, faultBusy
}

// turnTries is how often the beginning of a construction is tried when another node begins one for the same empire.
const turnTries = 4

// buildingTurn returns the write that all beginnings of one empire have in common, so that of two at the same time, on whatever nodes,
// one fails and sees the other when it tries again.
func (t *Tools) buildingTurn(ctx context.Context, empire string) (broker.Op, error) {
	key := "builds/" + empire
	r, err := t.store.Get(ctx, key)
	if err != nil && !errors.Is(err, broker.ErrNotFound) {
		return broker.Op{}, err
	}
	return broker.OpUpdate(key, nil, r.Revision), nil // revision 0: must not exist
}

// beginBuilding is one try of upgradeBuilding.
func (t *Tools) beginBuilding(c *Call, empire string, in *upgradeIn, turn broker.Op) (buildingOut, error) {
	s := t.buildings
	b, err := t.buildingFor(c.Context, empire, in)
	if err != nil {
		return buildingOut{}, err
	}
	levels := s.kinds.Get()[b.Kind]
	switch {
	case b.Target > 0:
		return buildingOut{}, refuse(protocol.StatusInvalid, "this building is under construction")
	case b.Level >= len(levels):
		return buildingOut{}, refuse(protocol.StatusRange, "this building has its highest level")
	}
	if err := s.stamper.Check(c.Context, empire, b.Body, levels[b.Level].pattern, b.X, b.Y); err != nil {
		return buildingOut{}, err
	}
	begin, err := t.buildingBegin(c.Context, b)
	if err != nil {
		return buildingOut{}, err
	}
	step := &levels[b.Level]
	b.Target, b.Takes, b.Due = b.Level+1, step.duration().Milliseconds(), begin.Add(step.duration())
	if err := t.saveBuilding(c.Context, b, turn); err != nil {
		return buildingOut{}, err
	}
	if err := s.set(c.Context, b); err != nil {
		return buildingOut{}, err
	}
	return b.out(b.Due), nil
}

// buildingFor returns the building that a call names, or a new one.
func (t *Tools) buildingFor(ctx context.Context, empire string, in *upgradeIn) (*building, error) {
	if in.Building != "" {
		return t.loadBuilding(ctx, empire, in.Building)
	}
	if in.Body == "" {
		return nil, refuse(protocol.StatusMissing, "body_id is missing")
	}
	if t.buildings.kinds.Get()[in.Kind] == nil {
		return nil, refuse(protocol.StatusInvalid, "there is no such kind of building")
	}
	all, err := t.allBuildings(ctx, empire)
	if err != nil {
		return nil, err
	}
	if slices.IndexFunc(all, func(b *building) bool { return b.Body == in.Body && b.X == in.X && b.Y == in.Y }) >= 0 {
		return nil, refuse(protocol.StatusInvalid, "there is a building at this place")
	}
	if len(all) >= buildingsMost {
		return nil, refuse(protocol.StatusTooMuch, "there are too many buildings")
	}
	return &building{ID: newAccountID(), Body: in.Body, Empire: empire, Kind: in.Kind, X: in.X, Y: in.Y}, nil
}

// timerPause is the time between two looks for a timer that has to come or a building that has to be done, turnTries in all.
const timerPause = 25 * time.Millisecond

// buildingBegin returns when the next construction on a body can begin: now, or after the last that waits.
func (t *Tools) buildingBegin(ctx context.Context, b *building) (time.Time, error) {
	for try := 1; ; try++ {
		all, err := t.allBuildings(ctx, b.Empire) // before the timers, as they are made in this order
		if err != nil {
			return time.Time{}, err
		}
		begin, untimed, err := t.buildings.begin(ctx, b, all, t.now().Truncate(time.Millisecond)) // as timers keep time
		if err != nil || !untimed || try == turnTries {
			return begin, err
		}
		select {
		case <-time.After(timerPause):
		case <-ctx.Done():
			return begin, ctx.Err()
		}
	}
}

// begin is one look of buildingBegin. untimed says that some record had no timer and counts by itself: another node is about to make it,
// or the building is just being finished.
func (s *buildings) begin(ctx context.Context, b *building, all []*building, now time.Time) (begin time.Time, untimed bool, err error) {
	waiting, err := s.schedule.List(ctx, b.group(), time.Time{}, buildingsMost)
	if err != nil {
		return now, false, err
	}
	timed := make(map[string]bool, len(waiting))
	for _, timer := range waiting {
		timed[timer.Key] = true
		if timer.Due.After(now) {
			now = timer.Due
		}
	}
	for _, other := range all {
		if other.Target > 0 && other.group() == b.group() && !timed[other.timer()] && other.Due.After(now) {
			now, untimed = other.Due, true
		}
	}
	return now, untimed, nil
}

// finishContent is the content of the job that ends a construction.
type finishContent struct {
	Building string `json:"building_id"`
	Body     string `json:"body_id"`
	Empire   string `json:"empire_id"`
	Level    int    `json:"level"`
}

// set makes the timer of a building under construction.
func (s *buildings) set(ctx context.Context, b *building) error {
	body, err := worker.Encode(buildingFinish, finishContent{b.ID, b.Body, b.Empire, b.Target})
	if err != nil {
		return err
	}
	return s.schedule.Set(ctx, broker.Timer{Key: b.timer(), Group: b.group(), Due: b.Due, Tube: buildingTube, Body: body,
		Put: broker.PutOptions{Priority: broker.DefaultPriority, TTR: broker.DefaultTTR}})
}

type cancelIn struct {
	Building string `json:"building_id"`
}

func cancelBuilding(t *Tools, c *Call, in *cancelIn) (buildingOut, error) {
	s := t.buildings
	if s == nil {
		return buildingOut{}, faultNoBuildings
	}
	l := s.lock(c.Who.Account)
	l.Lock()
	defer l.Unlock()
	b, err := t.loadBuilding(c.Context, c.Who.Account, in.Building)
	if err != nil {
		return buildingOut{}, err
	}
	timer, err := s.schedule.Get(c.Context, b.timer())
	if b.Target == 0 || errors.Is(err, broker.ErrNotFound) {
		return buildingOut{}, refuse(protocol.StatusInvalid, "this building is not under construction")
	}
	if err != nil {
		return buildingOut{}, err
	}
	if err := s.schedule.Cancel(c.Context, b.timer()); errors.Is(err, broker.ErrNotFound) {
		return buildingOut{}, refuse(protocol.StatusInvalid, "this building is done") // at this very moment
	} else if err != nil {
		return buildingOut{}, err
	}
	// What had not begun yet is shifted by the whole time, what had begun by the rest.
	rest := min(timer.Due.Sub(t.now()).Truncate(time.Millisecond), time.Duration(b.Takes)*time.Millisecond)
	b.Target, b.Takes, b.Due = 0, 0, time.Time{}
	if b.Level == 0 {
		err = t.store.Delete(c.Context, b.key(), b.revision)
	} else {
		err = t.saveBuilding(c.Context, b)
	}
	if err == nil && rest > 0 {
		_, err = s.schedule.Shift(c.Context, b.group(), timer.Due, -rest)
	}
	return b.out(time.Time{}), err
}

type listBuildingsIn struct {
	Body string `json:"body_id"`
}

type listBuildingsOut struct {
	Buildings []buildingOut `json:"buildings"`
	Kinds     BuildingKinds `json:"kinds"`
	Now       int64         `json:"now"` // unix milliseconds, for progress
}

func listBuildings(t *Tools, c *Call, in *listBuildingsIn) (listBuildingsOut, error) {
	out := listBuildingsOut{Buildings: []buildingOut{}, Now: t.now().UnixMilli()}
	if t.buildings == nil {
		return out, faultNoBuildings
	}
	out.Kinds = t.buildings.kinds.Get()
	all, err := t.allBuildings(c.Context, c.Who.Account)
	if err != nil {
		return out, err
	}
	for _, b := range all {
		if in.Body != "" && b.Body != in.Body {
			continue
		}
		due := time.Time{}
		if b.Target > 0 {
			timer, err := t.buildings.schedule.Get(c.Context, b.timer())
			if err != nil && !errors.Is(err, broker.ErrNotFound) {
				return out, err
			}
			if due = timer.Due; err != nil {
				due = b.Due // it is being finished
			}
		}
		out.Buildings = append(out.Buildings, b.out(due))
	}
	return out, nil
}

// loadBuilding reads one building of an empire.
func (t *Tools) loadBuilding(ctx context.Context, empire, id string) (*building, error) {
	if !protocol.ValidName(id) {
		return nil, refuse(protocol.StatusInvalid, "there is no such building")
	}
	r, err := t.store.Get(ctx, buildingPrefix(empire)+id)
	if errors.Is(err, broker.ErrNotFound) {
		return nil, refuse(protocol.StatusInvalid, "there is no such building")
	}
	if err != nil {
		return nil, err
	}
	return readBuilding(r)
}

func readBuilding(r broker.Record) (*building, error) {
	b := &building{revision: r.Revision}
	if err := json.Unmarshal(r.Value, b); err != nil {
		return nil, fmt.Errorf("building %q is damaged: %w", r.Key, err)
	}
	return b, nil
}

func (t *Tools) allBuildings(ctx context.Context, empire string) (all []*building, err error) {
	records, err := t.store.List(ctx, buildingPrefix(empire), "", buildingsMost+1)
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		b, err := readBuilding(r)
		if err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	return all, nil
}

func (t *Tools) saveBuilding(ctx context.Context, b *building, more ...broker.Op) error {
	value, err := json.Marshal(b)
	if err != nil {
		return err
	}
	revisions, err := t.store.Commit(ctx, append([]broker.Op{broker.OpUpdate(b.key(), value, b.revision)}, more...)...)
	if err == nil {
		b.revision = revisions[0]
	}
	return err
}

// bodyParts takes a body apart.
func bodyParts(body string) (game string, grid int, err error) {
	game, number, _ := strings.Cut(body, "/")
	grid, err = strconv.Atoi(number)
	if err != nil || strconv.Itoa(grid) != number {
		return "", 0, refuse(protocol.StatusInvalid, "body_id must be game/grid")
	}
	return game, grid, nil
}
