package edge

import "time"

// calm notices when a storm of connections is over. Memory that a storm has left behind would go back to the system only
// over many minutes, while the node has little reason to collect garbage.
type calm struct {
	base  int64  // about how many sessions there are
	peak  int64  // most sessions since memory was given back
	since uint32 // tick since which there are about base
}

const (
	calmTime  = time.Minute
	stormSize = 1000 // fewer sessions do not leave much
)

// over reports, once a storm, that at tick now the number of sessions has been still for a minute, and is much lower than
// it was.
func (c *calm) over(now uint32, sessions int64) bool {
	c.peak = max(c.peak, sessions)
	if play := max(16, c.base/50); sessions < c.base-play || sessions > c.base+play {
		c.base, c.since = sessions, now
	}
	if now-c.since < ticksOf(calmTime) || c.peak-sessions < stormSize {
		return false
	}
	c.peak = sessions
	return true
}
