package chain

import (
	"net/url"
	"slices"
	"time"
)

// State is where a chain or an item stands. The words are those that clients of older workflow engines know.
type State string

// States of chains and items.
const (
	Created          State = "created"           // taken, nothing begun: the engine is locked
	Running          State = "running"           // of an item: its call is under way
	Waiting          State = "waiting"           // of an item: it failed and is tried again soon
	AwaitingCallback State = "awaiting_callback" // of an item: called, its notification has not come
	Resumed          State = "resumed"           // a failed chain that runs again
	Completed        State = "completed"
	Failed           State = "failed"
	APIUnavailable   State = "api_unavailable"   // failed, because a target could not be reached
	Inconsistent     State = "inconsistent_data" // failed, and a compensation failed too
	Aborted          State = "aborted"           // cancelled
	Skipped          State = "skipped"           // of an item: not called, because an earlier one failed
	Compensated      State = "compensated"       // of an item: done, and undone
	pending          State = ""                  // of an item: nothing happened yet
)

// States lists the states a chain can have, for counts and documents.
func States() []State {
	return []State{Created, Running, Resumed, Completed, Failed, APIUnavailable, Inconsistent, Aborted}
}

// over says whether a chain or an item in this state moves no more by itself.
func (s State) over() bool {
	switch s {
	case Completed, Failed, APIUnavailable, Inconsistent, Aborted, Skipped, Compensated:
		return true
	}
	return false
}

// record is the part of a chain that changes, as it is stored.
type record struct {
	Account  string     `json:"account,omitempty"` // who submitted it; "" for a service
	State    State      `json:"state"`
	Reason   string     `json:"reason,omitempty"` // why it failed
	Created  time.Time  `json:"created"`
	Modified time.Time  `json:"modified"`
	Deadline time.Time  `json:"deadline"`
	Items    []progress `json:"items"`
	Told     bool       `json:"told,omitempty"` // whoever wanted the completion has it
	Far      bool       `json:"far,omitempty"`  // an item failed because its target was not reached
	Term     uint64     `json:"term,omitempty"` // of the runner that may write the record; 0: the node is alone, or nobody runs it yet

	revision uint64
}

// progress is where one item stands.
type progress struct {
	State    State     `json:"state,omitempty"`
	Attempts int       `json:"attempts,omitempty"` // since the node started
	Begun    time.Time `json:"begun,omitzero"`
	Ended    time.Time `json:"ended,omitzero"`
}

// Status is a chain as the world may see it. It holds no secrets.
type Status struct {
	Hash     string       `json:"hash"`
	Account  string       `json:"account,omitempty"`
	State    State        `json:"state"`
	Reason   string       `json:"reason,omitempty"`
	Created  time.Time    `json:"created"`
	Modified time.Time    `json:"modified"`
	Deadline time.Time    `json:"deadline"`
	Items    []ItemStatus `json:"items"`
}

// ItemStatus is one item of a Status.
type ItemStatus struct {
	Order    int       `json:"order"`
	Type     string    `json:"type"`
	Target   string    `json:"target"` // URL and endpoint, without user and password
	State    State     `json:"state"`
	Attempts int       `json:"attempts"`
	Begun    time.Time `json:"begun,omitzero"`
	Ended    time.Time `json:"ended,omitzero"`
	Response *Response `json:"response,omitempty"`
}

// Over says whether the chain has ended.
func (s *Status) Over() bool { return s.State.over() }

// Results returns the answers of the items that have one, as notification and completion messages list them.
func (s *Status) Results() []Result {
	var all []Result
	for i := range s.Items {
		if r := s.Items[i].Response; r != nil {
			all = append(all, Result{s.Items[i].Order, *r})
		}
	}
	return all
}

// status joins what is known of a chain. answers may hold nil.
func (r *record) status(w *Work, answers []*Response) Status {
	s := Status{Hash: w.Hash, Account: r.Account, State: r.State, Reason: r.Reason, Created: r.Created, Modified: r.Modified,
		Deadline: r.Deadline, Items: make([]ItemStatus, len(w.Items))}
	for i := range w.Items {
		it, p := &w.Items[i], &r.Items[i]
		s.Items[i] = ItemStatus{it.Order, it.Request.Type, it.Request.Target(), p.State, p.Attempts, p.Begun, p.Ended, answers[i]}
		if p.State == pending {
			s.Items[i].State = Created
		}
	}
	return s
}

// Target returns where a request goes, without user and password, for logs and status.
func (r *Request) Target() string {
	u, err := url.Parse(r.URL)
	if err != nil {
		return "(not a URL)"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	if r.Type == TypeAMQP {
		return u.String() + " " + r.Endpoint
	}
	return u.String() + r.Endpoint
}

// settled drops what only moves, which is not stored.
func (r *record) settled() {
	for i := range r.Items {
		if p := &r.Items[i]; !p.State.over() {
			*p = progress{}
		}
	}
}

// clone returns a copy that shares nothing that changes.
func (r *record) clone() *record {
	c := *r
	c.Items = slices.Clone(r.Items)
	return &c
}

// verdict tells, once every item is over, how the chain ends.
func (r *record) verdict(w *Work) State {
	end := Completed
	for i := range r.Items {
		switch s := r.Items[i].State; {
		case s == Failed && w.Items[i].Options.OnFailure == Continue:
		case s == Failed, s == Skipped && end == Completed:
			end = Failed
		}
	}
	return end
}
