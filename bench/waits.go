package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// threadWaits is how long each thread of a process has run, and how long it has waited for a processor while it could
// have run.
type threadWaits map[string][2]time.Duration

// waitsOf reads them. Without a kernel that counts them it is empty.
func waitsOf(pid int) threadWaits {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	w := threadWaits{}
	for _, name := range files {
		var ran, waited int64
		b, err := os.ReadFile(name)
		if err != nil { // the thread has ended
			continue
		}
		if _, err := fmt.Sscan(string(b), &ran, &waited); err == nil {
			w[name] = [2]time.Duration{time.Duration(ran), time.Duration(waited)}
		}
	}
	return w
}

// since returns how many seconds the threads waited for each second that they ran since before. Much more than what the
// server's threads waited in a generator means that latencies are in part those of the generator.
func (w threadWaits) since(before threadWaits) float64 {
	var ran, waited time.Duration
	for name, now := range w {
		then := before[name]
		ran += now[0] - then[0]
		waited += now[1] - then[1]
	}
	return waited.Seconds() / max(ran.Seconds(), 1e-9)
}
