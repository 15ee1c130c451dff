package protocol

import "strconv"

// Status is the outcome of a function call in a reply envelope or a gate response. 0 is success. Numbers 1 to 99
// belong to single functions of the gate list, except 10, 11 and 12.
type Status int

// Statuses.
const (
	StatusOK Status = 0

	StatusTimeout         Status = -2
	StatusProgramming     Status = -1
	StatusUnknownFunction Status = 10
	StatusInvalidToken    Status = 11
	StatusNoToken         Status = 12

	StatusInternal         Status = 552
	StatusUnknown          Status = 1000
	StatusInvalid          Status = 1001
	StatusMissing          Status = 1002
	StatusTooMuch          Status = 1003
	StatusWrongPassword    Status = 1004
	StatusBadCharacters    Status = 1005
	StatusExpired          Status = 1006
	StatusOverspend        Status = 1007
	StatusUnderspend       Status = 1008
	StatusRange            Status = 1009
	StatusRefused          Status = 1010
	StatusNotStored        Status = 1011
	StatusNotProduced      Status = 1012
	StatusPrerequisite     Status = 1013
	StatusCaptchaWrong     Status = 1014
	StatusNoSitters        Status = 1015
	StatusCaptchaNeeded    Status = 1016
	StatusVotePending      Status = 1017
	StatusVoted            Status = 1018
	StatusNoEmpire         Status = 1100
	StatusEmpireNotFounded Status = 1101
	StatusGameOver         Status = 1200
	StatusBusy             Status = 1300
)

// StatusInfo is one row of the table of statuses.
type StatusInfo struct {
	Status  Status
	Name    string // snake case: metric label and log field
	Meaning string
}

// statuses is the table behind Statuses, in the order of numbers.
var statuses = [...]StatusInfo{
	{StatusTimeout, "timeout", "no answer in time; the work may still be done"},
	{StatusProgramming, "programming_error", "an error of the server or a malformed gate request"},
	{StatusOK, "ok", "done"},
	{StatusUnknownFunction, "unknown_function", "the gate knows no function of this name"},
	{StatusInvalidToken, "invalid_token", "the token is forged, expired or replaced"},
	{StatusNoToken, "no_token", "the function needs a token"},
	{StatusInternal, "internal", "an internal error"},
	{StatusUnknown, "unknown", "unknown route, malformed envelope or an error without a code of its own"},
	{StatusInvalid, "invalid", "a value is not valid"},
	{StatusMissing, "missing", "a value is missing, or the caller is not logged in"},
	{StatusTooMuch, "too_much", "too much data"},
	{StatusWrongPassword, "wrong_password", "wrong password"},
	{StatusBadCharacters, "bad_characters", "characters that are not allowed"},
	{StatusExpired, "expired", "the session is unknown or expired"},
	{StatusOverspend, "overspend", "more than there is to spend"},
	{StatusUnderspend, "underspend", "less than must be spent"},
	{StatusRange, "range", "a number out of its range"},
	{StatusRefused, "refused", "no privilege, or over the rate limit"},
	{StatusNotStored, "not_stored", "not enough stored"},
	{StatusNotProduced, "not_produced", "not enough produced"},
	{StatusPrerequisite, "prerequisite", "something must be done first"},
	{StatusCaptchaWrong, "captcha_wrong", "wrong captcha; the data hold a new one"},
	{StatusNoSitters, "no_sitters", "not allowed to a sitter"},
	{StatusCaptchaNeeded, "captcha_needed", "a captcha must be solved first"},
	{StatusVotePending, "vote_pending", "a vote has to be taken first"},
	{StatusVoted, "voted", "already voted"},
	{StatusNoEmpire, "no_empire", "the empire is not founded yet"},
	{StatusEmpireNotFounded, "empire_not_founded", "the empire could not be founded"},
	{StatusGameOver, "game_over", "the game is over"},
	{StatusBusy, "busy", "the server cannot take it now: try again later"},
}

// Statuses returns the table of statuses in the order of numbers. The slice is the caller's own.
func Statuses() []StatusInfo { return append([]StatusInfo(nil), statuses[:]...) }

// Info returns the table's row of the status, and false for one that is not in it.
func (s Status) Info() (StatusInfo, bool) {
	for i := range statuses {
		if statuses[i].Status == s {
			return statuses[i], true
		}
	}
	return StatusInfo{Status: s, Name: "other", Meaning: "a status of one function"}, false
}

// Name returns the word of the table ("invalid"), or "other". It does not allocate.
func (s Status) Name() string {
	info, _ := s.Info()
	return info.Name
}

// String returns number and name ("1001 invalid").
func (s Status) String() string { return strconv.Itoa(int(s)) + " " + s.Name() }
