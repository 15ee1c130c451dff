package jobs

import "time"

// Alarm is one thing that will happen. The zero value is not set.
type Alarm struct {
	at    time.Time
	place int // index in the heap plus one; 0: not set
	of    any // *Lease, *waiter or *Tube
}

// Alarms is a 4-ary heap of alarms: the next one is found at once, and any can be moved or stopped.
type Alarms struct{ heap []*Alarm }

// Set sets or moves an alarm.
func (h *Alarms) Set(a *Alarm, at time.Time) {
	a.at = at
	if a.place == 0 {
		h.heap = append(h.heap, a)
		a.place = len(h.heap)
	}
	h.up(a.place - 1)
	h.down(a.place - 1)
}

// Stop takes an alarm out, if it is set.
func (h *Alarms) Stop(a *Alarm) {
	if a.place == 0 {
		return
	}
	i, last := a.place-1, len(h.heap)-1
	h.swap(i, last)
	h.heap[last] = nil
	h.heap = h.heap[:last]
	a.place = 0
	if i < last {
		h.up(i)
		h.down(i)
	}
}

// Next returns the time of the first alarm.
func (h *Alarms) Next() (time.Time, bool) {
	if len(h.heap) == 0 {
		return time.Time{}, false
	}
	return h.heap[0].at, true
}

// Due takes out and returns the first alarm if its time has come, else nil.
func (h *Alarms) Due(now time.Time) *Alarm {
	if len(h.heap) == 0 || now.Before(h.heap[0].at) {
		return nil
	}
	a := h.heap[0]
	h.Stop(a)
	return a
}

func (h *Alarms) swap(i, j int) {
	h.heap[i], h.heap[j] = h.heap[j], h.heap[i]
	h.heap[i].place, h.heap[j].place = i+1, j+1
}

func (h *Alarms) up(i int) {
	for i > 0 {
		parent := (i - 1) / 4
		if !h.heap[i].at.Before(h.heap[parent].at) {
			return
		}
		h.swap(i, parent)
		i = parent
	}
}

func (h *Alarms) down(i int) {
	for {
		least := i
		for child := 4*i + 1; child <= 4*i+4 && child < len(h.heap); child++ {
			if h.heap[child].at.Before(h.heap[least].at) {
				least = child
			}
		}
		if least == i {
			return
		}
		h.swap(i, least)
		i = least
	}
}
