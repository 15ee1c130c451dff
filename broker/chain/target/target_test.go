package target

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// words is a log that tests read.
type words struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *words) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *words) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

// table reads a table of services.
func table(t testing.TB, text string) *Services {
	t.Helper()
	s := new(Services)
	if err := json.Unmarshal([]byte(text), s); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	return s
}

// gateway is a gateway over a table, and its log.
func gateway(t testing.TB, o Options, services string) (*Gateway, *words) {
	t.Helper()
	s, log := table(t, services), new(words)
	if o.Services == nil {
		o.Services = func() *Services { return s }
	}
	o.Log = slog.New(slog.NewTextHandler(log, nil))
	g := New(o)
	t.Cleanup(g.Close)
	return g, log
}
