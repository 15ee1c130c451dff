package post

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"gosper/broker/pebble"
)

// BenchmarkSend is the rate at which mails are accepted by many senders at once, while files follow.
func BenchmarkSend(b *testing.B) {
	dir := b.TempDir()
	db, err := pebble.Open(filepath.Join(dir, "store"), pebble.Options{})
	if err != nil {
		b.Fatal(err)
	}
	o, err := Open(Options{Root: filepath.Join(dir, "mail"), Store: db.Store(), BoxLimit: MaxBoxLimit})
	if err != nil {
		b.Fatal(err)
	}
	body := strings.Repeat("x", 256)
	var next atomic.Int64
	b.SetParallelism(128)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			box := Box{"0", fmt.Sprint("u", next.Add(1)%256)}
			if _, err := o.Send(b.Context(), box, Mail{From: "system", Body: body}); err != nil {
				b.Error(err)
			}
		}
	})
	b.StopTimer()
	if err := errors.Join(o.Close(), db.Close()); err != nil {
		b.Error(err)
	}
}
