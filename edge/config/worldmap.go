package config

import (
	"encoding/json"
	"errors"
	"fmt"
)

// mapName is the file that says which map each world has: [{"worlds":"1, 4-7", …}, …]. What a map holds beside its
// worlds is for those who read it. A world is in one map at most.
const mapName = "world_map"

// WorldMap is one entry of the file of maps.
type WorldMap struct {
	Worlds Worlds
	Data   json.RawMessage // the whole entry, worlds included. It must not be written to
}

// UnmarshalJSON implements json.Unmarshaler.
func (m *WorldMap) UnmarshalJSON(data []byte) error {
	var in struct {
		Worlds *Worlds `json:"worlds"`
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	if in.Worlds == nil || len(*in.Worlds) == 0 {
		return errNoWorlds
	}
	m.Worlds, m.Data = *in.Worlds, append(json.RawMessage(nil), data...)
	return nil
}

// MarshalJSON implements json.Marshaler.
func (m WorldMap) MarshalJSON() ([]byte, error) { return m.Data, nil }

// maxMaps keeps the check of overlaps cheap.
const maxMaps = 256

func checkMaps(maps *[]WorldMap) error {
	if len(*maps) > maxMaps {
		return fmt.Errorf("has more than %d maps", maxMaps)
	}
	for i, m := range *maps {
		if len(m.Data) == 0 {
			return errors.New("null is no map")
		}
		for _, other := range (*maps)[:i] {
			if world, both := m.Worlds.overlap(other.Worlds); both {
				return fmt.Errorf("world %d is in two maps", world)
			}
		}
	}
	return nil
}

// WorldMap returns the map of a world; false when no map names it.
func (f *Folder) WorldMap(world uint32) (WorldMap, bool) {
	if f == nil {
		return WorldMap{}, false
	}
	for _, m := range f.maps.Get() {
		if m.Worlds.Has(world) {
			return m, true
		}
	}
	return WorldMap{}, false
}
