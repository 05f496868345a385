// Package kubernetes tests the base beside it: it is built by Kustomize, and what comes out is decoded
// strictly into the API's own types. No cluster has seen it.
package kubernetes

import (
	"errors"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// build is what `kubectl apply -k` would send, of a folder that is changed first.
func build(t *testing.T, change func(files filesys.FileSystem)) map[string][]byte {
	t.Helper()
	disk, files := filesys.MakeFsOnDisk(), filesys.MakeFsInMemory()
	for _, name := range []string{"kustomization.yaml", "namespace.yaml", "daemonset.yaml", "sluice.toml"} {
		text, err := disk.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := files.WriteFile("/base/"+name, text); err != nil {
			t.Fatal(err)
		}
	}
	change(files)
	made, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(files, "/base")
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string][]byte)
	for _, r := range made.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		all[r.GetKind()] = text
	}
	return all
}

// decode is as strict as the API is: keys are told apart by case, and each must be known.
func decode(text []byte, into any) error {
	data, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return err
	}
	faults, err := json.UnmarshalStrict(data, into)
	return errors.Join(append(faults, err)...)
}

func TestBase(t *testing.T) {
	all := build(t, func(filesys.FileSystem) {})
	var namespace corev1.Namespace
	var config corev1.ConfigMap
	var set appsv1.DaemonSet
	for kind, into := range map[string]any{"Namespace": &namespace, "ConfigMap": &config, "DaemonSet": &set} {
		if err := decode(all[kind], into); err != nil {
			t.Fatalf("%s: %v\n%s", kind, err, all[kind])
		}
		delete(all, kind)
	}
	if len(all) > 0 {
		t.Errorf("there is more: %v", all)
	}

	pod, labels := set.Spec.Template.Spec, set.Spec.Template.Labels
	if set.Namespace != namespace.Name || set.Spec.Selector == nil || len(set.Spec.Selector.MatchLabels) == 0 {
		t.Errorf("namespace %q, selector %v", set.Namespace, set.Spec.Selector)
	} else {
		for key, value := range set.Spec.Selector.MatchLabels {
			if labels[key] != value {
				t.Errorf("pods have %v, and %v are looked for", labels, set.Spec.Selector.MatchLabels)
			}
		}
	}
	if !pod.HostNetwork || !pod.HostPID || *pod.TerminationGracePeriodSeconds <= 600 || len(pod.Containers) != 1 {
		t.Errorf("pod %+v", pod)
	}
	c := pod.Containers[0]
	if !strings.HasPrefix(c.Image, "registry.example.org/sluice:") {
		t.Errorf("image %q", c.Image)
	}
	if got := c.SecurityContext.Capabilities; !slices.Equal(got.Drop, []corev1.Capability{"ALL"}) || !slices.Equal(got.Add, []corev1.Capability{"KILL", "SYS_PTRACE"}) {
		t.Errorf("capabilities %+v", got)
	}
	// Each folder that is mounted is there, and all that is there is mounted.
	var volumes, mounted []string
	for _, v := range pod.Volumes {
		volumes = append(volumes, v.Name)
		if v.ConfigMap != nil && (v.ConfigMap.Name != config.Name || config.Data["sluice.toml"] == "") {
			t.Errorf("ConfigMap %q is mounted, and %q has %v", v.ConfigMap.Name, config.Name, config.Data)
		}
		if v.HostPath != nil && v.HostPath.Type == nil {
			t.Errorf("hostPath %s has no type", v.HostPath.Path)
		}
	}
	for _, m := range c.VolumeMounts {
		mounted = append(mounted, m.Name)
	}
	slices.Sort(volumes)
	slices.Sort(mounted)
	if !slices.Equal(volumes, mounted) {
		t.Errorf("volumes %q, of which are mounted %q", volumes, mounted)
	}
}

// A key that the API does not have is found.
func TestStrict(t *testing.T) {
	all := build(t, func(files filesys.FileSystem) {
		text, _ := files.ReadFile("/base/daemonset.yaml")
		files.WriteFile("/base/daemonset.yaml", []byte(strings.Replace(string(text), "hostPID:", "hostPid:", 1)))
	})
	var set appsv1.DaemonSet
	if err := decode(all["DaemonSet"], &set); err == nil || !strings.Contains(err.Error(), "hostPid") {
		t.Errorf("a misspelt key: %v", err)
	}
}
