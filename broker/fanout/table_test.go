package fanout

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"gosper/broker"
)

// TestTableModel joins and leaves at random and compares every delivery with MatchSubject on a plain list. At the end all
// leave, and nothing of the trie may be left.
func TestTableModel(t *testing.T) {
	token := rapid.SampledFrom([]string{"a", "b", "c"})
	rapid.Check(t, func(t *rapid.T) {
		type member struct {
			pattern string
			sub     broker.Subscription
			got     *int
		}
		var table Table
		var members []member
		var scratch Scratch
		name := func(t *rapid.T, wild bool) string {
			s := token.Draw(t, "token")
			for range rapid.IntRange(0, 3).Draw(t, "more") {
				s += "." + token.Draw(t, "token")
			}
			if wild {
				b := []byte(s)
				for i := 0; i < len(b); i += 2 {
					if rapid.Bool().Draw(t, "star") {
						b[i] = '*'
					}
				}
				if rapid.Bool().Draw(t, "tail") {
					b[len(b)-1] = '>'
				}
				s = string(b)
			}
			return s
		}
		t.Repeat(map[string]func(*rapid.T){
			"join": func(t *rapid.T) {
				pattern, got := name(t, rapid.Bool().Draw(t, "wild")), new(int)
				sub, err := table.Subscribe(pattern, broker.Handler{Message: func(*broker.Message) { *got++ }})
				if err != nil {
					t.Fatal(err)
				}
				members = append(members, member{pattern, sub, got})
			},
			"leave": func(t *rapid.T) {
				if len(members) == 0 {
					return
				}
				i := rapid.IntRange(0, len(members)-1).Draw(t, "who")
				members[i].sub.Unsubscribe()
				members[i].sub.Unsubscribe()
				members = append(members[:i], members[i+1:]...)
			},
			"publish": func(t *rapid.T) {
				subject := name(t, false)
				table.deliver(&post{subject: subject}, &scratch)
				for _, m := range members {
					want := 0
					if broker.MatchSubject(m.pattern, subject) {
						want = 1
					}
					if *m.got != want {
						t.Fatalf("%q got %q %d times, want %d", m.pattern, subject, *m.got, want)
					}
					*m.got = 0
				}
				if table.Len() != len(members) {
					t.Fatalf("%d subscriptions, want %d", table.Len(), len(members))
				}
			},
		})
		for _, m := range members {
			m.sub.Unsubscribe()
		}
		if len(table.exact) != 0 || len(table.root.kids) != 0 || table.root.star != nil || table.wild != 0 ||
			len(table.root.rest.entries) != 0 || table.Len() != 0 {
			t.Fatalf("left over: %+v", &table.root)
		}
	})
}

// TestSnapshotWhileLeaving delivers while members leave and join: a list being read is never written to.
func TestSnapshotWhileLeaving(t *testing.T) {
	var table Table
	stop := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var subs []broker.Subscription
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			s, err := table.Subscribe([]string{"a", "*", ">"}[i%3], broker.Handler{Message: func(*broker.Message) {}})
			if err != nil {
				t.Error(err)
			}
			if subs = append(subs, s); len(subs) > 100 {
				subs[0].Unsubscribe()
				subs = subs[1:]
			}
		}
	}()
	var scratch Scratch
	for range 20_000 {
		table.deliver(&post{subject: "a"}, &scratch)
	}
	close(stop)
	<-ended
}

// BenchmarkMatch finds the subscribers of one subject among a hundred thousand subscriptions of others.
func BenchmarkMatch(b *testing.B) {
	for _, kind := range []string{"user.%d", "user.*.%d", "*.%d.>"} {
		b.Run(kind, func(b *testing.B) {
			var table Table
			for i := range 100_000 {
				if _, err := table.Subscribe(fmt.Sprintf(kind, i), broker.Handler{}); err != nil {
					b.Fatal(err)
				}
			}
			var scratch Scratch
			b.ReportAllocs()
			for b.Loop() {
				table.match("user.777.777", &scratch)
				table.match("user.777", &scratch)
			}
		})
	}
}
