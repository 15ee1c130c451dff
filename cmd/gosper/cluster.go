package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"gosper/bench"
)

func clusterCommand() command {
	return command{
		name:    "cluster",
		summary: "several nodes on this machine, with Redis and NATS servers of their own, to try and to show",
		example: "gosper cluster\ngosper cluster --nodes 5 --port 7100 --data ./cluster-data\ngosper cluster --bus redis -- --log-level=info",
		run:     runCluster,
	}
}

// runCluster starts a cluster and looks after it until it is told to stop.
func runCluster(ctx context.Context, args []string, std stdio) int {
	o := bench.ClusterOptions{Store: true}
	flags := newFlags(clusterCommand(), "[flags] [-- flags of gosper serve]", std.out)
	flags.IntVar(&o.Nodes, "nodes", 3, "gosper nodes")
	flags.IntVar(&o.NATS, "nats", 3, "NATS servers, 1 or 3; with 3 everything has three replicas")
	flags.StringVar(&o.Bus, "bus", bench.BusNATS, "what carries talk between nodes: nats or redis")
	flags.IntVar(&o.Port, "port", 0, "first port: a node has its page, lines, internal and links on four in a row; 0 takes free ones")
	flags.StringVar(&o.Dir, "data", "", "folder that keeps everything for the next time; empty: one that goes with the cluster")
	verbose := flags.Bool("verbose", false, "show what the servers write to standard error")
	if code, done := parseFlags(flags, args, std); done {
		return code
	}
	o.Flags = append([]string{"--log-level=warn"}, flags.Args()...)
	if *verbose {
		o.Log = std.err
	}
	fmt.Fprintf(std.out, "starting Redis, %d NATS servers and %d nodes\n", o.NATS, o.Nodes)
	begin := time.Now()
	c, err := bench.StartCluster(ctx, o)
	if err != nil {
		return failure(std, "gosper cluster", err)
	}
	defer c.Stop()
	d := clusterDesk{cluster: c, out: std.out}
	d.banner(time.Since(begin))
	d.attend(ctx, std.in)
	fmt.Fprintln(std.out, "ending all processes")
	return exitOK
}

// clusterDesk is what a person at the terminal has of a cluster: its addresses, its state as it changes, and commands.
type clusterDesk struct {
	cluster *bench.Cluster
	out     io.Writer
	told    map[string]string // the state of each node as it was told last
}

const clusterHelp = "commands: kill N (as a crash), stop N (drain and end), start N, state, quit; N is the number of a node"

// banner says where everything is.
func (d *clusterDesk) banner(took time.Duration) {
	c := d.cluster
	fmt.Fprintf(d.out, "ready after %d ms\n  Redis  %s\n  NATS   %s\n", took.Milliseconds(), c.RegistryURL(), c.StoreURL())
	for _, n := range c.Nodes {
		fmt.Fprintf(d.out, "  %-6s page %-25s lines %-18s metrics http://%s/metrics  process %d\n", n.Name, n.Page(), n.Lines(), n.Internal(), n.PID())
	}
	fmt.Fprintf(d.out, "%s\nan interrupt (Ctrl-C) ends all\n", clusterHelp)
}

// lookEvery is how often the state of the nodes is asked for.
const lookEvery = 500 * time.Millisecond

// attend tells changes of state and obeys the words of in, until the context ends or somebody quits.
func (d *clusterDesk) attend(ctx context.Context, in io.Reader) {
	lines := make(chan string)
	go readLines(ctx, in, lines)
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			d.look(ctx, false)
		case line := <-lines:
			if d.obey(ctx, strings.Fields(line)) {
				return
			}
		}
	}
}

// readLines passes on lines until there are no more. The end of the input is no command: a cluster without a terminal
// runs on. It ends with the process when nobody types.
func readLines(ctx context.Context, in io.Reader, to chan<- string) {
	if in == nil {
		in = os.Stdin
	}
	for s := bufio.NewScanner(in); s.Scan(); {
		select {
		case to <- s.Text():
		case <-ctx.Done():
			return
		}
	}
}

// look tells the state of each node that has changed, or of all.
func (d *clusterDesk) look(ctx context.Context, all bool) {
	if d.told == nil {
		d.told = map[string]string{}
	}
	for _, n := range d.cluster.Nodes {
		state := "ready"
		if err := n.Ready(ctx); err != nil {
			state = "not ready: " + oneLine(err)
		}
		if !n.Running() {
			state = "ended"
		}
		before, known := d.told[n.Name]
		d.told[n.Name] = state
		if all || known && before != state || !known && state != "ready" {
			fmt.Fprintf(d.out, "%s  %s is %s\n", time.Now().Format("15:04:05.000"), n.Name, state)
		}
	}
}

// obey does what a line asks for, and reports whether that is to end all.
func (d *clusterDesk) obey(ctx context.Context, words []string) (quit bool) {
	if len(words) == 0 {
		return false
	}
	switch words[0] {
	case "quit", "exit":
		return true
	case "state":
		d.look(ctx, true)
		return false
	}
	work := map[string]func(*bench.ClusterNode) error{
		"kill":  func(n *bench.ClusterNode) error { n.Kill(); return nil },
		"stop":  func(n *bench.ClusterNode) error { n.Stop(); return nil },
		"start": (*bench.ClusterNode).Start,
	}[words[0]]
	if work == nil || len(words) != 2 {
		fmt.Fprintln(d.out, clusterHelp)
		return false
	}
	for i, n := range d.cluster.Nodes {
		if words[1] != n.Name && words[1] != fmt.Sprint(i+1) {
			continue
		}
		if err := work(n); err != nil {
			fmt.Fprintf(d.out, "%s %s: %s\n", words[0], n.Name, oneLine(err))
		}
		d.look(ctx, false)
		return false
	}
	fmt.Fprintf(d.out, "there is no node %q; %s\n", words[1], clusterHelp)
	return false
}
