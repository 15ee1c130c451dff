package deploy

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// composeFile is what our compose file may say; another key is an error.
type composeFile struct {
	Name     string                    `json:"name"`
	Services map[string]composeService `json:"services"`
	Volumes  map[string]struct{}       `json:"volumes"`
	// Parts of services that are named once.
	Node        composeService    `json:"x-node"`
	NATS        composeService    `json:"x-nats"`
	Options     map[string]string `json:"x-options"`
	NATSOptions map[string]string `json:"x-nats-options"`
}

type composeService struct {
	Build struct {
		Context    string `json:"context"`
		Dockerfile string `json:"dockerfile"`
	} `json:"build"`
	Image       string            `json:"image"`
	Command     []string          `json:"command"`
	Environment map[string]string `json:"environment"`
	Ports       []string          `json:"ports"`
	Volumes     []string          `json:"volumes"`
	Restart     string            `json:"restart"`
	ReadOnly    bool              `json:"read_only"`
	CapDrop     []string          `json:"cap_drop"`
	SecurityOpt []string          `json:"security_opt"`
	StopGrace   string            `json:"stop_grace_period"`
	DependsOn   map[string]struct {
		Condition string `json:"condition"`
	} `json:"depends_on"`
	Healthcheck *struct {
		Test        []string `json:"test"`
		Interval    string   `json:"interval"`
		Timeout     string   `json:"timeout"`
		Retries     int      `json:"retries"`
		StartPeriod string   `json:"start_period"`
	} `json:"healthcheck"`
}

// gosper says whether the service is a node of ours.
func (s *composeService) gosper() bool { return s.Image == "gosper" }

// compose reads the file, with variables of the environment as they are after compose.env.example was filled in.
func compose(t *testing.T) *composeFile {
	t.Helper()
	text := read(t, "deploy/compose.yaml")
	asked := read(t, "deploy/compose.env.example")
	text = regexp.MustCompile(`\$\{([A-Z_]+):\?[^}]*\}`).ReplaceAllStringFunc(text, func(v string) string {
		name, _, _ := strings.Cut(v[2:], ":")
		if !strings.Contains(asked, "\n"+name+"=\n") {
			t.Errorf("compose.env.example: no line for %s, which compose.yaml asks for", name)
		}
		return strong
	})
	var c composeFile
	if err := yaml.UnmarshalStrict([]byte(text), &c); err != nil {
		t.Fatal("compose.yaml:", err)
	}
	return &c
}

// Goal: the compose file starts nodes that the code knows, beside servers that they name. Method: decode it strictly; options
// by the code, ports, volumes, health and hosts by what else the file and the image say.
func TestCompose(t *testing.T) {
	c := compose(t)
	nodes, outside := 0, map[string]string{}
	for _, name := range keys(c.Services) {
		s := c.Services[name]
		if s.Healthcheck == nil || s.Restart == "" {
			t.Errorf("compose.yaml: %s: healthcheck and restart are needed", name)
		}
		for _, p := range s.Ports {
			host := p[:strings.LastIndex(p, ":")]
			if outside[host] != "" {
				t.Errorf("compose.yaml: %s: ports: %s has %s too", name, outside[host], host)
			}
			outside[host] = name
		}
		for on, d := range s.DependsOn {
			if c.Services[on].Healthcheck == nil || d.Condition != "service_healthy" {
				t.Errorf("compose.yaml: %s: depends_on: %s must be there and be waited for until it is healthy", name, on)
			}
		}
		c.checkVolumes(t, name, &s)
		if s.gosper() {
			nodes++
			c.checkNode(t, name, &s)
		}
	}
	if nodes != 3 {
		t.Errorf("compose.yaml: services: %d nodes", nodes)
	}
}

// checkVolumes looks for what a service mounts.
func (c *composeFile) checkVolumes(t *testing.T, name string, s *composeService) {
	for _, v := range s.Volumes {
		source, target, _ := strings.Cut(v, ":")
		if file, ok := strings.CutPrefix(source, "./"); ok {
			read(t, "deploy/"+file)
			continue
		}
		if _, ok := c.Volumes[source]; !ok {
			t.Errorf("compose.yaml: %s: volumes: %s is not declared", name, source)
		}
		if s.gosper() && !strings.Contains(read(t, "deploy/Dockerfile"), " --chown=65532:65532 /out/empty "+target+"\n") {
			t.Errorf("compose.yaml: %s: volumes: the image has no folder %s for the user of the node", name, target)
		}
	}
}

// checkNode holds a node of ours against the code.
func (c *composeFile) checkNode(t *testing.T, name string, s *composeService) {
	where := "compose.yaml: " + name
	o, ok := options(t, where, s.Command, s.Environment)
	if !ok {
		return
	}
	if o.Node != name {
		t.Errorf("%s: GOSPER_NODE: %q is not its name", where, o.Node)
	}
	checkLinks(t, where, name, &o)
	open := slices.Collect(maps.Values(ports(&o)))
	for _, p := range s.Ports {
		inside, _ := strconv.Atoi(p[strings.LastIndex(p, ":")+1:])
		if !slices.Contains(open, inside) {
			t.Errorf("%s: ports: the node has no port %d", where, inside)
		}
		if inside == ports(&o)["internal"] && !strings.HasPrefix(p, "127.0.0.1:") {
			t.Errorf("%s: ports: %s gives the internal port to the world", where, p)
		}
	}
	if !slices.Equal(s.Healthcheck.Test, append([]string{"CMD"}, healthWords(t)...)) {
		t.Errorf("%s: healthcheck: %q is not that of the image", where, s.Healthcheck.Test)
	}
	for variable, value := range s.Environment {
		for _, host := range hosts(value) {
			host, _, _ = strings.Cut(host, ":")
			if _, ok := c.Services[host]; !ok || s.DependsOn[host].Condition == "" {
				t.Errorf("%s: %s: %s is no service that is waited for", where, variable, host)
			}
		}
	}
	for option, folder := range map[string]string{"GOSPER_DATA": "/data", "GOSPER_MAIL_DIR": o.Post.Dir} {
		if !slices.ContainsFunc(s.Volumes, func(v string) bool { return strings.HasSuffix(v, ":"+folder) }) {
			t.Errorf("%s: volumes: none for %s, %s", where, option, folder)
		}
	}
	grace, err := time.ParseDuration(s.StopGrace)
	if err != nil || grace < o.DrainTimeout+closing {
		t.Errorf("%s: stop_grace_period: %s is less than drain-timeout and %v behind it", where, s.StopGrace, closing)
	}
	if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || s.Build.Context != ".." || s.Build.Dockerfile != "deploy/Dockerfile" {
		t.Errorf("%s: read_only, cap_drop or build is not as for all nodes", where)
	}
}
