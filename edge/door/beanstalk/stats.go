package beanstalk

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"gosper/broker"
	"gosper/edge"
	"gosper/protocol"
)

// clientCounts are the connections of a door.
type clientCounts struct{ open, total, producers, workers, waiting atomic.Int64 }

func newID() string {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func hitJobBytes() { edge.LimitHit("job_bytes") }

// statsJob encodes what is known of one job.
func (d *Door) statsJob(ctx context.Context, id uint64) ([]byte, error) {
	job, err := d.queue.Peek(ctx, id)
	if err != nil {
		return nil, err
	}
	left := time.Duration(0)
	if job.State == broker.JobReserved || job.State == broker.JobDelayed {
		left = max(0, time.Until(job.Due))
	}
	y := protocol.NewBeanstalkYAML()
	y.Number("id", job.ID)
	y.Text("tube", job.Tube)
	y.Text("state", job.State.String())
	y.Number("pri", uint64(job.Priority))
	y.Number("age", seconds(max(0, time.Since(job.Created))))
	y.Number("delay", seconds(job.Delay))
	y.Number("ttr", seconds(job.TTR))
	y.Number("time-left", seconds(left))
	y.Number("file", 0)
	y.Number("reserves", uint64(job.Reserves))
	y.Number("timeouts", uint64(job.Timeouts))
	y.Number("releases", uint64(job.Releases))
	y.Number("buries", uint64(job.Buries))
	y.Number("kicks", uint64(job.Kicks))
	return protocol.AppendBeanstalkData(nil, y), nil
}

func seconds(d time.Duration) uint64 { return uint64(d / time.Second) }

// statsTube encodes the counters of one tube.
func (d *Door) statsTube(tube string) ([]byte, error) {
	if !d.known(tube) {
		return nil, broker.ErrNotFound
	}
	t, err := d.tubeStats(tube)
	if err != nil {
		return nil, err
	}
	refs := d.tubes.get(tube)
	y := protocol.NewBeanstalkYAML()
	y.Text("name", tube)
	jobsNow(&y, &t)
	y.Number("total-jobs", max(t.Puts, refs.puts))
	y.Number("current-using", uint64(refs.using))
	y.Number("current-watching", uint64(refs.watching))
	y.Number("current-waiting", t.Waiting)
	y.Number("cmd-delete", max(t.Deletes, refs.deletes))
	y.Number("cmd-pause-tube", uint64(refs.pauses))
	y.Number("pause", seconds(t.PausedFor))
	y.Number("pause-time-left", seconds(t.PauseLeft))
	return protocol.AppendBeanstalkData(nil, y), nil
}

// tubeStats is Stats, with zeros for a tube that is referred to but never held a job.
func (d *Door) tubeStats(tube string) (broker.TubeStats, error) {
	t, err := d.queue.Stats(tube)
	if errors.Is(err, broker.ErrNotFound) {
		return broker.TubeStats{Tube: tube}, nil
	}
	return t, err
}

func jobsNow(y *protocol.BeanstalkYAML, t *broker.TubeStats) {
	y.Number("current-jobs-urgent", t.Urgent)
	y.Number("current-jobs-ready", t.Ready)
	y.Number("current-jobs-reserved", t.Reserved)
	y.Number("current-jobs-delayed", t.Delayed)
	y.Number("current-jobs-buried", t.Buried)
}

// stats encodes the counters of the whole node.
func (d *Door) stats() ([]byte, error) {
	tubes := d.allTubes()
	var sum broker.TubeStats
	for _, tube := range tubes {
		t, err := d.tubeStats(tube)
		if err != nil {
			return nil, err
		}
		sum.Urgent += t.Urgent
		sum.Ready += t.Ready
		sum.Reserved += t.Reserved
		sum.Delayed += t.Delayed
		sum.Buried += t.Buried
		sum.Puts += t.Puts
		sum.Timeouts += t.Timeouts
	}
	y := protocol.NewBeanstalkYAML()
	jobsNow(&y, &sum)
	for _, c := range counted {
		y.Number("cmd-"+c.name, counter(c.command).Get())
	}
	y.Number("job-timeouts", sum.Timeouts)
	y.Number("total-jobs", sum.Puts)
	y.Number("max-job-size", uint64(d.maxJob.Load()))
	y.Number("current-tubes", uint64(len(tubes)))
	y.Number("current-connections", uint64(d.clients.open.Load()))
	y.Number("current-producers", uint64(d.clients.producers.Load()))
	y.Number("current-workers", uint64(d.clients.workers.Load()))
	y.Number("current-waiting", uint64(d.clients.waiting.Load()))
	y.Number("total-connections", uint64(d.clients.total.Load()))
	d.process(&y)
	return protocol.AppendBeanstalkData(nil, y), nil
}

// process adds the members about the process. There is no binlog: its members are 0.
func (d *Door) process(y *protocol.BeanstalkYAML) {
	var use unix.Rusage
	var name unix.Utsname
	_ = unix.Getrusage(unix.RUSAGE_SELF, &use) // zeros when it fails
	_ = unix.Uname(&name)
	host, _ := os.Hostname()
	y.Number("pid", uint64(os.Getpid()))
	y.Text("version", strconv.Quote(d.version))
	y.Text("rusage-utime", fmt.Sprintf("%d.%06d", use.Utime.Sec, use.Utime.Usec))
	y.Text("rusage-stime", fmt.Sprintf("%d.%06d", use.Stime.Sec, use.Stime.Usec))
	y.Number("uptime", seconds(time.Since(d.started)))
	for _, key := range []string{"oldest-index", "current-index", "records-migrated", "records-written", "max-size"} {
		y.Number("binlog-"+key, 0)
	}
	y.Text("draining", strconv.FormatBool(d.draining.Load()))
	y.Text("id", d.id)
	y.Text("hostname", host)
	y.Text("os", unix.ByteSliceToString(name.Version[:]))
	y.Text("platform", unix.ByteSliceToString(name.Machine[:]))
}
