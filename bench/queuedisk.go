package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// What the disk itself can do: the limits that the queue is compared with.

// syncFile is a file as a log is: its bytes have their places, so that an fsync has no size to store.
type syncFile struct {
	*os.File
	at int64
}

const (
	syncFileSize = 16 << 20
	syncBlock    = 256 // bytes, about what a put of 128 takes in a log
)

var syncBytes [syncBlock]byte

func newSyncFile(dir string) (*syncFile, error) {
	f, err := os.Create(filepath.Join(dir, "fsync"))
	if err != nil {
		return nil, err
	}
	if err := f.Truncate(syncFileSize); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &syncFile{File: f}, nil
}

// put writes a block and waits until the disk has it.
func (f *syncFile) put() error {
	if _, err := f.WriteAt(syncBytes[:], f.at%syncFileSize); err != nil {
		return err
	}
	f.at += syncBlock
	return unix.Fdatasync(int(f.Fd()))
}

// measureSync returns the mean time in microseconds of a small write and its fsync on the disk of a folder.
func measureSync(dir string, d time.Duration) (us float64, err error) {
	f, err := newSyncFile(dir)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	start, n := time.Now(), 0
	for ; time.Since(start) < d; n++ {
		if err := f.put(); err != nil {
			return 0, err
		}
	}
	return time.Since(start).Seconds() * 1e6 / float64(n), os.Remove(f.Name())
}

// floorMain is the least that a durable put over TCP can be: one connection, and a thread that blocks in read, write and
// fsync and knows no job, no tube and no other client.
func floorMain(ctx context.Context, dir string, out io.Writer) error {
	if dir == "" {
		return errors.New("floor: needs --dir")
	}
	f, err := newSyncFile(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { l.Close() })()
	fmt.Fprintf(out, "%s %s\n", l.Addr(), runtime.Version())
	for {
		c, err := l.Accept()
		if err != nil {
			return nil
		}
		if err := floorServe(ctx, c.(*net.TCPConn), f); err != nil {
			return err
		}
	}
}

// floorServe answers each read of one client, which sends one put at a time.
func floorServe(ctx context.Context, c *net.TCPConn, f *syncFile) error {
	socket, err := c.File() // a blocking one
	if err != nil {
		return err
	}
	defer socket.Close()
	fd := int(socket.Fd())
	defer context.AfterFunc(ctx, func() { _ = unix.Shutdown(fd, unix.SHUT_RDWR) })()
	c.Close()
	buf, answer := make([]byte, 4096), []byte("INSERTED 1\r\n")
	for {
		n, err := unix.Read(fd, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return nil
		}
		if err := f.put(); err != nil {
			return err
		}
		if _, err := unix.Write(fd, answer); err != nil {
			return nil
		}
	}
}

// slowDisk is a disk whose fsyncs of logs take a time longer, and which knows how long they took.
type slowDisk struct {
	vfs.FS
	delay       time.Duration
	count, took atomic.Int64
}

// Create implements vfs.FS.
func (d *slowDisk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.Create(name, c)
	return d.slow(name, f), err
}

// ReuseForWrite implements vfs.FS.
func (d *slowDisk) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.ReuseForWrite(old, name, c)
	return d.slow(name, f), err
}

func (d *slowDisk) slow(name string, f vfs.File) vfs.File {
	if f == nil || filepath.Ext(name) != ".log" {
		return f
	}
	return slowFile{f, d}
}

func (d *slowDisk) forget() {
	d.count.Store(0)
	d.took.Store(0)
}

// mean returns the mean time of an fsync in microseconds since forget.
func (d *slowDisk) mean() float64 {
	return float64(d.took.Load()) / 1e3 / float64(max(d.count.Load(), 1))
}

type slowFile struct {
	vfs.File
	disk *slowDisk
}

// SyncData implements vfs.File.
func (f slowFile) SyncData() error {
	start := time.Now()
	time.Sleep(f.disk.delay)
	err := f.File.SyncData()
	f.disk.count.Add(1)
	f.disk.took.Add(int64(time.Since(start)))
	return err
}
