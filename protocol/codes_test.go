package protocol

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestCloseCodes(t *testing.T) {
	names := map[string]bool{}
	last := CloseCode(0)
	for _, info := range CloseCodes() {
		if info.Code <= last || names[info.Name] || info.Name == "" || info.Meaning == "" {
			t.Errorf("row %+v: out of order, double or empty", info)
		}
		last, names[info.Name] = info.Code, true
		if got, ok := info.Code.Info(); got != info || !ok || info.Code.Reconnect() != info.Reconnect {
			t.Errorf("Info(%d) = %+v %v", info.Code, got, ok)
		}
		if onWire := info.Code != CloseNoStatus && info.Code != CloseAbnormal; onWire != info.Code.Sendable() {
			t.Errorf("Sendable(%v) = %v", info.Code, !onWire)
		}
	}
	if _, ok := CloseCode(4999).Info(); ok || CloseCode(4999).Name() != "unknown" || CloseCode(4999).Reconnect() {
		t.Error("4999 has a meaning")
	}
	CloseCodes()[0].Name = "changed"
	if CloseCodes()[0].Name == "changed" || CloseSlow.String() != "4005 slow" {
		t.Error("the table can be changed from outside")
	}
}

func TestCloseCodeOf(t *testing.T) {
	for err, want := range map[error]CloseCode{
		ErrLineTooLong: CloseTooBig, ErrBadUTF8: CloseBadData, ErrUnknownCommand: CloseProtocol, ErrBadLine: CloseProtocol,
		ErrTooBig: CloseTooBig, ErrTextUTF8: CloseBadData, ErrNotMasked: CloseProtocol,
		fmt.Errorf("wrapped: %w", ErrTooBig): CloseTooBig, errors.New("other"): CloseInternal,
	} {
		if got := CloseCodeOf(err); got != want {
			t.Errorf("CloseCodeOf(%v) = %v", err, got)
		}
	}
}

func TestCloseLine(t *testing.T) {
	line := AppendCloseLine(nil, CloseSlow)
	if string(line) != "00000CLOSE4005 slow\r\n" {
		t.Errorf("%q", line)
	}
	for _, info := range CloseCodes() {
		line := AppendCloseLine(nil, info.Code)
		cmd, payload, _, err := CutLine(line, len(line))
		code, reason, err2 := ParseCloseLine(payload)
		if cmd != CmdClose || err != nil || err2 != nil || code != info.Code || reason != info.Name {
			t.Errorf("%q: %v %q %v %v", line, code, reason, err, err2)
		}
	}
	for _, bad := range []string{"", "4005", "40050 x", "999 slow", "0999 x", "5000 x", "abcd x", "-100 x"} {
		if code, _, err := ParseCloseLine([]byte(bad)); err != ErrBadLine {
			t.Errorf("%q: %v %v", bad, code, err)
		}
	}
}

func TestStatuses(t *testing.T) {
	names := map[string]bool{}
	for i, info := range Statuses() {
		if i > 0 && info.Status <= Statuses()[i-1].Status || names[info.Name] || info.Name == "" || info.Meaning == "" {
			t.Errorf("row %+v: out of order, double or empty", info)
		}
		names[info.Name] = true
		if got, ok := info.Status.Info(); got != info || !ok || info.Status.Name() != info.Name {
			t.Errorf("Info(%d) = %+v %v", info.Status, got, ok)
		}
	}
	if _, ok := Status(99).Info(); ok || Status(99).Name() != "other" || StatusInvalid.String() != "1001 invalid" {
		t.Error("status 99 belongs to functions")
	}
}

func TestGridHeader(t *testing.T) {
	h := GridHeader{GridDelta, GridOwners, 0x0201, 0x06050403, 0x0e0d0c0b0a090807, 0x161514131211100f, 0x1e1d1c1b1a191817}
	b := AppendGridHeader(nil, h)
	if want := "0201 0102 03040506 0708090a0b0c0d0e 0f10111213141516 1718191a1b1c1d1e"; fmt.Sprintf("%x", b) != strings.ReplaceAll(want, " ", "") {
		t.Errorf("%x", b)
	}
	got, payload, err := ParseGridHeader(append(b, "rest"...))
	if got != h || string(payload) != "rest" || err != nil {
		t.Errorf("%+v %q %v", got, payload, err)
	}
	for i := range GridHeaderSize {
		if _, _, err := ParseGridHeader(b[:i]); err != ErrBadGridFrame {
			t.Errorf("%d bytes: %v", i, err)
		}
	}
	for _, odd := range []GridHeader{{Kind: 0}, {Kind: 5}, {Kind: GridTick, Flags: 4}, {Kind: GridTick, Flags: 0x80}} {
		if _, _, err := ParseGridHeader(AppendGridHeader(nil, odd)); err != ErrBadGridFrame {
			t.Errorf("%+v: %v", odd, err)
		}
	}
}

func FuzzGridHeader(f *testing.F) {
	f.Add(AppendGridHeader(nil, GridHeader{Kind: GridSnapshot, Game: 7}))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, payload, err := ParseGridHeader(b)
		if err == nil && string(append(AppendGridHeader(nil, h), payload...)) != string(b) {
			t.Fatalf("%x is %+v", b, h)
		}
	})
}
