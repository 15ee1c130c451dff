package bench

import (
	"strings"
	"testing"
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
