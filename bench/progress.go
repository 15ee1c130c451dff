package bench

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// barWidth is the number of cells of the progress bar; with the longest text it fits a line of 80 characters.
const barWidth = 24

// bar draws progress on one line of a terminal, at most ten times a second. A nil writer draws nothing.
type bar struct {
	w     io.Writer
	part  part
	drawn time.Time
	text  string
}

// part is the share of a longer run that one scenario is. The zero value is a run of its own.
type part struct {
	from, to float64
	name     string
}

// of makes the share of the whole run from that of this part; both are kept within 0 and 1.
func (p part) of(share float64) float64 {
	share = max(0, min(1, share))
	if p.to > p.from {
		share = p.from + share*(p.to-p.from)
	}
	return share
}

func (b *bar) show(part float64, text string) {
	if b.w == nil || (text == b.text && time.Since(b.drawn) < 100*time.Millisecond) {
		return
	}
	b.drawn, b.text = time.Now(), text
	part = b.part.of(part)
	if b.part.name != "" {
		text = b.part.name + ": " + text
	}
	full := int(part * barWidth)
	fmt.Fprintf(b.w, "\r\x1b[K%s%s %3.0f%% %.48s", strings.Repeat("█", full), strings.Repeat("·", barWidth-full), 100*part, text)
}

func (b *bar) clear() {
	if b.w != nil {
		fmt.Fprint(b.w, "\r\x1b[K")
	}
}
