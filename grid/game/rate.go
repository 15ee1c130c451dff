package game

import "time"

// bucket lets rate tokens a second through, twice as many at once.
type bucket struct {
	tokens float64
	at     time.Time
}

func (b *bucket) take(n, rate float64, now time.Time) bool {
	b.tokens = min(2*rate, b.tokens+now.Sub(b.at).Seconds()*rate)
	b.at = now
	if b.tokens < n && !(n > 2*rate && b.tokens >= 2*rate) { // a request above the burst passes when the bucket is full
		return false
	}
	b.tokens -= n
	return true
}

// rates bounds the edits of one game, guarded by its mu.
type rates struct {
	game  bucket
	users map[string]*bucket
}

func newRates(l *Limits, now time.Time) rates {
	return rates{game: bucket{2 * float64(l.EditsGame), now}, users: map[string]*bucket{}}
}

// take says whether edits of that cost may go on.
func (r *rates) take(user string, cost int, l *Limits, now time.Time) error {
	u := r.users[user]
	if u == nil {
		if len(r.users) > 2*MaxUsers {
			clear(r.users) // many came and went; who is still here starts with a full bucket, once
		}
		u = &bucket{2 * float64(l.EditsUser), now}
		r.users[user] = u
	}
	n := float64(cost)
	if !u.take(n, float64(l.EditsUser), now) {
		limitHit("edits_user")
		return ErrRate
	}
	if !r.game.take(n, float64(l.EditsGame), now) {
		limitHit("edits_game")
		return ErrRate
	}
	return nil
}
