package pebble

import (
	"context"
	"io"
	"log/slog"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gosper/broker"
	"gosper/broker/brokertest"
)

// TestMain also is the child that the kill test kills, and looks for goroutines that outlive their database.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		runChild(dir)
		return
	}
	lessRapid()
	goleak.VerifyTestMain(m)
}

// lessRapid lowers the number of property checks where a build is slow.
var lessRapid = func() {}

// patience is how long anything in these tests may take that should take a moment.
const patience = 30 * time.Second

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// open opens a database that is closed with the test. A failure of its log fails the test.
func open(t testing.TB, dir string, o Options) *DB {
	t.Helper()
	db, err := Open(dir, testOptions(t, o))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// testOptions fills in what keeps a test quiet and small.
func testOptions(t testing.TB, o Options) Options {
	if o.Log == nil {
		o.Log = quiet
	}
	if o.Fatal == nil {
		o.Fatal = func(err error) { t.Errorf("fatal: %v", err) }
	}
	if o.MinFree == 0 {
		o.MinFree = 1 << 20
	}
	if o.CommitTimeout == 0 { // a disk that others use too may stand still for some seconds
		o.CommitTimeout = patience
	}
	return o
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// The Pebble engines pass the suites that every engine passes, on the real file system.

func TestBus(t *testing.T) {
	brokertest.RunBus(t, func(t *testing.T) broker.Bus { return open(t, t.TempDir(), Options{}).Bus() })
}

func TestRegistry(t *testing.T) {
	brokertest.RunRegistry(t, func(t *testing.T) broker.Registry { return open(t, t.TempDir(), Options{}).Registry() })
}

func TestStore(t *testing.T) {
	brokertest.RunStore(t, func(t *testing.T) broker.Store { return open(t, t.TempDir(), Options{}).Store() })
}

func TestLog(t *testing.T) {
	brokertest.RunLog(t, func(t *testing.T) broker.Log { return open(t, t.TempDir(), Options{}).Log() })
}

// Goal and method: two handles of one engine, which are the same here; it is the suites for two that are tried.
func TestAcross(t *testing.T) {
	brokertest.RunStoreAcross(t, func(t *testing.T) (a, b broker.Store) {
		s := open(t, t.TempDir(), Options{}).Store()
		return s, s
	})
	brokertest.RunLogAcross(t, func(t *testing.T) (a, b broker.Log) {
		l := open(t, t.TempDir(), Options{}).Log()
		return l, l
	})
}

func TestQueue(t *testing.T) {
	brokertest.RunQueue(t, func(t *testing.T) broker.Queue {
		return open(t, t.TempDir(), Options{Jobs: brokertest.QueueLimits}).Queue()
	})
}

func TestSchedule(t *testing.T) {
	brokertest.RunSchedule(t, func(t *testing.T) brokertest.Scheduler {
		db := open(t, t.TempDir(), Options{})
		return brokertest.Scheduler{Schedule: db.Schedule(), Queue: db.Queue()}
	})
}
