package bench

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// scriptCommands are what the scripts of the bus call inside the server. INFO counts them like commands of clients.
var scriptCommands = []string{"time", "hmget", "hget", "hset", "hdel", "pexpire", "publish", "spublish", "del", "pubsub|numsub", "pubsub|shardnumsub"}

// askers are the commands of this program, and those that keep links alive.
var askers = []string{"info", "ping", "hello", "client|setinfo", "client|setname"}

// redisCommands returns how many commands of clients the server has carried out: a script is one, whatever it calls.
func (c *Cluster) redisCommands() (float64, error) {
	text, err := redisInfo(c.Redis, "commandstats")
	if err != nil {
		return 0, err
	}
	return clientCommands(text)
}

// clientCommands adds up the calls of clients in the text of INFO commandstats.
func clientCommands(text string) (sum float64, err error) {
	for line := range strings.Lines(text) {
		name, rest, ok := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":calls=")
		if !ok || slices.Contains(scriptCommands, name) || slices.Contains(askers, name) {
			continue
		}
		count, _, _ := strings.Cut(rest, ",")
		n, err := strconv.ParseFloat(count, 64)
		if err != nil {
			return 0, fmt.Errorf("INFO commandstats: %q", line)
		}
		sum += n
	}
	return sum, nil
}

// redisInfo asks a Redis server for one section of INFO.
func redisInfo(addr, section string) (string, error) {
	c, err := net.DialTimeout("tcp", addr, readyTimeout)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(readyTimeout)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(c, "INFO %s\r\n", section); err != nil {
		return "", err
	}
	in := bufio.NewReader(c)
	head, err := in.ReadString('\n')
	if err != nil {
		return "", err
	}
	size, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(head, "$")))
	if err != nil || size < 0 || size > 1<<20 {
		return "", fmt.Errorf("redis answered INFO with %.80q", head)
	}
	text := make([]byte, size)
	_, err = io.ReadFull(in, text)
	return string(text), err
}
