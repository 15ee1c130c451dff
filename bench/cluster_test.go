package bench

import (
	"strings"
	"testing"
	"time"
)

// Goal: commands of clients are told from what scripts call. Method: lines as a server writes them.
func TestClientCommands(t *testing.T) {
	text := "# Commandstats\r\ncmdstat_evalsha:calls=1000,usec=5,usec_per_call=1\r\ncmdstat_eval:calls=2,usec=5\r\ncmdstat_hset:calls=1002,usec=5\r\n" +
		"cmdstat_pubsub|numsub:calls=1002,usec=1\r\ncmdstat_publish:calls=1002,usec=9\r\ncmdstat_info:calls=7,usec=1\r\ncmdstat_set:calls=40,usec=1\r\n"
	if n, err := clientCommands(text); n != 1042 || err != nil {
		t.Error(n, err)
	}
	if _, err := clientCommands("cmdstat_set:calls=many,usec=1\r\n"); err == nil {
		t.Error("a number that is none was taken")
	}
}

// Goal: options of a cluster that cannot be are refused by name. Method: table.
func TestClusterOptions(t *testing.T) {
	for field, o := range map[string]ClusterOptions{
		"nodes": {Nodes: MaxClusterNodes + 1},
		"nats":  {NATS: NoNATS},
		"bus":   {Bus: "post"},
		"port":  {Port: 65530},
	} {
		if c, err := StartCluster(t.Context(), o); c != nil || err == nil || !strings.HasPrefix(err.Error(), field+":") {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// Goal: how late generations are is told from their times, and frames of edits between them do not count. Method: a time-table with
// edits and a pause in it.
func TestLateTicks(t *testing.T) {
	begin := time.Now()
	frame := func(ms int, generation uint64) failFrame {
		return failFrame{at: begin.Add(time.Duration(ms) * time.Millisecond), generation: generation}
	}
	before := []failFrame{frame(-20, 0), frame(10, 1), frame(50, 1), frame(100, 2), frame(110, 2), frame(199, 2), frame(205, 3)}
	for _, c := range []struct {
		frames []failFrame
		want   float64
	}{
		{nil, 0}, {[]failFrame{frame(300, 4), frame(395, 4), frame(400, 5)}, 0}, {[]failFrame{frame(299, 3), frame(300, 4), frame(550, 5), frame(600, 7)}, 1.5},
		{[]failFrame{frame(550, 6)}, 0.5}, {[]failFrame{frame(5200, 3), frame(5400, 4)}, 51},
	} {
		quiet := newGenerations(before)
		all := newGenerations(append(before[:len(before):len(before)], c.frames...))
		if got := lateTicks(quiet, all[len(quiet):], 100*time.Millisecond); got < c.want-0.001 || got > c.want+0.001 {
			t.Errorf("%v: %v, want %v", c.frames, got, c.want)
		}
		if got := lateTicks(quiet, quiet, 100*time.Millisecond); got < 0.099 || got > 0.101 {
			t.Errorf("undisturbed: %v", got)
		}
	}
	if lateTicks(nil, before, time.Second) != 0 || newGenerations(nil) != nil {
		t.Error("late without a time-table")
	}
}
