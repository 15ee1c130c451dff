package jobs

import (
	"fmt"

	"gosper/broker"
)

// CheckPut returns the error with which every engine refuses a job, or nil.
func CheckPut(max int, tube string, body []byte, o broker.PutOptions) error {
	switch {
	case !ValidTube(tube):
		return broker.BadName("tube", tube)
	case len(o.Unique) > broker.MaxUnique:
		return broker.BadName("unique text", o.Unique)
	case len(body) > max:
		return fmt.Errorf("%w: %d bytes, at most %d are allowed", broker.ErrTooBig, len(body), max)
	}
	return nil
}

// ValidTube reports whether a tube can have that name.
func ValidTube(name string) bool { return len(name) <= broker.MaxTube && broker.ValidKey(name) }

// CheckReservation is CheckPut for a reservation.
func CheckReservation(r broker.Reservation) error {
	if r.ID != 0 {
		return nil
	}
	if len(r.Tubes) == 0 {
		return broker.BadName("tube", "")
	}
	for _, name := range r.Tubes {
		if !ValidTube(name) {
			return broker.BadName("tube", name)
		}
	}
	return nil
}

// CheckTimer is CheckPut for a timer.
func CheckTimer(max int, t broker.Timer) error {
	switch {
	case !broker.ValidKey(t.Key):
		return broker.BadName("timer", t.Key)
	case t.Group != "" && !broker.ValidKey(t.Group):
		return broker.BadName("group", t.Group)
	}
	return CheckPut(max, t.Tube, t.Body, t.Put)
}
