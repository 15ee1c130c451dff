package bench

import (
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Goal: replies of queues are taken whole, however they arrive, and a refusal is an error. Method: each speech, its replies
// cut at every place.
func TestQueueSpeeches(t *testing.T) {
	body := []byte("body")
	for name, c := range map[string]struct {
		speech  queueSpeech
		replies []string
		sends   []string
	}{
		"put":   {newPutSpeech(body), []string{"INSERTED 12\r\n"}, []string{"put 1000 0 60 4\r\nbody\r\n", ""}},
		"redis": {newPushSpeech(body), []string{":7\r\n"}, []string{"*3\r\n$5\r\nRPUSH\r\n$5\r\nqueue\r\n$4\r\nbody\r\n", ""}},
		"cycle": {&cycleSpeech{putSpeech: *newPutSpeech(body)}, []string{"INSERTED 3\r\n", "RESERVED 2 4\r\nbo\r\n\r\n", "DELETED\r\n"},
			[]string{"put 1000 0 60 4\r\nbody\r\n", "reserve\r\n", "delete 2\r\n", ""}},
	} {
		if got := string(c.speech.begin()); got != c.sends[0] {
			t.Errorf("%s begins with %q", name, got)
		}
		for i, reply := range c.replies {
			for cut := range reply {
				if used, _, err := c.speech.reply([]byte(reply[:cut])); used != 0 || err != nil {
					t.Fatalf("%s: %q is whole: %d, %v", name, reply[:cut], used, err)
				}
			}
			used, send, err := c.speech.reply([]byte(reply))
			if used != len(reply) || string(send) != c.sends[i+1] || err != nil {
				t.Errorf("%s: %q: %d, %q, %v", name, reply, used, send, err)
			}
		}
		if _, _, err := c.speech.reply([]byte("-ERR no\r\n")); err == nil {
			t.Errorf("%s: a refusal is no error", name)
		}
	}
}

// Goal: the schedule scenario runs and reconciles, and all timers of the peers come. Method: quick runs; the queue scenario
// needs a server and is tested with the command.
func TestScheduleScenario(t *testing.T) {
	for peer, program := range map[string]string{"redis": "redis-server", "jetstream": ""} {
		t.Run(peer, func(t *testing.T) { testSchedule(t, peer, program) })
	}
}

func testSchedule(t *testing.T, peer, program string) {
	o := selfOptions(t)
	o.Quick, o.Duration, o.Repeat, o.Against = true, 400*time.Millisecond, 1, peer
	if _, err := exec.LookPath(program); err != nil && program != "" {
		t.Logf("without a peer: %v", err)
		o.Against = ""
	}
	r, err := Execute(t.Context(), "schedule", o)
	if err != nil || !r.OK || r.Sent == 0 || r.Sent != r.Received {
		t.Fatalf("%+v, %v", r, err)
	}
	if p := r.Peers[peer]; o.Against != "" && (p == nil || p.Figures["lateness_p99_ms"] <= 0) {
		t.Errorf("no lateness of the peer: %+v", p)
	}
	for _, figure := range []string{"lateness_p99_ms", "bytes_per_timer", "restart_s"} {
		if _, ok := r.Figures[figure]; !ok {
			t.Errorf("there is no %s", figure)
		}
	}
	if !strings.Contains(r.Settings["durability"].(string), "fsync") {
		t.Error(r.Settings)
	}
}
