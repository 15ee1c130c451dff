package protocol

import (
	"bytes"
	"strings"
	"testing"
)

// Goal: command lines are taken as the protocol's text says. Method: table; numbers at their limits and one above.
func TestCutBeanstalk(t *testing.T) {
	good := map[string]BeanstalkRequest{
		"put 1 2 3 4":                     {Command: BeanstalkPut, Priority: 1, Delay: 2, TTR: 3, Bytes: 4},
		"put  4294967295 0 4294967295  0": {Command: BeanstalkPut, Priority: 1<<32 - 1, TTR: 1<<32 - 1},
		"delete 18446744073709551615":     {Command: BeanstalkDelete, ID: 1<<64 - 1},
		"reserve":                         {Command: BeanstalkReserve},
		"reserve-with-timeout -7":         {Command: BeanstalkReserveTimeout, Timeout: -1},
		"reserve-with-timeout 30":         {Command: BeanstalkReserveTimeout, Timeout: 30},
		"release 1 2 3":                   {Command: BeanstalkRelease, ID: 1, Priority: 2, Delay: 3},
		"pause-tube a 9":                  {Command: BeanstalkPauseTube, Tube: []byte("a"), Delay: 9},
		"kick 5":                          {Command: BeanstalkKick, Bound: 5},
		"quit and more":                   {Command: BeanstalkQuit},
	}
	for line, want := range good {
		got, n, err := CutBeanstalk([]byte(line + "\r\nrest"))
		if err != nil || n != len(line)+2 || string(got.Tube) != string(want.Tube) {
			t.Errorf("%q: %+v, %d, %v", line, got, n, err)
			continue
		}
		got.Tube, want.Tube = nil, nil
		if got.Command != want.Command || got.ID != want.ID || got.Priority != want.Priority || got.Delay != want.Delay ||
			got.TTR != want.TTR || got.Bytes != want.Bytes || got.Bound != want.Bound || got.Timeout != want.Timeout {
			t.Errorf("%q: %+v, want %+v", line, got, want)
		}
	}
	bad := map[string]error{
		"put 1 2 3": ErrBeanstalkFormat, "put 1 2 3 4 ": ErrBeanstalkFormat, "put 1 2 3 4294967296": ErrBeanstalkFormat,
		"delete 18446744073709551616": ErrBeanstalkFormat, "reserve ": ErrBeanstalkFormat, "use -a": ErrBeanstalkFormat,
		"use " + strings.Repeat("a", 201): ErrBeanstalkFormat, "stats-tube": ErrBeanstalkFormat, "list-tubes\x00": ErrBeanstalkFormat,
		"": ErrBeanstalkUnknown, "Put 1 2 3 4": ErrBeanstalkUnknown, "delete": ErrBeanstalkUnknown, "a\x00": ErrBeanstalkFormat,
	}
	for line, want := range bad {
		if _, n, err := CutBeanstalk([]byte(line + "\r\n")); err != want || n != len(line)+2 {
			t.Errorf("%q: %d, %v", line, n, err)
		}
	}
	for _, line := range []string{"", "reserve", "reserve\r", strings.Repeat("a", BeanstalkLine-1)} {
		if _, n, err := CutBeanstalk([]byte(line)); n != 0 || err != nil {
			t.Errorf("%q is not incomplete: %d, %v", line, n, err)
		}
	}
	if _, n, err := CutBeanstalk(bytes.Repeat([]byte("a"), BeanstalkLine)); n != 0 || err != ErrBeanstalkFormat {
		t.Error("a line that is too long:", n, err)
	}
}

// Goal: no bytes make the parser fail, and what it takes is a line. Method: fuzz, with the skipping of long lines.
func FuzzCutBeanstalk(f *testing.F) {
	for _, seed := range []string{"put 0 0 60 5\r\nhello\r\n", "reserve-with-timeout 1\r\n", "use a\r\n", "\r\n", "stats-tube \r\r\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, n, err := CutBeanstalk(b)
		switch {
		case n == 0 && err == nil:
			if len(b) >= BeanstalkLine {
				t.Fatal("waits for ever")
			}
		case n == 0:
			if skipped, _ := BeanstalkSkip(b); skipped > len(b) || skipped == 0 {
				t.Fatal(skipped)
			}
		case n > len(b) || n > BeanstalkLine || !bytes.HasSuffix(b[:n], []byte("\r\n")):
			t.Fatal(n)
		case err == nil && r.Command == BeanstalkNone:
			t.Fatal("no command")
		case err == nil && r.Tube != nil && !ValidTube(r.Tube):
			t.Fatalf("%q", r.Tube)
		}
	})
}
