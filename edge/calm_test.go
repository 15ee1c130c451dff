package edge

import "testing"

// A storm is over once, when the sessions it left have been still for a minute; a few that come and go do not matter, and
// neither does a storm that goes on.
func TestCalm(t *testing.T) {
	var c calm
	minute, now := ticksOf(calmTime), uint32(0)
	run := func(ticks uint32, sessions func(i uint32) int64) (times int) {
		for i := range ticks {
			now++
			if c.over(now, sessions(i)) {
				times++
			}
		}
		return times
	}
	still := func(n int64) func(uint32) int64 { return func(uint32) int64 { return n } }
	for _, step := range []struct {
		name     string
		ticks    uint32
		sessions func(uint32) int64
		want     int
	}{
		{"few", 3 * minute, func(i uint32) int64 { return int64(i % 200) }, 0},
		{"many", 3 * minute, still(5000), 0},
		{"fewer, not for long", minute - 1, still(1000), 0},
		{"back again", 2 * minute, still(5000), 0},
		{"fewer", 3 * minute, func(i uint32) int64 { return 1000 + int64(i%10) }, 1},
		{"a storm that goes on", 3 * minute, func(i uint32) int64 { return int64(i%2) * 9000 }, 0},
		{"after it", 3 * minute, still(0), 1},
	} {
		if got := run(step.ticks, step.sessions); got != step.want {
			t.Errorf("%s: over %d times, want %d", step.name, got, step.want)
		}
	}
}
