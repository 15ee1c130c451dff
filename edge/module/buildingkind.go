package module

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"gosper/grid"
	"gosper/protocol"
)

// BuildingKinds says what can be built: for each kind the levels, from the first. The file "building" of the config folder
// counts while there is a good one, then what the node was started with, then DefaultBuildings. A construction takes the
// time that counted when it began, and the pattern that counts when it ends; when its level has gone by then, its job is
// buried and waits for an operator.
type BuildingKinds map[string][]BuildingLevel

// BuildingLevel is one step of a building.
type BuildingLevel struct {
	Seconds float64 `json:"seconds"`           // time to build it, more than 0, at most a year
	Pattern string  `json:"pattern,omitempty"` // name in the catalogue of patterns
	RLE     string  `json:"rle,omitempty"`     // or the pattern itself

	pattern *grid.Pattern
}

func (l *BuildingLevel) duration() time.Duration {
	return time.Duration(l.Seconds * float64(time.Second)).Truncate(time.Millisecond)
}

// DefaultBuildings are the kinds of a node that was told nothing.
func DefaultBuildings() BuildingKinds {
	return BuildingKinds{
		"house":      {{Seconds: 10, Pattern: "block"}, {Seconds: 60, Pattern: "beehive"}, {Seconds: 300, Pattern: "loaf"}},
		"lighthouse": {{Seconds: 30, Pattern: "blinker"}, {Seconds: 120, Pattern: "toad"}, {Seconds: 600, Pattern: "pulsar"}},
		"shipyard":   {{Seconds: 60, Pattern: "glider"}, {Seconds: 900, Pattern: "gosper glider gun"}},
	}
}

// buildingSettings is the name of the file of kinds in the config folder.
const buildingSettings = "building"

// LoadBuildings reads kinds from a JSON file: {"house":[{"seconds":10,"pattern":"block"},…],…}.
func LoadBuildings(name string) (BuildingKinds, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var kinds BuildingKinds
	if err := json.Unmarshal(b, &kinds); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := kinds.complete(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return kinds, nil
}

const buildingYear = 366 * 24 * 3600 // seconds

// complete finds the patterns and names the first kind that cannot be.
func (k BuildingKinds) complete() error {
	if len(k) == 0 {
		return errors.New("there is no kind of building")
	}
	for kind, levels := range k {
		if !protocol.ValidName(kind) || len(levels) == 0 {
			return fmt.Errorf("building %q: needs a plain name and levels", kind)
		}
		for i := range levels {
			if err := levels[i].complete(); err != nil {
				return fmt.Errorf("building %q, level %d: %w", kind, i+1, err)
			}
		}
	}
	return nil
}

func (l *BuildingLevel) complete() error {
	if l.Seconds <= 0 || l.Seconds > buildingYear {
		return errors.New("seconds must be more than 0 and at most a year")
	}
	if l.RLE != "" {
		p, err := grid.ParseRLE([]byte(l.RLE), grid.PatternLimits{})
		l.pattern = p
		return err
	}
	t, ok := grid.FindTemplate(l.Pattern)
	if !ok {
		return fmt.Errorf("there is no pattern %q", l.Pattern)
	}
	l.pattern = t.Pattern
	return nil
}
