package nats

import (
	"strings"
	"sync"
	"time"

	"gosper/broker"
)

// subscription is one subscription of this node.
type subscription struct {
	bus     *Bus
	entry   broker.Subscription // in the table
	pattern string
	once    sync.Once
}

// Unsubscribe implements broker.Subscription.
func (s *subscription) Unsubscribe() {
	s.once.Do(func() {
		s.entry.Unsubscribe()
		s.bus.link.leave(s.pattern)
	})
}

// gap tells those subscribers that affected names that messages may have been missed. Caller holds no lock.
func (b *Bus) gap(reason string, affected func(pattern string) bool) {
	if told := b.table.Gap(reason, affected); told > 0 {
		gapsTotal.Add(told)
		b.opts.Log.Warn("the bus may have missed messages", "reason", reason, "subscriptions", told)
	}
}

func everyPattern(string) bool { return true }

// matches returns the test for patterns that match the subject.
func matches(subject string) func(string) bool {
	return func(pattern string) bool { return broker.MatchSubject(pattern, subject) }
}

// dropped runs when messages of a pattern came faster than they were taken. Other patterns get them by the same
// subscription when they are narrower, so all are told that may have something in common with it.
func (b *Bus) dropped(string) {
	b.gap("messages came faster than this node could take them", everyPattern)
}

// noticed takes the notice of another node whose link was away.
func (b *Bus) noticed(text string) {
	const reason = "the link of another node was away"
	if text == ">" {
		b.gap(reason, everyPattern)
		return
	}
	for subject := range strings.SplitSeq(text, "\n") {
		if broker.ValidSubject(subject) {
			b.gap(reason, matches(subject))
		}
	}
}

// notify tells other nodes what they may have missed of this one.
func (b *Bus) notify() {
	subjects, all := b.link.recent.tell(time.Now())
	if len(subjects) == 0 {
		return
	}
	text := strings.Join(subjects, "\n")
	if all {
		text = ">"
	}
	b.link.notice(noticeSubject, text)
}
