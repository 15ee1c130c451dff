package nats

import (
	"testing"

	"gosper/broker"
)

// Goal: a hole in front of what a subject's listeners hear is noticed, the first message included. Method: what the stream
// said last, and what comes live, in all orders that can happen.
func TestHoles(t *testing.T) {
	at := func(epoch, offset uint64) broker.Position { return broker.Position{Epoch: epoch, Offset: offset} }
	for name, c := range map[string]struct {
		read  broker.Position
		heard []broker.Position
		fresh []bool
		holes []bool
	}{
		"nothing was read":           {broker.Position{}, []broker.Position{at(1, 7), at(1, 8)}, []bool{true, true}, []bool{false, false}},
		"right behind":               {at(1, 5), []broker.Position{at(1, 6)}, []bool{true}, []bool{false}},
		"behind a hole":              {at(1, 5), []broker.Position{at(1, 7), at(1, 8)}, []bool{true, true}, []bool{true, false}},
		"what was read is late":      {at(1, 5), []broker.Position{at(1, 4), at(1, 5), at(1, 6)}, []bool{true, true, true}, []bool{false, false, false}},
		"a hole behind what is late": {at(1, 5), []broker.Position{at(1, 4), at(1, 6)}, []bool{true, true}, []bool{false, true}},
		"another epoch":              {at(1, 5), []broker.Position{at(2, 1), at(2, 2)}, []bool{true, true}, []bool{true, false}},
		"twice":                      {at(1, 5), []broker.Position{at(1, 6), at(1, 6), at(1, 5)}, []bool{true, false, false}, []bool{false, false, false}},
	} {
		one := topic{read: c.read}
		for i, p := range c.heard {
			if fresh, hole := one.follow(p); fresh != c.fresh[i] || hole != c.holes[i] {
				t.Errorf("%s: %v is new %v, behind a hole %v", name, p, fresh, hole)
			}
		}
		one.read = at(9, 9)
		one.listen()
		if _, hole := one.follow(at(3, 30)); hole {
			t.Errorf("%s: a new listener was told of a hole", name)
		}
	}
}
