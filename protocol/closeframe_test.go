package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestSection5_5_1_Close(t *testing.T) {
	code := func(c int, reason string) string { return string([]byte{byte(c >> 8), byte(c)}) + reason }
	for _, c := range []struct {
		name, payload string
		code          CloseCode
		reason        string
		err           error
	}{
		{"empty", "", CloseNoStatus, "", nil},
		{"one byte", "\x03", 0, "", ErrClosePayload},
		{"normal", code(1000, ""), CloseNormal, "", nil},
		{"with reason", code(4005, "slow €"), CloseSlow, "slow €", nil},
		{"longest", code(1001, strings.Repeat("r", 123)), CloseGoingAway, strings.Repeat("r", 123), nil},
		{"reason not UTF-8", code(1000, "a\xff"), 0, "", ErrCloseUTF8},
		{"reason cut inside a rune", code(1000, "\xe2\x82"), 0, "", ErrCloseUTF8},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, reason, err := ParseClose([]byte(c.payload))
			if got != c.code || reason != c.reason || !errors.Is(err, c.err) {
				t.Errorf("ParseClose: %d %q %v", got, reason, err)
			}
			want := fmt.Sprintf("8 %q; ", c.payload)
			if c.err != nil {
				want = fmt.Sprintf("%d %v", CloseCodeOf(c.err), c.err)
			}
			runWS(t, 0, []wsCase{{"frame", masked(fin|closing, c.payload), want}})
		})
	}
}

func TestSection7_4_CloseCodes(t *testing.T) {
	for c := range 1 << 16 {
		code := CloseCode(c)
		want := c >= 1000 && c <= 1003 || c >= 1007 && c <= 1014 || c >= 3000 && c <= 4999
		if code.Sendable() != want {
			t.Fatalf("Sendable(%d) = %v", c, !want)
		}
		_, _, err := ParseClose([]byte{byte(c >> 8), byte(c)})
		if (err == nil) != want {
			t.Fatalf("ParseClose(%d): %v", c, err)
		}
	}
}

func TestAppendClose(t *testing.T) {
	for _, c := range []struct {
		code        CloseCode
		reason      string
		wantCode    CloseCode
		wantReason  string
		description string
	}{
		{CloseSlow, "slow", CloseSlow, "slow", "plain"},
		{CloseNormal, "", CloseNormal, "", "no reason"},
		{CloseNormal, strings.Repeat("r", 200), CloseNormal, strings.Repeat("r", 123), "long reason"},
		{CloseNormal, "r" + strings.Repeat("é", 100), CloseNormal, "r" + strings.Repeat("é", 61), "cut at a rune"},
		{CloseNormal, strings.Repeat("é", 100), CloseNormal, strings.Repeat("é", 61), "cut inside a rune"},
		{CloseNormal, "\xff", CloseNormal, "", "reason not UTF-8"},
		{CloseNoStatus, "x", CloseNoStatus, "", "no status"},
		{CloseAbnormal, "x", CloseNoStatus, "", "code that may not be sent"},
	} {
		client, server := Assembler{}, Assembler{Server: true}
		for side, in := range map[*Assembler][]byte{
			&client: AppendClose(nil, c.code, c.reason),
			&server: AppendMaskedClose(nil, [4]byte(testMask), c.code, c.reason),
		} {
			ev, n, err := side.Next(in)
			if err != nil || n != len(in) || ev.Op != OpClose {
				t.Fatalf("%s: %v %d %v", c.description, ev, n, err)
			}
			code, reason, err := ParseClose(ev.Payload)
			if code != c.wantCode || reason != c.wantReason || err != nil {
				t.Errorf("%s: %v %q %v", c.description, code, reason, err)
			}
		}
	}
}

func FuzzClose(f *testing.F) {
	f.Add([]byte("\x03\xe8bye"))
	f.Add([]byte("\x03"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		if len(payload) > MaxControl {
			return
		}
		code, reason, err := ParseClose(payload)
		if err == nil && !bytes.Equal(AppendClose(nil, code, reason)[2:], payload) {
			t.Fatalf("%x is %v %q and back %x", payload, code, reason, AppendClose(nil, code, reason))
		}
	})
}
