package bench

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// latencies collects durations from a microsecond to a minute with three significant digits. Values are measured
// from the moment the message was *due*, not from when a late generator sent it, so waiting behind a stalled server
// counts (no coordinated omission).
type latencies struct {
	h *hdrhistogram.Histogram
}

func newLatencies() latencies {
	return latencies{hdrhistogram.New(1, int64(time.Minute/time.Microsecond), 3)}
}

// add records one message. It allocates nothing.
func (l latencies) add(d time.Duration) {
	us := int64(d / time.Microsecond)
	_ = l.h.RecordValue(min(max(us, 1), l.h.HighestTrackableValue()))
}

// quantile returns the value below which the share q (0…1) of the messages lies, in microseconds.
func (l latencies) quantile(q float64) float64 { return float64(l.h.ValueAtQuantile(100 * q)) }

func (l latencies) count() int64 { return l.h.TotalCount() }
