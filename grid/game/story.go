package game

import (
	"context"
	"fmt"
	"time"
)

// Event is one line of the story of a game.
type Event struct {
	Seq        uint64 // place in the log: pass the last one to go on reading
	Generation uint64
	Time       time.Time
	User       string // who asked; empty for the node, and for users nobody knows any more
	Kind       string // "create", "join", "leave", "start", "pause", "stop", "configure", "colour", "edit", "rewind", "open", "end"
	Grid       int    // of edits
	Edits      int    // how many
}

var eventNames = [eventKinds]string{
	evCreate: "create", evOpen: "open", evJoin: "join", evLeave: "leave", evConfigure: "configure", evColour: "colour",
	evEdits: "edit", evRewind: "rewind", evEnd: "end",
}

// MaxEvents is the most events that one call of Events returns.
const MaxEvents = 1000

// Events returns what happened behind place after, oldest first, about limit events (at most MaxEvents) and all of the
// last entry they come from. What was trimmed away is left out.
func (g *Game) Events(ctx context.Context, after uint64, limit int) ([]Event, error) {
	limit = min(max(limit, 1), MaxEvents)
	info := g.Info()
	story := story{info: &info}
	for from := after + 1; ; {
		entries, err := g.host.storage.Read(ctx, g.id.logName(), from, pageEntries)
		if err != nil {
			return nil, err
		}
		for _, stored := range entries {
			from = stored.Seq + 1
			e, err := parseEntry(stored.Data)
			if err != nil {
				return nil, fmt.Errorf("entry %d: %w", stored.Seq, err)
			}
			if story.next(&e); len(story.lines) >= limit {
				return story.lines, nil
			}
			story.add(stored.Seq, &e)
		}
		if len(entries) < pageEntries {
			return story.lines, nil
		}
	}
}

// story collects what entries tell, without void batches.
type story struct {
	info   *Info
	lines  []Event
	number uint64 // of the last batch
	from   int    // where its lines begin; there are none of it when this is the end
}

// next takes out the lines of the last batch when e makes it void.
func (s *story) next(e *entry) {
	if s.from < len(s.lines) && e.number <= s.number {
		s.lines = s.lines[:s.from]
	}
}

// add writes the lines of e.
func (s *story) add(seq uint64, e *entry) {
	if len(e.events) > 0 {
		s.number, s.from = e.number, len(s.lines)
	}
	for i := range e.events {
		ev := &e.events[i]
		line := Event{Seq: seq, Generation: e.generation, Time: time.UnixMilli(e.time), Kind: eventNames[ev.kind], Grid: ev.grid, Edits: len(ev.edits)}
		for _, u := range s.info.Users {
			if int(u.Number) == int(ev.by)-1 || ev.user != "" && u.ID == ev.user {
				line.User = u.ID
			}
		}
		if ev.kind == evState {
			line.Kind = [...]string{Paused: "pause", Running: "start", Stopped: "stop"}[ev.state]
		}
		s.lines = append(s.lines, line)
	}
}
