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
	drawn time.Time
	text  string
}

func (b *bar) show(part float64, text string) {
	if b.w == nil || (text == b.text && time.Since(b.drawn) < 100*time.Millisecond) {
		return
	}
	b.drawn, b.text = time.Now(), text
	part = max(0, min(1, part))
	full := int(part * barWidth)
	fmt.Fprintf(b.w, "\r\x1b[K%s%s %3.0f%% %.48s", strings.Repeat("█", full), strings.Repeat("·", barWidth-full), 100*part, text)
}

func (b *bar) clear() {
	if b.w != nil {
		fmt.Fprint(b.w, "\r\x1b[K")
	}
}
