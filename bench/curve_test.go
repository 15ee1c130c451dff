package bench

import (
	"math"
	"testing"
	"time"
)

// Goal: the exponent of a power is found, and what grows faster than the work is flagged. Method: points of known powers.
func TestExponent(t *testing.T) {
	power := func(k float64) (points []Point) {
		for x := 10.0; x <= 1e6; x *= 10 {
			points = append(points, Point{x, 3 * math.Pow(x, k)})
		}
		return points
	}
	for _, c := range []struct {
		points []Point
		linear float64
		want   float64
		worse  bool
	}{
		{power(1), 1, 1, false},
		{power(2), 1, 2, true},
		{power(1.05), 1, 1.05, false},
		{power(0.5), 0, 0.5, true},
		{power(0), 0, 0, false},
		{power(1)[:1], 1, 0, false},
		{nil, 1, 0, false},
		{append(power(1), Point{0, 5}, Point{5, 0}, Point{5, -1}), 1, 1, false}, // what has no logarithm is left out
		{[]Point{{7, 1}, {7, 2}}, 1, 0, false},                                  // one size only
	} {
		curve := Curve{Linear: c.linear, Points: c.points}
		curve.fit()
		if math.Abs(curve.Exponent-c.want) > 1e-9 || curve.Worse != c.worse {
			t.Errorf("%v: exponent %v, worse %v, want %v, %v", c.points, curve.Exponent, curve.Worse, c.want, c.worse)
		}
	}
}

// Goal: a latency line ends where the histogram has no more messages to tell from. Method: a thousand known durations.
func TestLatencyLine(t *testing.T) {
	l := newLatencies()
	for i := range 1000 {
		l.add(time.Duration(i+1) * time.Millisecond)
	}
	line := latencyLine("x", l)
	last := line.Points[len(line.Points)-1]
	if last.X != 1000 || math.Abs(last.Y-999) > 2 {
		t.Errorf("the last point is %v", last)
	}
	if half := line.Points[1]; half.X != 2 || math.Abs(half.Y-500) > 2 {
		t.Errorf("the middle is %v", half)
	}
	if empty := latencyLine("none", newLatencies()); len(empty.Points) != 0 {
		t.Error(empty)
	}
}
