package module

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"gosper/broker"
	"gosper/protocol"
)

// Limits of reports of players.
const (
	ReportsDay  = 10                  // of one player a day
	ReportsMost = 10_000              // that wait for a moderator; more are refused
	ReportAge   = 30 * 24 * time.Hour // after which a report that nobody looked at is dropped
	reportPage  = 1000
)

const reportPrefix = "report/"

// reportShelf counts the reports of the store. Several nodes of one store each count what they know of: the bound holds
// about.
type reportShelf struct{ waiting atomic.Int64 }

// Report is what one player says about another.
type Report struct {
	ID     string    `json:"id"` // sorts by time
	Time   time.Time `json:"time"`
	World  string    `json:"world"`
	By     Target    `json:"by"`
	About  Target    `json:"about"`
	Reason string    `json:"reason"`
	Family string    `json:"family,omitempty"` // where it was said; empty: in public
	Said   string    `json:"said,omitempty"`   // the message in question, as the history of the bus has it
	SaidAt time.Time `json:"saidAt,omitzero"`
}

// moderationFunctions are what players can do about others.
func moderationFunctions() []Function {
	return []Function{
		define(Function{Route: "/chat/report", Gate: "report_chat", Needs: NeedWorld, Class: ClassWrite,
			Doc: "Reports a player to the moderators, with the place (epoch, offset) of the message it is about. " +
				"A player may report ten times a day.",
			Example: `{"name":"Alfred","reason":"spam","family":false,"epoch":7,"offset":42}`}, reportChat),
	}
}

type reportIn struct {
	Name   string `json:"name"`
	Name2  string `json:"gn_target"`
	Reason string `json:"reason"`
	Family bool   `json:"family"`
	broker.Position
}

type reportOut struct {
	Report string `json:"report"`
}

func reportChat(t *Tools, c *Call, in *reportIn) (reportOut, error) {
	name := first(in.Name, in.Name2)
	switch {
	case !protocol.ValidDisplayName(name):
		return reportOut{}, refuseGate(protocol.StatusInvalid, 97, "name must be the name of a player")
	case strings.TrimSpace(in.Reason) == "":
		return reportOut{}, refuseGate(protocol.StatusMissing, 98, "reason is missing")
	case in.Family && c.Who.Family == "":
		return reportOut{}, faultNoFamily
	}
	if err := checkReason(in.Reason); err != nil {
		return reportOut{}, err
	}
	r := Report{Time: t.now().UTC(), World: c.Who.World, Reason: in.Reason,
		By: Target{c.Who.Account, c.Who.World, c.Who.Name}, About: Target{World: c.Who.World, Name: name}}
	if in.Family {
		r.Family = c.Who.Family
	}
	if err := t.findTarget(c.Context, &r.About); err != nil {
		return reportOut{}, err
	}
	if in.Offset > 0 {
		if err := t.quote(c.Context, &r, in.Position); err != nil {
			return reportOut{}, err
		}
	}
	return t.fileReport(c, &r)
}

// quote reads the message that a report is about. The words of the reporter would prove nothing.
func (t *Tools) quote(ctx context.Context, r *Report, at broker.Position) error {
	missing := refuseGate(protocol.StatusInvalid, 96, "there is no message of this player at this place any more: report without it")
	since := broker.Position{Epoch: at.Epoch, Offset: at.Offset - 1}
	found, err := t.bus.History(ctx, protocol.ChatSubject(r.World, r.Family), since, 1)
	if err != nil {
		return err
	}
	for _, m := range found.Messages {
		line, ok := saidOf(m)
		if ok && m.Position == at && fold(line.Name) == fold(r.About.Name) {
			r.Said, r.SaidAt = line.Text, time.UnixMilli(line.Time).UTC()
			return nil
		}
	}
	return missing
}

// fileReport writes a report within the limits.
func (t *Tools) fileReport(c *Call, r *Report) (reportOut, error) {
	if err := t.takeDaily(c.Context, "report", &c.Who, ReportsDay); err != nil {
		return reportOut{}, err
	}
	shelf := &t.moderation.reports
	if shelf.waiting.Load() >= ReportsMost {
		if err := t.countReports(c.Context); err != nil {
			return reportOut{}, err
		}
		if shelf.waiting.Load() >= ReportsMost {
			t.log.Warn("a report of a player was refused: too many wait for a moderator", "most", ReportsMost)
			return reportOut{}, refuseGate(protocol.StatusBusy, 95, "too many reports wait for the moderators: try later")
		}
	}
	id, err := uuid.NewV7()
	if err != nil {
		return reportOut{}, err
	}
	r.ID = id.String()
	value, err := json.Marshal(r)
	if err != nil {
		return reportOut{}, err
	}
	if _, err := t.store.Create(c.Context, reportPrefix+r.ID, value); err != nil {
		return reportOut{}, err
	}
	shelf.waiting.Add(1)
	moderationMetrics.reports.Inc()
	return reportOut{r.ID}, nil
}

// countReports counts what waits, and drops what is too old.
func (t *Tools) countReports(ctx context.Context) error {
	count, oldest := 0, t.now().Add(-ReportAge)
	for after := ""; ; {
		records, err := t.store.List(ctx, reportPrefix, after, reportPage)
		if err != nil {
			return fmt.Errorf("reports: %w", err)
		}
		for _, r := range records {
			var report Report
			if json.Unmarshal(r.Value, &report) == nil && report.Time.Before(oldest) {
				if err := t.store.Delete(ctx, r.Key, broker.AnyRevision); err != nil && !errors.Is(err, broker.ErrNotFound) {
					return err
				}
				continue
			}
			count++
		}
		if len(records) < reportPage {
			t.moderation.reports.waiting.Store(int64(count))
			return nil
		}
		after = records[len(records)-1].Key
	}
}

// Reports returns at most limit reports with an id after `after`, oldest first. It blocks.
func (t *Table) Reports(ctx context.Context, after string, limit int) ([]Report, error) {
	if after != "" {
		after = reportPrefix + after
	}
	records, err := t.tools.store.List(ctx, reportPrefix, after, limit)
	if err != nil {
		return nil, err
	}
	list := make([]Report, len(records))
	for i, r := range records {
		if err := json.Unmarshal(r.Value, &list[i]); err != nil {
			return nil, fmt.Errorf("report %q is damaged: %w", r.Key, err)
		}
	}
	return list, nil
}

// CloseReport drops a report that was dealt with: broker.ErrNotFound. It blocks.
func (t *Table) CloseReport(ctx context.Context, id string) error {
	r, err := t.tools.store.Get(ctx, reportPrefix+id)
	if err != nil {
		return err
	}
	if err := t.tools.store.Delete(ctx, r.Key, r.Revision); err != nil {
		return err
	}
	t.tools.moderation.reports.waiting.Add(-1)
	return nil
}

// takeDaily counts one use of something that a player may do so often a day (UTC), and refuses it beyond with gate code 99.
func (t *Tools) takeDaily(ctx context.Context, what string, who *Identity, most int) error {
	n, err := t.registry.Count(ctx, t.dailyKey(what, who), 1, 25*time.Hour)
	if err != nil {
		return err
	}
	if n > int64(most) {
		return dailyFault(what, most)
	}
	return nil
}

// giveDaily takes one use back that came to nothing.
func (t *Tools) giveDaily(ctx context.Context, what string, who *Identity) {
	if _, err := t.registry.Count(ctx, t.dailyKey(what, who), -1, 25*time.Hour); err != nil {
		t.log.Warn("a daily count was not taken back", "what", what, "error", err)
	}
}

func (t *Tools) dailyKey(what string, who *Identity) string {
	day := t.now().UTC().Format(time.DateOnly)
	return "daily." + what + "." + day + "." + who.World + "." + protocol.EscapeToken(first(who.Account, "/"+who.Name))
}

func dailyFault(what string, most int) *Fault {
	return refuseGate(protocol.StatusRefused, 99, fmt.Sprintf("no more than %d a day: %s", most, what))
}
