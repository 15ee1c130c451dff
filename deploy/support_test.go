package deploy

import (
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gosper/edge/control"
	"gosper/edge/node"
)

// top is the folder of go.mod.
const top = ".."

// read returns the text of a file below the top of the tree.
func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(top, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// strong stands for secrets in tests: they are long enough.
const strong = "a-secret-of-32-bytes-for-the-test"

// options reads a command line and an environment as gosper serve would, and checks them as it would. An argument or a
// variable that gosper does not know is an error, so is a variable that nothing reads because it is empty.
func options(t *testing.T, where string, args []string, env map[string]string) (o node.Options, ok bool) {
	t.Helper()
	if len(args) == 0 || args[0] != "serve" {
		t.Errorf("%s: args: %q does not begin with serve", where, args)
		return o, false
	}
	known := map[string]bool{node.EnvPrefix + "_CONFIG": true}
	for _, s := range node.Settings() {
		known[s.Env()] = true
	}
	o, ok = node.DefaultOptions(), true
	t.Run("options", func(t *testing.T) { // the environment is put back at its end
		for name, value := range env {
			if !strings.HasPrefix(name, node.EnvPrefix+"_") {
				continue
			}
			if !known[name] {
				t.Errorf("%s: env: gosper serve has no option %s", where, name)
			}
			if value == "" {
				t.Errorf("%s: env: %s is empty, which says nothing: the default counts", where, name)
			}
			t.Setenv(name, value)
		}
		if _, err := o.Parse(args[1:], nil); err != nil {
			t.Errorf("%s: options: %v", where, err)
		} else if err := o.Validate(); err != nil {
			t.Errorf("%s: options: %v", where, err)
		}
		ok = !t.Failed()
	})
	return o, ok
}

// ports returns the ports that others than the machine itself can reach, by the names that manifests use.
func ports(given *node.Options) map[string]int {
	o, open := given.OfRoles(), map[string]int{}
	for name, addr := range map[string]string{
		"line": o.LineAddr, "gate": o.GateAddr, "gate-worker": o.GateWorkerAddr, "http": o.HTTPAddr, "internal": o.InternalAddr,
		"cluster": o.ClusterAddr, "tls-line": o.TLSLineAddr, "tls-gate": o.TLSGateAddr, "https": o.HTTPSAddr, "beanstalk": o.BeanstalkAddr,
	} {
		host, port, err := net.SplitHostPort(addr)
		if ip, bad := netip.ParseAddr(host); err != nil || bad == nil && ip.IsLoopback() {
			continue
		}
		open[name], _ = strconv.Atoi(port)
	}
	return open
}

// checkLinks looks whether other nodes can dial a node under the name that it has there.
func checkLinks(t *testing.T, where, host string, o *node.Options) {
	t.Helper()
	if o.Store == "" {
		return
	}
	if want := net.JoinHostPort(host, strconv.Itoa(ports(o)["cluster"])); ports(o)["cluster"] == 0 || o.ClusterAdvertise != want {
		t.Errorf("%s: GOSPER_CLUSTER_ADDR, GOSPER_CLUSTER_ADVERTISE: %q, other nodes have to dial %s", where, o.ClusterAdvertise, want)
	}
}

// probePaths are the paths of the internal port that answer anybody.
func probePaths() (paths []string) {
	for _, e := range control.Site("").Internal {
		if e.Open && e.Group == "probes" {
			paths = append(paths, e.Path)
		}
	}
	return paths
}

// keys returns the keys of a map in order.
func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
