package deploy

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// builds are the sets of manifests that somebody would apply: the resources and components of a kustomization, from
// kubernetes/.
var builds = map[string]struct{ resources, components []string }{
	"base":             {[]string{"base"}, nil},
	"base with TLS":    {[]string{"base"}, []string{"components/tls"}},
	"cluster":          {[]string{"overlays/cluster"}, nil},
	"cluster with TLS": {[]string{"overlays/cluster"}, []string{"components/tls"}},
	"roles":            {[]string{"overlays/roles"}, nil},
	"roles with TLS":   {[]string{"overlays/roles"}, []string{"components/tls"}},
}

// workload is a StatefulSet or a Deployment.
type workload struct {
	where    string // its file and name
	kind     string
	name     string
	replicas int32
	labels   map[string]string // of its pods
	selector map[string]string
	spec     *corev1.PodSpec
	stateful *appsv1.StatefulSet // nil for a Deployment
}

// gosper says whether the pods are nodes of ours.
func (w *workload) gosper() bool { return w.labels["app.kubernetes.io/name"] == "gosper" }

// main returns the one container of the pods.
func (w *workload) main() *corev1.Container { return &w.spec.Containers[0] }

// manifests is all that one build applies, each object in its strict type.
type manifests struct {
	workloads []*workload
	services  []*named[corev1.Service]
	policies  []*named[networkingv1.NetworkPolicy]
	budgets   []*named[policyv1.PodDisruptionBudget]
	scalers   []*named[autoscalingv2.HorizontalPodAutoscaler]
	configs   map[string]*corev1.ConfigMap
	secrets   map[string]*corev1.Secret
	claims    map[string]*corev1.PersistentVolumeClaim
	accounts  map[string]bool
}

// named is an object and where it comes from.
type named[T any] struct {
	where  string
	object T
}

// build makes a kustomization of resources and components and decodes what comes out.
func build(t *testing.T, resources, components []string) *manifests {
	t.Helper()
	dir := t.TempDir()
	from := func(list []string) (paths []string) {
		for _, name := range list {
			path, err := filepath.Abs(filepath.Join("kubernetes", filepath.FromSlash(name)))
			if err != nil {
				t.Fatal(err)
			}
			if path, err = filepath.Rel(dir, path); err != nil {
				t.Fatal(err)
			}
			paths = append(paths, path)
		}
		return paths
	}
	text, err := yaml.Marshal(map[string]any{"resources": from(resources), "components": from(components), "buildMetadata": []string{"originAnnotations"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatal(err)
	}
	m := &manifests{configs: map[string]*corev1.ConfigMap{}, secrets: map[string]*corev1.Secret{},
		claims: map[string]*corev1.PersistentVolumeClaim{}, accounts: map[string]bool{}}
	for _, r := range built.Resources() {
		where := r.GetKind() + " " + r.GetName()
		if origin, err := r.GetOrigin(); err == nil && origin != nil {
			path := filepath.ToSlash(origin.Path)
			where = path[max(0, strings.LastIndex(path, "deploy/")):] + ": " + where
		}
		if text, err = r.AsYAML(); err != nil {
			t.Fatal(err)
		}
		if err := m.add(where, r.GetKind(), text); err != nil {
			t.Errorf("%s: %v", where, err)
		}
	}
	return m
}

// strict decodes YAML into a type; a field that the type does not have is an error.
func strict[T any](text []byte) (object T, err error) {
	err = yaml.UnmarshalStrict(text, &object)
	return object, err
}

// add decodes one object by its kind.
func (m *manifests) add(where, kind string, text []byte) error {
	switch kind {
	case "StatefulSet":
		s, err := strict[appsv1.StatefulSet](text)
		m.workloads = append(m.workloads, &workload{where, kind, s.Name, one(s.Spec.Replicas), s.Spec.Template.Labels, s.Spec.Selector.MatchLabels, &s.Spec.Template.Spec, &s})
		return err
	case "Deployment":
		d, err := strict[appsv1.Deployment](text)
		m.workloads = append(m.workloads, &workload{where, kind, d.Name, one(d.Spec.Replicas), d.Spec.Template.Labels, d.Spec.Selector.MatchLabels, &d.Spec.Template.Spec, nil})
		return err
	case "Service":
		return keep(&m.services, where, text)
	case "NetworkPolicy":
		return keep(&m.policies, where, text)
	case "PodDisruptionBudget":
		return keep(&m.budgets, where, text)
	case "HorizontalPodAutoscaler":
		return keep(&m.scalers, where, text)
	case "ConfigMap":
		c, err := strict[corev1.ConfigMap](text)
		m.configs[c.Name] = &c
		return err
	case "PersistentVolumeClaim":
		c, err := strict[corev1.PersistentVolumeClaim](text)
		m.claims[c.Name] = &c
		return err
	case "ServiceAccount":
		a, err := strict[corev1.ServiceAccount](text)
		m.accounts[a.Name] = true
		return err
	case "Namespace":
		_, err := strict[corev1.Namespace](text)
		return err
	}
	return fmt.Errorf("kind: the test does not know %s", kind)
}

// one is a number of pods: 1 where nobody says how many.
func one(replicas *int32) int32 {
	if replicas == nil {
		return 1
	}
	return *replicas
}

func keep[T any](list *[]*named[T], where string, text []byte) error {
	object, err := strict[T](text)
	*list = append(*list, &named[T]{where, object})
	return err
}

// example decodes the secret that an operator fills in.
func example(t *testing.T) *corev1.Secret {
	t.Helper()
	s, err := strict[corev1.Secret]([]byte(read(t, "deploy/kubernetes/base/secret.example.yaml")))
	if err != nil {
		t.Fatal("secret.example.yaml:", err)
	}
	return &s
}

// selects says whether a selector means pods with these labels.
func selects(selector, labels map[string]string) bool {
	for name, value := range selector {
		if labels[name] != value {
			return false
		}
	}
	return true
}

// selected returns the workloads whose pods a selector means.
func (m *manifests) selected(selector map[string]string) (list []*workload) {
	return m.meant(&metav1.LabelSelector{MatchLabels: selector})
}

// meant is selected for selectors with expressions.
func (m *manifests) meant(selector *metav1.LabelSelector) (list []*workload) {
	means, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return nil
	}
	for _, w := range m.workloads {
		if means.Matches(labels.Set(w.labels)) {
			list = append(list, w)
		}
	}
	return list
}

// podIP stands for the address of a pod.
const podIP = "10.1.2.3"

// environment returns the variables of a container, with test values for those of secrets. What refers to nothing is an error.
func (m *manifests) environment(t *testing.T, w *workload) map[string]string {
	t.Helper()
	env := map[string]string{}
	for _, from := range w.main().EnvFrom {
		if from.ConfigMapRef == nil || m.configs[from.ConfigMapRef.Name] == nil {
			t.Errorf("%s: envFrom: no such ConfigMap", w.where)
			continue
		}
		for name, value := range m.configs[from.ConfigMapRef.Name].Data {
			env[name] = value
		}
	}
	for _, e := range w.main().Env {
		switch from := e.ValueFrom; {
		case from == nil:
			env[e.Name] = e.Value
		case from.SecretKeyRef != nil:
			secret := m.secrets[from.SecretKeyRef.Name]
			if secret == nil || secret.StringData[from.SecretKeyRef.Key] == "" {
				t.Errorf("%s: env %s: no secret %s has the key %s", w.where, e.Name, from.SecretKeyRef.Name, from.SecretKeyRef.Key)
			}
			env[e.Name] = strong
		case from.FieldRef != nil:
			value, ok := map[string]string{"metadata.name": w.name + "-0", "status.podIP": podIP}[from.FieldRef.FieldPath]
			if !ok {
				t.Errorf("%s: env %s: the test does not know the field %s", w.where, e.Name, from.FieldRef.FieldPath)
			}
			env[e.Name] = value
		default:
			t.Errorf("%s: env %s: the test does not know its source", w.where, e.Name)
		}
	}
	for range 2 { // $(NAME) stands for a variable that was named before
		for name, value := range env {
			env[name] = expand(value, env)
		}
	}
	return env
}

// expand puts variables into a text, as Kubernetes does.
func expand(text string, env map[string]string) string {
	for name, value := range env {
		text = strings.ReplaceAll(text, "$("+name+")", value)
	}
	return text
}
