package redis

import (
	"hash/fnv"
	"strconv"
	"strings"

	"gosper/broker"
)

// groups is how many groups a cluster's subjects fall into. A group has one hash tag, so all its keys and channels are on
// one node, a script may touch several of them, and one link hears all of it. It bounds the nodes of a cluster that the
// bus makes use of.
const groups = 16

// names makes the names of keys and channels. group is 0 outside of clusters.
type names struct {
	prefix  string
	sharded bool
}

// groupOf returns the group of a subject or key.
func (n names) groupOf(subject string) int {
	if !n.sharded {
		return 0
	}
	h := fnv.New32a()
	h.Write([]byte(subject))
	return int(h.Sum32() % groups)
}

// base begins every name of a group.
func (n names) base(group int) string {
	if !n.sharded {
		return n.prefix + ":"
	}
	return n.prefix + ":{" + strconv.Itoa(group) + "}:"
}

// subject is the key of a subject's history, and the channel of its messages.
func (n names) subject(subject string) string { return n.base(n.groupOf(subject)) + "b:" + subject }

// life begins the channels that are named after server processes.
func (n names) life(group int) string { return n.base(group) + "g:" }

// family is the channel of all subjects of a group with the first token; of all at all if it is "". Only clusters have
// it: sharded channels know no patterns.
func (n names) family(group int, token string) string { return n.base(group) + "f:" + token }

// families returns the two channels of patterns that a subject's messages go to.
func (n names) families(subject string) (one, all string) {
	group := n.groupOf(subject)
	token, _, _ := strings.Cut(subject, ".")
	return n.family(group, token), n.family(group, "")
}

// channel is something to listen to. glob: it is a pattern of Redis.
type channel struct {
	name string
	glob bool
}

// listen returns what to listen to in a group to hear all that a pattern matches, and more perhaps. REQUIRES: the
// pattern has a wildcard or is of this group.
func (n names) listen(group int, pattern string) channel {
	if !broker.Wild(pattern) {
		return channel{name: n.subject(pattern)}
	}
	if !n.sharded {
		return channel{name: globEscape.Replace(n.base(0)+"b:") + globPattern.Replace(pattern), glob: true}
	}
	token, _, _ := strings.Cut(pattern, ".")
	if broker.Wild(token) {
		token = ""
	}
	return channel{name: n.family(group, token)}
}

// In Redis' globs a star matches any text, dots too: what is too much is sorted out by the table of subscriptions.
var (
	globEscape  = strings.NewReplacer(`\`, `\\`, `[`, `\[`, `]`, `\]`, `?`, `\?`, `*`, `\*`)
	globPattern = strings.NewReplacer(`\`, `\\`, `[`, `\[`, `]`, `\]`, `?`, `\?`, `>`, `*`)
)
