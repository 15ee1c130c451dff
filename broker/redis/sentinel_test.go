package redis

import (
	"testing"
	"time"

	"gosper/broker"
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
	c.talk(r, reconnectTime)
	before := say(t, r, "crowd.0", time.Now())
	master.Kill()
	end := time.Now().Add(4 * reconnectTime)
	var after broker.Position
	await(t, end, "the replica to take over", func() bool {
		var err error
		after, err = publish(t, r, "crowd.0")
		return err == nil
	})
	if after.Epoch <= before.Epoch {
		t.Errorf("after the change of server came %v, before it %v", after, before)
	}
	await(t, end, "the link", func() bool { return r.Health() == nil })
	c.talk(r, reconnectTime)
	c.toldAll(0)
}
