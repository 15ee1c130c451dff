package e2e

import (
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// fingers sends one touch event with the fingers over these places of the window.
func (p *page) fingers(kind input.TouchType, places ...[2]float64) {
	p.t.Helper()
	points := []*input.TouchPoint{}
	for n, at := range places {
		points = append(points, &input.TouchPoint{X: at[0], Y: at[1], ID: float64(n + 1)})
	}
	p.run(input.DispatchTouchEvent(kind, points))
}

// Goal: fingers draw, pinch and move as on any phone. Method: a tap and a stroke with one finger, a pinch with two that must
// zoom and draw nothing, a move with the tool for it.
func TestTouch(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := s.guest("Ada", "")
	p.run(chromedp.EmulateViewport(390, 760, chromedp.EmulateTouch))
	p.create("fingers", map[string]string{"width": "48", "height": "48"})
	place := func(x, y int) [2]float64 {
		px, py := p.at(x, y)
		return [2]float64{px, py}
	}
	p.fingers(input.TouchStart, place(10, 10))
	p.fingers(input.TouchEnd)
	p.until(`gosper.grid.alive(10, 10)`)
	p.fingers(input.TouchStart, place(20, 20))
	p.fingers(input.TouchMove, place(23, 20))
	p.fingers(input.TouchEnd)
	p.until(`gosper.report.population === 5 && gosper.grid.alive(21, 20)`)

	width := func() float64 { return place(48, 0)[0] - place(0, 0)[0] }
	before := width()
	left, right := place(20, 30), place(28, 30)
	p.fingers(input.TouchStart, left)
	p.fingers(input.TouchStart, left, right)
	for n := range 10 {
		d := float64(n * 6)
		p.fingers(input.TouchMove, [2]float64{left[0] - d, left[1]}, [2]float64{right[0] + d, right[1]})
	}
	p.fingers(input.TouchEnd)
	if after := width(); after < 1.5*before {
		t.Errorf("the pinch made %.0f pixels %.0f", before, after)
	}

	p.click(`[data-tool=move]`)
	at := place(24, 24)
	p.fingers(input.TouchStart, at)
	p.fingers(input.TouchMove, [2]float64{at[0] - 40, at[1] - 30})
	p.fingers(input.TouchEnd)
	if now := place(24, 24); now[0] > at[0]-35 || now[1] > at[1]-25 {
		t.Errorf("the move took %v to %v", at, now)
	}
	if r := p.report(); r.Population != 5 {
		t.Errorf("%+v", r)
	}
}
