package redis

import (
	"testing"
	"time"

	"gosper/broker/redis/redistest"
)

// Goal: when a replica takes over, subscribers are told of a gap, all goes on, and no offset means two things. Method: a
// master with a replica and a sentinel, each a real server; the master is killed in the middle of a talk.
func TestSentinel(t *testing.T) {
	t.Parallel()
	master := redistest.Start(t)
	redistest.StartReplica(t, master)
	sentinel := redistest.StartSentinel(t, master)
	r := open(t, sentinel.URL()+"?master_set=main")
	c := newCrowd(t, r, "crowd")
	c.talk(r)
	before := say(t, r, "crowd.0", time.Now())
	master.Kill()
	after := say(t, r, "crowd.0", time.Now().Add(4*patience)) // a sentinel that got no turn for two seconds does nothing for thirty
	if after.Epoch <= before.Epoch {
		t.Errorf("after the change of server came %v, before it %v", after, before)
	}
	c.told()
	await(t, "the link", func() bool { return r.Health() == nil })
	c.talk(r)
}
