package module

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"gosper/edge/config"
)

// Goal: FAMILIES.md is true. Method: every function of players and families, every figure with its default, and every kind
// of news must stand there.
func TestFamiliesPage(t *testing.T) {
	b, err := os.ReadFile("FAMILIES.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	want := []string{newsLeave, newsRemove, newsInvite, newsJoin, newsIcon, newsRole, newsRename, newsDisband, newsKeep, newsOwner, routeFamilyChanged, routeFamilyInvited,
		fmt.Sprint("newest ", familyNewsKept), fmt.Sprint(familyMembersMax), fmt.Sprint(int(verifyAge.Seconds()))}
	for _, f := range append(append(familyFunctions(), bindFunctions()...), playerFunctions()...) {
		want = append(want, "`"+f.Route+"`", "`"+f.Gate+"`")
	}
	var figures struct {
		General map[string]json.RawMessage `json:"general"`
	}
	if err := json.Unmarshal(encoded(DefaultFamilySettings()), &figures); err != nil {
		t.Fatal(err)
	}
	for name, value := range figures.General {
		if name == "members" {
			name, value = "members.max", []byte(fmt.Sprint(DefaultFamilySettings().General.Members.Max))
		}
		want = append(want, fmt.Sprintf("| `%s` | %s |", name, value))
	}
	for _, text := range want {
		if !strings.Contains(page, text) {
			t.Errorf("FAMILIES.md does not have %s", text)
		}
	}
}

// Goal: figures that make no sense are refused and named, and a good file counts at once. Method: contents for the checks
// of the three files.
func TestFamilyFigures(t *testing.T) {
	for content, want := range map[string]string{
		`{"general":{"members":{"max":0}}}`: "members.max", `{"general":{"members":{"max":201}}}`: "members.max", `{"general":{"rmtimes":-1}}`: "rmtimes",
		`{"general":{"disband_hours":-1}}`: "disband_hours", `{"general":{"leave_days":400}}`: "leave_days", `{"general":{"invite_hours":0}}`: "invite_hours",
		`{"general":{"name_min":33}}`: "name_min", `{"general":{"board_max":2000}}`: "board_max",
		`{"general":{"members":{"max":200},"disband_hours":0.5,"costs":{"create":"3:1:100"}},"store":{}}`: "",
	} {
		s := DefaultFamilySettings()
		if err := json.Unmarshal([]byte(content), &s); err != nil {
			t.Fatal(err)
		}
		if err := s.complete(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", content, err)
		}
	}
	for content, good := range map[string]bool{`{"levels":[0,10,10,20]}`: true, `{"levels":[]}`: false, `{"levels":[1]}`: false, `{"levels":[0,5,4]}`: false} {
		var s PlayerSettings
		if err := json.Unmarshal([]byte(content), &s); err != nil || (s.complete() == nil) != good {
			t.Errorf("%s: %v %v", content, err, s.complete())
		}
	}
	for content, good := range map[string]bool{`{"worlds":[{"id":"0"},{"id":"w1","name":"One","status":2}]}`: true, `{"worlds":[{"id":"a.b"}]}`: false,
		`{"worlds":[{"id":"0"},{"id":"0"}]}`: false} {
		var s WorldSettings
		if err := json.Unmarshal([]byte(content), &s); err != nil || (s.complete() == nil) != good {
			t.Errorf("%s: %v %v", content, err, s.complete())
		}
	}
}

// Goal: a level is the number of thresholds that were reached. Method: experience at, below and above thresholds.
func TestLevels(t *testing.T) {
	tools := &Tools{families: &families{}}
	tools.families.levels = config.Bind(nil, "player", PlayerSettings{Levels: []int{0, 10, 10, 30}}, (*PlayerSettings).complete)
	for exp, want := range map[int]int{0: 1, 9: 1, 10: 3, 29: 3, 30: 4, 1000: 4} {
		if got := tools.levelOf(exp); got != want {
			t.Errorf("%d: level %d, want %d", exp, got, want)
		}
	}
}

// Goal: a limit of a day is never said to be over while it holds. Method: both ends of a day.
func TestTomorrow(t *testing.T) {
	day := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	for passed, want := range map[time.Duration]int64{0: 86400, 1: 86400, time.Second: 86399, 24*time.Hour - time.Second: 1, 24*time.Hour - 1: 1} {
		if got := tomorrow(day.Add(passed)); got != want {
			t.Errorf("%v after midnight: %d seconds, want %d", passed, got, want)
		}
	}
}
