package edge

// rateClass is a class of messages that has a rate limit of its own on each connection.
type rateClass uint8

const (
	rateChat    rateClass = iota // chat lines
	rateCall                     // function calls
	rateControl                  // websocket control frames
	rateClasses
)

// bucket is a token bucket in 8 bytes. Tokens are counted in thousandths and refilled from the tick counter of the loop,
// so that a check costs no clock reading. The zero value is a bucket that was full at tick 0.
type bucket struct {
	spent int32  // thousandths of tokens missing
	last  uint32 // tick of the last refill
}

const milli = 1000

// take takes one token at tick now and reports whether there was one. rate is in tokens a second, 0 means no limit.
func (b *bucket) take(now uint32, rate, burst int) bool {
	if rate <= 0 {
		return true
	}
	if passed := now - b.last; passed > 0 {
		back := int64(passed) * int64(rate) * milli / ticksPerSecond
		b.spent = int32(max(0, int64(b.spent)-back))
		b.last = now
	}
	if int64(b.spent)+milli > int64(burst)*milli {
		return false
	}
	b.spent += milli
	return true
}
