package deploy

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// natsSource is where a set of three NATS servers is declared.
type natsSource struct {
	where    string
	image    string
	command  []string
	env      map[string]string // of one server
	open     map[string]int    // its ports, where they are declared
	promised func(host string) bool
}

func natsSources(t *testing.T) (list []natsSource) {
	m := build(t, builds["cluster"].resources, nil)
	m.secrets["gosper"] = example(t)
	for _, w := range m.workloads {
		if w.name != "nats" {
			continue
		}
		open := map[string]int{}
		for _, p := range w.main().Ports {
			open[p.Name] = int(p.ContainerPort)
		}
		list = append(list, natsSource{w.where, w.main().Image, w.main().Command, m.environment(t, w), open, m.reachable})
	}
	c := compose(t)
	for name, s := range c.Services {
		if strings.HasPrefix(name, "nats") {
			list = append(list, natsSource{"compose.yaml: " + name, s.Image, s.Command, s.Environment, nil, func(host string) bool {
				host, _, _ = strings.Cut(host, ":")
				return c.Services[host].Image == s.Image
			}})
		}
	}
	return list
}

// Goal: the NATS servers that the manifests start are three that keep what they answered, and find each other. Method: the
// configuration is read by the server's own code with the environment of each, the image is the version that our tests run.
func TestNATSServers(t *testing.T) {
	sources := natsSources(t)
	if len(sources) != 4 {
		t.Fatalf("%d servers, expected one set in kubernetes and three in compose.yaml", len(sources))
	}
	_, version, _ := strings.Cut(read(t, "go.mod"), "github.com/nats-io/nats-server/v2 v")
	tested := regexp.MustCompile(`^\d+\.\d+`).FindString(version)
	for _, s := range sources {
		t.Run(s.where, func(t *testing.T) {
			for name, value := range s.env {
				if name == "NATS_STORE" && value != "/data" {
					t.Errorf("%s: NATS_STORE: nothing is mounted at %s", s.where, value)
				}
				t.Setenv(name, value)
			}
			file := filepath.Base(s.command[len(s.command)-1])
			o, err := server.ProcessConfigFile(filepath.Join("nats", file))
			if err != nil {
				t.Fatal(err)
			}
			if !o.SyncAlways || !o.JetStream || o.Cluster.Name == "" || o.ServerName != s.env["NATS_NAME"] || o.Username != "gosper" || o.Password != strong {
				t.Errorf("%s: the configuration does not keep what the cluster promises: %+v", s.where, o.Cluster)
			}
			if len(o.Routes) != 3 {
				t.Errorf("%s: NATS_ROUTES: %v are not three", s.where, o.Routes)
			}
			for _, route := range o.Routes {
				if !s.promised(route.Host) || route.Port() != fmt.Sprint(o.Cluster.Port) {
					t.Errorf("%s: NATS_ROUTES: nobody is %s", s.where, route.Host)
				}
			}
			if s.open != nil && (s.open["client"] != o.Port || s.open["cluster"] != o.Cluster.Port) {
				t.Errorf("%s: ports: %v, the server has %d and %d", s.where, s.open, o.Port, o.Cluster.Port)
			}
			if !strings.HasPrefix(s.image, "nats:"+tested+"-") {
				t.Errorf("%s: image: %s is not the version %s that our tests run", s.where, s.image, tested)
			}
		})
	}
}
