package deploy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// hostPathTable has every directory of a node that may be mounted, and whether it
// may be written to. docs/kubernetes.md says what each is for.
var hostPathTable = map[string]struct {
	kind     corev1.HostPathType
	writable bool
}{
	"nri":    {corev1.HostPathDirectory, true},
	"state":  {corev1.HostPathDirectoryOrCreate, true},
	"files":  {corev1.HostPathDirectoryOrCreate, true},
	"cgroup": {corev1.HostPathDirectory, false},
	"bpffs":  {corev1.HostPathDirectory, true},
}

// capabilityNames may be added; `make test-k8s` proves that each has to be.
var capabilityNames = []corev1.Capability{
	"SYS_ADMIN", "SYS_CHROOT", "SYS_PTRACE", "DAC_READ_SEARCH", "CHOWN", "FOWNER", "SETUID", "SETGID",
}

// findings holds an object against the rules.
func findings(o object) []string {
	var out []string
	say := func(format string, args ...any) {
		out = append(out, fmt.Sprintf("%s %s: ", o.kind, o.meta.GetName())+fmt.Sprintf(format, args...))
	}
	if meta, spec := o.podOf(); spec != nil {
		podFindings(o, meta.Labels, spec, say)
		for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
			containerFindings(spec, c, say)
		}
	}
	switch v := o.value.(type) {
	case *rbacv1.ClusterRole:
		roleFindings(v, say)
	case *appsv1.DaemonSet:
		if u := v.Spec.UpdateStrategy.RollingUpdate; u == nil || u.MaxSurge == nil || u.MaxSurge.IntValue() != 0 {
			say("two agents at a time on a node")
		}
	}
	return out
}

type sayer func(format string, args ...any)

func podFindings(o object, podLabels map[string]string, spec *corev1.PodSpec, say sayer) {
	if spec.HostNetwork || spec.HostIPC {
		say("shares the host's network or IPC")
	}
	if spec.HostPID && o.kind != "DaemonSet" {
		say("sees the host's processes")
	}
	if spec.AutomountServiceAccountToken == nil {
		say("doesn't say whether it has the service account's token")
	}
	for _, v := range spec.Volumes {
		if v.HostPath == nil {
			continue
		}
		known, ok := hostPathTable[v.Name]
		if !ok || v.HostPath.Type == nil || *v.HostPath.Type != known.kind {
			say("mounts %s of the host (volume %s)", v.HostPath.Path, v.Name)
		}
	}
	switch v := o.value.(type) {
	case *appsv1.DaemonSet:
		matches(v.Spec.Selector.MatchLabels, podLabels, say)
	case *appsv1.StatefulSet:
		matches(v.Spec.Selector.MatchLabels, podLabels, say)
	}
}

func matches(selector, podLabels map[string]string, say sayer) {
	if !labels.SelectorFromSet(selector).Matches(labels.Set(podLabels)) {
		say("the selector doesn't match its own pods")
	}
}

func containerFindings(spec *corev1.PodSpec, c corev1.Container, say sayer) {
	s := c.SecurityContext
	if s == nil {
		say("%s: no security context", c.Name)
		return
	}
	no := func(b *bool) bool { return b != nil && !*b }
	if !no(s.Privileged) || !no(s.AllowPrivilegeEscalation) {
		say("%s: may be privileged", c.Name)
	}
	if no(s.ReadOnlyRootFilesystem) || s.ReadOnlyRootFilesystem == nil {
		say("%s: its root can be written", c.Name)
	}
	if s.Capabilities == nil || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) {
		say("%s: doesn't drop all capabilities", c.Name)
	} else if i := slices.IndexFunc(s.Capabilities.Add, func(c corev1.Capability) bool { return !slices.Contains(capabilityNames, c) }); i >= 0 {
		say("%s: adds %s", c.Name, s.Capabilities.Add[i])
	} else if len(s.Capabilities.Add) > 0 && !spec.HostPID {
		say("%s: has capabilities and isn't a sensor", c.Name)
	}
	profile := s.SeccompProfile
	if profile == nil && spec.SecurityContext != nil {
		profile = spec.SecurityContext.SeccompProfile
	}
	if profile == nil || profile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		say("%s: no seccomp profile", c.Name)
	}
	root := spec.SecurityContext == nil || spec.SecurityContext.RunAsNonRoot == nil || !*spec.SecurityContext.RunAsNonRoot
	if root && !spec.HostPID {
		say("%s: runs as root", c.Name)
	}
	if c.Resources.Requests.Cpu().IsZero() || c.Resources.Requests.Memory().IsZero() || c.Resources.Limits.Memory().IsZero() {
		say("%s: without requests and a limit of memory", c.Name)
	}
	if _, tag, ok := strings.Cut(c.Image[strings.LastIndexByte(c.Image, '/')+1:], ":"); !ok || tag == "latest" || tag == "" {
		say("%s: the image %s is of no certain version", c.Name, c.Image)
	}
	if spec.RestartPolicy == "" && (c.LivenessProbe == nil || c.ReadinessProbe == nil) {
		say("%s: no probes", c.Name)
	}
	mountFindings(spec, c, say)
}

func mountFindings(spec *corev1.PodSpec, c corev1.Container, say sayer) {
	for _, m := range c.VolumeMounts {
		if m.SubPath != "" || m.SubPathExpr != "" {
			say("%s: %s is mounted by subPath, and never changes", c.Name, m.Name)
		}
		i := slices.IndexFunc(spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })
		if i < 0 {
			continue // a claim's
		}
		if v := spec.Volumes[i]; v.HostPath != nil && !hostPathTable[v.Name].writable && !m.ReadOnly {
			say("%s: can write to %s of the host", c.Name, v.HostPath.Path)
		}
		if v := spec.Volumes[i]; v.HostPath != nil && v.HostPath.Path != m.MountPath {
			say("%s: %s is %s on the host", c.Name, m.MountPath, v.HostPath.Path)
		}
	}
}

func roleFindings(role *rbacv1.ClusterRole, say sayer) {
	for _, rule := range role.Rules {
		for _, verb := range rule.Verbs {
			if !slices.Contains([]string{"get", "list", "watch"}, verb) {
				say("may %s %v", verb, rule.Resources)
			}
		}
		for _, resource := range rule.Resources {
			if strings.Contains(resource, "*") || strings.HasPrefix(resource, "secrets") || strings.HasPrefix(resource, "configmaps") {
				say("may read %s", resource)
			}
		}
		if slices.Contains(rule.Resources, "namespaces") && !slices.Equal(rule.ResourceNames, []string{"kube-system"}) {
			say("may read namespaces other than kube-system")
		}
	}
}

func TestRules(t *testing.T) {
	for name, objects := range everything(t) {
		for _, o := range objects {
			for _, f := range findings(o) {
				t.Errorf("%s: %s", name, f)
			}
		}
		for _, f := range together(objects) {
			t.Errorf("%s: %s", name, f)
		}
	}
}

// together has what can be seen only of all objects of a release.
func together(objects []object) []string {
	var out []string
	have := map[string]bool{}
	for _, o := range objects {
		have[o.kind+"/"+o.meta.GetName()] = true
	}
	want := func(o object, kind, name string) {
		if name != "" && !have[kind+"/"+name] {
			out = append(out, fmt.Sprintf("%s %s wants %s %s, which isn't there", o.kind, o.meta.GetName(), kind, name))
		}
	}
	for _, o := range objects {
		_, spec := o.podOf()
		if spec == nil {
			continue
		}
		if spec.ServiceAccountName != "own" { // that of a variant
			want(o, "ServiceAccount", spec.ServiceAccountName)
		}
		want(o, "PriorityClass", spec.PriorityClassName)
		for _, v := range spec.Volumes {
			if v.ConfigMap != nil {
				want(o, "ConfigMap", v.ConfigMap.Name)
			}
		}
	}
	return out
}
