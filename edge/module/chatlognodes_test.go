package module

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gosper/broker/memory"
)

// Goal: of nodes that share a chat log one writes it, and when it is gone another goes on with every line that was said meanwhile, none
// twice. Method: three logs over one bus and one engine; the lead goes round with pauses, one of them with a writer that does not
// know that it was replaced.
func TestChatLogGoesRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &chatRig{t: t, bus: memory.NewBus(memory.BusOptions{}), log: &stubbornLog{Log: memory.NewLog()}}
		var logs []*ChatLog
		for range 3 {
			l, err := OpenChatLog(t.Context(), ChatLogOptions{Bus: r.bus, Log: r.log, Age: 24 * time.Hour, Bytes: 1 << 30, Shared: true})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			logs = append(logs, l)
		}
		r.ChatLog = logs[0]
		var want []string
		said := 0
		say := func(lines int) {
			for range lines {
				said++
				want = append(want, fmt.Sprint("line", said))
				r.say("0", "", "Ann", want[len(want)-1])
				time.Sleep(300 * time.Millisecond)
			}
		}
		lead := func(node int, token uint64) (end func()) {
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				logs[node].Keep(ctx, token)
			}()
			time.Sleep(time.Second)
			return func() { cancel(); <-ended }
		}
		say(3) // nobody leads yet
		end := lead(0, 1)
		say(5)
		end()
		say(10) // for three seconds nobody does
		end = lead(1, 2)
		say(5)
		late := lead(2, 3) // the one before does not know
		say(5)
		end()
		say(1)
		late()
		if got, lost := r.search(ChatQuery{}); got != strings.Join(want, " ") || lost != 0 {
			t.Errorf("the log has %s, %d lost\nwant %s", got, lost, strings.Join(want, " "))
		}
	})
}

// Goal: a node that leads while the engine is away takes the log over once it is back. Method: refuse for a while, with lines said meanwhile.
func TestChatLogTakenOverLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &chatRig{t: t, bus: memory.NewBus(memory.BusOptions{}), log: &stubbornLog{Log: memory.NewLog()}}
		l, err := OpenChatLog(t.Context(), ChatLogOptions{Bus: r.bus, Log: r.log, Age: 24 * time.Hour, Bytes: 1 << 30, Shared: true})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		r.ChatLog = l
		r.log.refuse.Store(true)
		ctx, cancel := context.WithCancel(t.Context())
		var kept sync.WaitGroup
		kept.Go(func() { l.Keep(ctx, 1) })
		for i := range 8 {
			if i == 5 {
				r.log.refuse.Store(false)
			}
			r.say("0", "", "Ann", fmt.Sprint("line", i))
			time.Sleep(300 * time.Millisecond)
		}
		time.Sleep(time.Second)
		if got, lost := r.search(ChatQuery{}); got != "line0 line1 line2 line3 line4 line5 line6 line7" || lost != 0 {
			t.Errorf("the log has %s, %d lost", got, lost)
		}
		cancel()
		kept.Wait()
	})
}
