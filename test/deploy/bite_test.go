package deploy

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// TestRulesBite breaks each rule once, in what the chart renders.
func TestRulesBite(t *testing.T) {
	container := func(change func(*corev1.Container)) func(*appsv1.DaemonSet) {
		return func(d *appsv1.DaemonSet) { change(&d.Spec.Template.Spec.Containers[0]) }
	}
	context := func(change func(*corev1.SecurityContext)) func(*appsv1.DaemonSet) {
		return container(func(c *corev1.Container) { change(c.SecurityContext) })
	}
	pod := func(change func(*corev1.PodSpec)) func(*appsv1.DaemonSet) {
		return func(d *appsv1.DaemonSet) { change(&d.Spec.Template.Spec) }
	}
	yes, no := true, false
	for name, tt := range map[string]struct {
		change func(*appsv1.DaemonSet)
		want   string
	}{
		"privileged": {context(func(s *corev1.SecurityContext) { s.Privileged = &yes }), "may be privileged"},
		"escalation": {context(func(s *corev1.SecurityContext) { s.AllowPrivilegeEscalation = nil }), "may be privileged"},
		"root fs":    {context(func(s *corev1.SecurityContext) { s.ReadOnlyRootFilesystem = &no }), "its root can be written"},
		"drop":       {context(func(s *corev1.SecurityContext) { s.Capabilities.Drop = nil }), "doesn't drop"},
		"add":        {context(func(s *corev1.SecurityContext) { s.Capabilities.Add = append(s.Capabilities.Add, "NET_ADMIN") }), "adds NET_ADMIN"},
		"seccomp":    {context(func(s *corev1.SecurityContext) { s.SeccompProfile.Type = "Unconfined" }), "no seccomp profile"},
		"no context": {container(func(c *corev1.Container) { c.SecurityContext = nil }), "no security context"},
		"memory":     {container(func(c *corev1.Container) { c.Resources.Limits["memory"] = resource.Quantity{} }), "a limit of memory"},
		"latest":     {container(func(c *corev1.Container) { c.Image = "ghcr.io/x/y:latest" }), "no certain version"},
		"untagged":   {container(func(c *corev1.Container) { c.Image = "registry:5000/y" }), "no certain version"},
		"probes":     {container(func(c *corev1.Container) { c.LivenessProbe = nil }), "no probes"},
		"subPath":    {container(func(c *corev1.Container) { c.VolumeMounts[0].SubPath = "x" }), "never changes"},
		"network":    {pod(func(s *corev1.PodSpec) { s.HostNetwork = true }), "network or IPC"},
		"host path": {pod(func(s *corev1.PodSpec) {
			s.Volumes[0].ConfigMap, s.Volumes[0].HostPath = nil, &corev1.HostPathVolumeSource{Path: "/"}
		}), "mounts / of the host"},
		"untyped":      {pod(func(s *corev1.PodSpec) { s.Volumes[2].HostPath.Type = nil }), "of the host (volume"},
		"capabilities": {pod(func(s *corev1.PodSpec) { s.HostPID = false }), "isn't a sensor"},
		"root":         {pod(func(s *corev1.PodSpec) { s.HostPID = false }), "runs as root"},
		"token":        {pod(func(s *corev1.PodSpec) { s.AutomountServiceAccountToken = nil }), "service account's token"},
		"surge": {func(d *appsv1.DaemonSet) {
			d.Spec.UpdateStrategy.RollingUpdate.MaxSurge = &intstr.IntOrString{IntVal: 1}
		}, "two agents"},
		"selector": {func(d *appsv1.DaemonSet) { d.Spec.Selector.MatchLabels["x"] = "y" }, "doesn't match"},
		"writable": {container(func(c *corev1.Container) {
			for i := range c.VolumeMounts {
				c.VolumeMounts[i].ReadOnly = false
			}
		}), "can write to /sys/fs/cgroup"},
		"other path": {container(func(c *corev1.Container) {
			for i := range c.VolumeMounts {
				c.VolumeMounts[i].MountPath += "/x"
			}
		}), "on the host"},
	} {
		o, d := renderedDaemonSet(t)
		tt.change(d)
		if got := strings.Join(findings(o), "\n"); !strings.Contains(got, tt.want) {
			t.Errorf("%s: findings %q, want %q", name, got, tt.want)
		}
	}
}

func renderedDaemonSet(t *testing.T) (object, *appsv1.DaemonSet) {
	t.Helper()
	files, err := render(t, variantRows[0].values)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range decode(t, "agent", files["agent.yaml"]) {
		if d, ok := o.value.(*appsv1.DaemonSet); ok {
			return o, d
		}
	}
	t.Fatal("no DaemonSet")
	return object{}, nil
}

func TestRoleRulesBite(t *testing.T) {
	for want, rule := range map[string]rbacv1.PolicyRule{
		"may delete":             {Resources: []string{"pods"}, Verbs: []string{"delete"}},
		"may read secrets":       {Resources: []string{"secrets"}, Verbs: []string{"get"}},
		"may read *":             {Resources: []string{"*"}, Verbs: []string{"get"}},
		"other than kube-system": {Resources: []string{"namespaces"}, Verbs: []string{"get"}},
	} {
		role := &rbacv1.ClusterRole{Rules: []rbacv1.PolicyRule{rule}}
		if got := strings.Join(findings(object{kind: "ClusterRole", meta: role, value: role}), "\n"); !strings.Contains(got, want) {
			t.Errorf("%+v: findings %q, want %q", rule, got, want)
		}
	}
}

func TestUnknownFieldsAreRefused(t *testing.T) {
	for _, text := range []string{
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndatum: {}\n",
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: b}\ndata: {a: c}\n",
		"apiVersion: apps/v1beta1\nkind: Deployment\nmetadata: {name: x}\nspec: {replicas: two}\n",
	} {
		if err := strictly([]byte(text)); err == nil {
			t.Errorf("no error for %q", text)
		}
	}
}
