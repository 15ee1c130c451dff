// Package deploy holds what operators need: an image, manifests, a unit, a dashboard, alarms and their documents. Its tests
// hold all of it against the code.
package deploy

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"gosper/edge/node"
)

// Goal: every set of manifests can be applied, and runs what the code is. Method: kustomize builds each, each object is
// decoded strictly in the type of Kubernetes, and everything that names something else is looked up: options, ports and
// probes in the code, the rest in the set.
func TestKubernetes(t *testing.T) {
	for _, name := range keys(builds) {
		t.Run(name, func(t *testing.T) {
			b := builds[name]
			m := build(t, b.resources, b.components)
			m.secrets["gosper"] = example(t)
			m.secrets["gosper-tls"] = &corev1.Secret{StringData: map[string]string{"tls.crt": "-", "tls.key": "-"}}
			for _, w := range m.workloads {
				m.checkWorkload(t, w)
				if w.gosper() {
					m.checkNode(t, w)
				}
			}
			m.checkServices(t)
			m.checkDoors(t)
			m.checkPolicies(t)
			m.checkAvailability(t)
		})
	}
}

// checkWorkload looks at what every pod needs, ours or not.
func (m *manifests) checkWorkload(t *testing.T, w *workload) {
	if !selects(w.selector, w.labels) {
		t.Errorf("%s: selector: its own pods have other labels", w.where)
	}
	if len(w.spec.Containers) != 1 {
		t.Fatalf("%s: containers: the test knows pods of one", w.where)
	}
	if a := w.spec.ServiceAccountName; a != "" && !m.accounts[a] {
		t.Errorf("%s: serviceAccountName: no account %s", w.where, a)
	}
	if w.spec.EnableServiceLinks == nil || *w.spec.EnableServiceLinks {
		t.Errorf("%s: enableServiceLinks: Kubernetes would make variables of services, which gosper takes for options", w.where)
	}
	if w.spec.AutomountServiceAccountToken == nil || *w.spec.AutomountServiceAccountToken {
		t.Errorf("%s: automountServiceAccountToken: nobody needs it", w.where)
	}
	m.checkRights(t, w)
	m.checkVolumes(t, w)
	if s := w.stateful; s != nil {
		found := false
		for _, service := range m.services {
			found = found || service.object.Name == s.Spec.ServiceName && selects(service.object.Spec.Selector, w.labels)
		}
		if !found {
			t.Errorf("%s: serviceName: no service %s for its pods", w.where, s.Spec.ServiceName)
		}
	}
	c := w.main()
	for field, p := range map[string]*corev1.Probe{"startupProbe": c.StartupProbe, "livenessProbe": c.LivenessProbe, "readinessProbe": c.ReadinessProbe} {
		if p == nil {
			t.Errorf("%s: %s: there is none", w.where, field)
		}
	}
	if c.Resources.Requests.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() || c.Resources.Limits.Memory().IsZero() {
		t.Errorf("%s: resources: requests of CPU and memory and a limit of memory are needed", w.where)
	}
	if !c.Resources.Limits.Cpu().IsZero() {
		t.Errorf("%s: resources: a limit of CPU holds the node back in the middle of a tick", w.where)
	}
}

// checkRights looks for rights that nobody needs.
func (m *manifests) checkRights(t *testing.T, w *workload) {
	pod, c := w.spec.SecurityContext, w.main().SecurityContext
	if pod == nil || c == nil {
		t.Errorf("%s: securityContext: pod and container need one", w.where)
		return
	}
	for field, ok := range map[string]bool{
		"runAsNonRoot":             pod.RunAsNonRoot != nil && *pod.RunAsNonRoot,
		"runAsUser":                pod.RunAsUser != nil && *pod.RunAsUser > 0,
		"seccompProfile":           pod.SeccompProfile != nil && pod.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault,
		"readOnlyRootFilesystem":   c.ReadOnlyRootFilesystem != nil && *c.ReadOnlyRootFilesystem,
		"allowPrivilegeEscalation": c.AllowPrivilegeEscalation != nil && !*c.AllowPrivilegeEscalation,
		"capabilities":             c.Capabilities != nil && slices.Equal(c.Capabilities.Drop, []corev1.Capability{"ALL"}) && c.Capabilities.Add == nil,
		"privileged":               c.Privileged == nil,
		"hostNetwork":              !w.spec.HostNetwork && !w.spec.HostPID && !w.spec.HostIPC,
	} {
		if !ok {
			t.Errorf("%s: securityContext: %s gives a right that is not needed, or is missing", w.where, field)
		}
	}
}

// checkVolumes looks up each mount, and what each volume refers to.
func (m *manifests) checkVolumes(t *testing.T, w *workload) {
	there := map[string]bool{}
	if w.stateful != nil {
		for _, claim := range w.stateful.Spec.VolumeClaimTemplates {
			there[claim.Name] = true
		}
	}
	for _, v := range w.spec.Volumes {
		there[v.Name] = true
		switch {
		case v.ConfigMap != nil && m.configs[v.ConfigMap.Name] == nil:
			t.Errorf("%s: volumes: %s: no ConfigMap %s", w.where, v.Name, v.ConfigMap.Name)
		case v.Secret != nil && m.secrets[v.Secret.SecretName] == nil:
			t.Errorf("%s: volumes: %s: no Secret %s", w.where, v.Name, v.Secret.SecretName)
		case v.PersistentVolumeClaim != nil && m.claims[v.PersistentVolumeClaim.ClaimName] == nil:
			t.Errorf("%s: volumes: %s: no PersistentVolumeClaim %s", w.where, v.Name, v.PersistentVolumeClaim.ClaimName)
		}
	}
	for _, mount := range w.main().VolumeMounts {
		if !there[mount.Name] {
			t.Errorf("%s: volumeMounts: no volume %s", w.where, mount.Name)
		}
		delete(there, mount.Name)
	}
	for name := range there {
		t.Errorf("%s: volumes: %s is not mounted", w.where, name)
	}
}

// checkNode holds a node of ours against the code.
func (m *manifests) checkNode(t *testing.T, w *workload) {
	c := w.main()
	env := m.environment(t, w)
	o, ok := options(t, w.where, c.Args, env)
	if !ok {
		return
	}
	want, have := ports(&o), map[string]int{}
	for _, p := range c.Ports {
		have[p.Name] = int(p.ContainerPort)
	}
	if !maps.Equal(want, have) {
		t.Errorf("%s: ports: %v, but the options open %v", w.where, have, want)
	}
	for field, p := range map[string]*corev1.Probe{"startupProbe": c.StartupProbe, "livenessProbe": c.LivenessProbe, "readinessProbe": c.ReadinessProbe} {
		switch {
		case p == nil || p.HTTPGet == nil:
			t.Errorf("%s: %s: must ask the internal port", w.where, field)
		case p.HTTPGet.Port.StrVal != "internal" || !slices.Contains(probePaths(), p.HTTPGet.Path):
			t.Errorf("%s: %s: %s at %s is none of %v at internal", w.where, field, p.HTTPGet.Path, p.HTTPGet.Port.String(), probePaths())
		case (field == "readinessProbe") != (p.HTTPGet.Path == "/readyz"):
			t.Errorf("%s: %s: %s is not the question of this probe", w.where, field, p.HTTPGet.Path)
		}
	}
	checkLinks(t, w.where, podIP, &o)
	m.checkEnd(t, w, &o)
	m.checkPlaces(t, w, &o)
	checkMemory(t, w.where, c.Resources.Limits.Memory().Value(), env["GOMEMLIMIT"], &o)
	m.checkNames(t, w, env)
	if len(c.Command) > 0 || c.Image != m.image() {
		t.Errorf("%s: image: all nodes run %s by its own entry point", w.where, m.image())
	}
}

// image returns the image of the first node.
func (m *manifests) image() string {
	for _, w := range m.workloads {
		if w.gosper() {
			return w.main().Image
		}
	}
	return ""
}

// closing is the time that a node may need behind its drain.
const closing = 10 * time.Second

// checkEnd looks whether a pod has the time to leave the balancers, to drain and to close.
func (m *manifests) checkEnd(t *testing.T, w *workload, o *node.Options) {
	var leave time.Duration
	if l := w.main().Lifecycle; l == nil || l.PreStop == nil || l.PreStop.Sleep == nil {
		t.Errorf("%s: preStop: the balancers hear of the end too late", w.where)
	} else {
		leave = time.Duration(l.PreStop.Sleep.Seconds) * time.Second
	}
	if grace := w.spec.TerminationGracePeriodSeconds; grace == nil || time.Duration(*grace)*time.Second < leave+o.DrainTimeout+closing {
		t.Errorf("%s: terminationGracePeriodSeconds: less than %v before, %v of drain-timeout and %v behind it", w.where, leave, o.DrainTimeout, closing)
	}
}

// checkPlaces looks whether the folders of a node are on a volume, as its root is read-only.
func (m *manifests) checkPlaces(t *testing.T, w *workload, o *node.Options) {
	for option, folder := range map[string]string{"data": o.Data, "mail-dir": o.Post.Dir, "config-dir": o.ConfigDir} {
		within := func(mount corev1.VolumeMount) bool {
			return mount.ReadOnly == (option == "config-dir") && (folder == mount.MountPath || strings.HasPrefix(folder, mount.MountPath+"/"))
		}
		if folder != "" && !slices.ContainsFunc(w.main().VolumeMounts, within) {
			t.Errorf("%s: volumeMounts: none is for %s, %s", w.where, option, folder)
		}
	}
	alone := o.Bus == "" && o.Store == ""
	if alone && (w.replicas != 1 || w.stateful == nil || len(w.stateful.Spec.VolumeClaimTemplates) == 0) {
		t.Errorf("%s: replicas: a node without --bus and --store is alone, and has a disk that stays", w.where)
	}
	if w.stateful == nil && o.Store == "" {
		t.Errorf("%s: a node without --store needs a disk that stays, which a Deployment does not have", w.where)
	}
	if !alone && (o.Store == "" || o.Bus == "" || o.Secret == "") {
		t.Errorf("%s: env: many nodes need bus, store and secret", w.where)
	}
	if o.Bus != "" && o.Post.Dir == "" {
		t.Errorf("%s: env: nodes that share accounts must share mailboxes: GOSPER_MAIL_DIR", w.where)
	}
}

// checkNames looks up every host that a variable names.
func (m *manifests) checkNames(t *testing.T, w *workload, env map[string]string) {
	for name, value := range env {
		for _, host := range hosts(value) {
			if !m.reachable(host) {
				t.Errorf("%s: env %s: no service and no pod is %s", w.where, name, host)
			}
		}
	}
}

// hosts returns the host:port of an address like scheme://user@host:port,host:port/path?query; none for other texts.
func hosts(text string) []string {
	_, rest, ok := strings.Cut(text, "://")
	if !ok {
		return nil
	}
	rest, _, _ = strings.Cut(rest, "?")
	rest, _, _ = strings.Cut(rest, "/")
	return strings.Split(rest[strings.LastIndex(rest, "@")+1:], ",")
}

// reachable says whether host:port is a service, or a pod of a StatefulSet by its service. Without a port the name counts.
func (m *manifests) reachable(host string) bool {
	host, port, _ := strings.Cut(host, ":")
	first, service, ofPod := strings.Cut(host, ".")
	for _, s := range m.services {
		if s.object.Name != host && s.object.Name != service {
			continue
		}
		if port != "" && !slices.ContainsFunc(s.object.Spec.Ports, func(p corev1.ServicePort) bool { return strconv.Itoa(int(p.Port)) == port }) {
			continue
		}
		if !ofPod || slices.ContainsFunc(m.selected(s.object.Spec.Selector), func(w *workload) bool { return w.hasPod(first, service) }) {
			return true
		}
	}
	return false
}

// hasPod says whether a pod of the workload has the name in the service.
func (w *workload) hasPod(pod, service string) bool {
	number, err := strconv.Atoi(strings.TrimPrefix(pod, w.name+"-"))
	return w.stateful != nil && w.stateful.Spec.ServiceName == service && err == nil && number < int(w.replicas)
}

// checkServices looks whether each service means pods that have its ports.
func (m *manifests) checkServices(t *testing.T) {
	for _, s := range m.services {
		means := m.selected(s.object.Spec.Selector)
		if len(means) == 0 {
			t.Errorf("%s: selector: no pods have %v", s.where, s.object.Spec.Selector)
		}
		for _, p := range s.object.Spec.Ports {
			for _, w := range means {
				if !hasPort(w, p.TargetPort) {
					t.Errorf("%s: ports: %s: pods of %s have no port %s", s.where, p.Name, w.name, p.TargetPort.String())
				}
			}
		}
	}
}

func hasPort(w *workload, port intstr.IntOrString) bool {
	return slices.ContainsFunc(w.main().Ports, func(p corev1.ContainerPort) bool { return p.Name == port.StrVal })
}

// checkDoors looks for a balancer for each door of clients.
func (m *manifests) checkDoors(t *testing.T) {
	open := map[string]bool{}
	for _, s := range m.services {
		if s.object.Spec.Type != corev1.ServiceTypeLoadBalancer {
			continue
		}
		if s.object.Spec.ExternalTrafficPolicy != corev1.ServiceExternalTrafficPolicyLocal {
			t.Errorf("%s: externalTrafficPolicy: rates count by the address of the client", s.where)
		}
		for _, p := range s.object.Spec.Ports {
			open[strings.TrimSuffix(p.TargetPort.StrVal, "s")] = true
			if p.TargetPort.StrVal == "internal" || p.TargetPort.StrVal == "gate-worker" {
				t.Errorf("%s: ports: %s is not for the world", s.where, p.TargetPort.StrVal)
			}
		}
	}
	for _, door := range []string{"line", "gate", "http"} {
		if !open[door] {
			t.Errorf("services: no LoadBalancer for %s", door)
		}
	}
}

// checkPolicies looks whether each policy means pods that have its ports, and whether every pod has one.
func (m *manifests) checkPolicies(t *testing.T) {
	covered := map[string]bool{}
	for _, p := range m.policies {
		means := m.meant(&p.object.Spec.PodSelector)
		if len(means) == 0 {
			t.Errorf("%s: podSelector: no such pods", p.where)
		}
		for _, w := range means {
			covered[w.name] = true
		}
		for _, rule := range p.object.Spec.Ingress {
			for _, port := range rule.Ports {
				if !slices.ContainsFunc(means, func(w *workload) bool { return hasPort(w, *port.Port) }) {
					t.Errorf("%s: ingress: no pods it means have the port %s", p.where, port.Port.String())
				}
			}
			for _, from := range rule.From {
				if from.NamespaceSelector == nil && len(m.meant(from.PodSelector)) == 0 {
					t.Errorf("%s: ingress: from: no such pods: %v", p.where, from.PodSelector.MatchLabels)
				}
			}
		}
	}
	for _, w := range m.workloads {
		if !covered[w.name] {
			t.Errorf("%s: no NetworkPolicy is for its pods", w.where)
		}
	}
}

// checkAvailability looks whether budgets and scalers mean what is there, and whether all that comes in several has a budget.
func (m *manifests) checkAvailability(t *testing.T) {
	budget := map[string]bool{}
	for _, b := range m.budgets {
		means := m.meant(b.object.Spec.Selector)
		if len(means) == 0 {
			t.Errorf("%s: selector: no such pods", b.where)
		}
		for _, w := range means {
			budget[w.name] = true
		}
	}
	for _, s := range m.scalers {
		ref, found := s.object.Spec.ScaleTargetRef, false
		for _, w := range m.workloads {
			found = found || w.kind == ref.Kind && w.name == ref.Name
		}
		if !found || ref.APIVersion != "apps/v1" {
			t.Errorf("%s: scaleTargetRef: no %s %s", s.where, ref.Kind, ref.Name)
		}
		if s.object.Spec.MinReplicas == nil || *s.object.Spec.MinReplicas < 2 || *s.object.Spec.MinReplicas > s.object.Spec.MaxReplicas {
			t.Errorf("%s: minReplicas: 2 at least, and not above maxReplicas", s.where)
		}
	}
	for _, w := range m.workloads {
		if w.replicas > 1 && !budget[w.name] {
			t.Errorf("%s: no PodDisruptionBudget is for its pods", w.where)
		}
	}
}

// checkMemory looks whether the collector begins to work hard before the kernel ends the process, and whether games leave
// room for the rest.
func checkMemory(t *testing.T, where string, limit int64, soft string, o *node.Options) {
	t.Helper()
	size := memory(soft)
	if size <= 0 || size > limit*9/10 {
		t.Errorf("%s: GOMEMLIMIT: %q is not within nine tenths of the limit of %d bytes", where, soft, limit)
	}
	if o.GamesMemory > size/2 {
		t.Errorf("%s: GOSPER_GAMES_MEMORY: %d bytes are more than half of GOMEMLIMIT", where, o.GamesMemory)
	}
}

// memory reads a number of MiB; 0 when it is none.
func memory(text string) int64 {
	number, ok := strings.CutSuffix(text, "MiB")
	size, err := strconv.ParseInt(number, 10, 64)
	if !ok || err != nil {
		return 0
	}
	return size << 20
}

// Goal: the node of the base opens the ports of the documents. Method: compare its options with the defaults.
func TestBaseHasDefaultPorts(t *testing.T) {
	m := build(t, builds["base"].resources, nil)
	m.secrets["gosper"] = example(t)
	o, ok := options(t, m.workloads[0].where, m.workloads[0].main().Args, m.environment(t, m.workloads[0]))
	standard := node.DefaultOptions()
	if !ok || o.LineAddr != standard.LineAddr || o.GateAddr != standard.GateAddr || o.HTTPAddr != standard.HTTPAddr ||
		!strings.HasSuffix(standard.InternalAddr, o.InternalAddr) || o.DrainTimeout != standard.DrainTimeout {
		t.Errorf("%s: env: other ports or another drain-timeout than gosper serve has by itself", m.workloads[0].where)
	}
}

// Goal: a copy of the example that nobody filled in starts no node. Method: its secret, checked by the code.
func TestExampleSecretIsRefused(t *testing.T) {
	o := node.DefaultOptions()
	o.Secret = node.Secret(example(t).StringData["secret"])
	if err := o.Validate(); err == nil || !strings.Contains(err.Error(), "secret") {
		t.Errorf("secret.example.yaml: secret: taken as it stands there (%v)", err)
	}
}
