package module

import (
	"os"
	"path/filepath"
	"testing"

	"gosper/broker"
	"gosper/broker/memory"
	"gosper/edge/config"
)

// Goal: the kinds of a running node follow the file "building" of the config folder, and bad ones do not count. Method: the
// file is changed beneath the value.
func TestBuildingSettings(t *testing.T) {
	dir := t.TempDir()
	folder, err := config.Open(config.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(folder.Close)
	queue := memory.NewQueue(broker.QueueOptions{})
	schedule := memory.NewSchedule(queue)
	t.Cleanup(func() { schedule.Close(); queue.Close() })
	b, err := newBuildings(&Config{Schedule: schedule, Settings: folder})
	if err != nil {
		t.Fatal(err)
	}
	if b.kinds.Get()["lighthouse"] == nil {
		t.Error("the kinds of the program do not count")
	}
	for _, row := range []struct {
		data string
		good bool
	}{
		{`{"tower":[{"seconds":1,"pattern":"block"},{"seconds":2,"rle":"bo$2bo$3o!"}]}`, true},
		{`{"tower":[{"seconds":0,"pattern":"block"}]}`, false},
		{`{"tower":[{"seconds":1,"pattern":"no such pattern"}]}`, false},
		{`{"tower":[]}`, false},
		{`{}`, false},
		{`null`, false},
	} {
		if err := os.WriteFile(filepath.Join(dir, "building.json"), []byte(row.data), 0o600); err != nil {
			t.Fatal(err)
		}
		folder.Reread()
		kinds := b.kinds.Get()
		if len(kinds) != 1 || len(kinds["tower"]) != 2 || kinds["tower"][1].pattern == nil {
			t.Errorf("%s: %v", row.data, kinds)
		}
		if f, ok := folder.Get("building"); !ok || (f.Broken == nil) != row.good {
			t.Errorf("%s: %v", row.data, f.Broken)
		}
	}
}
