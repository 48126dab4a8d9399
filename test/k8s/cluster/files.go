package cluster

import (
	"context"
	"crypto/rand"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// cniConfig is the pods' network: one bridge, which the node itself is on too.
const cniConfig = `{
  "cniVersion": "1.0.0", "name": "pods",
  "plugins": [{
    "type": "bridge", "bridge": "bsk8s0", "isGateway": true, "ipMasq": false,
    "ipam": {"type": "host-local", "ranges": [[{"subnet": "` + podNet + `"}]], "routes": [{"dst": "0.0.0.0/0"}], "dataDir": "%s"}
  }]
}
`

// kubeletConfig is a node's on a machine that is not the kubelet's alone: nothing
// is enforced on it, and nothing of it evicted.
const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, x509: {clientCAFile: %q}}
authorization: {mode: AlwaysAllow}
address: ` + HostIP + `
readOnlyPort: 0
healthzPort: 0
containerRuntimeEndpoint: unix://%s
cgroupDriver: cgroupfs
cgroupsPerQOS: true
cgroupRoot: %s
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
makeIPTablesUtilChains: false
enableControllerAttachDetach: false
evictionHard: {memory.available: 100Mi}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
resolvConf: ""
podLogsDir: %q
# A changed ConfigMap reaches its pods at the next of these rounds.
syncFrequency: 10s
`

// user is who a part of the cluster is to the API server.
type user struct{ name, groups string }

// userTable has the names that Kubernetes' own roles are bound to.
var userTable = map[string]user{
	"admin":                   {"admin", "system:masters"},
	"kubelet":                 {"system:node:" + NodeName, "system:nodes"},
	"kube-controller-manager": {"system:kube-controller-manager", ""},
	"kube-scheduler":          {"system:kube-scheduler", ""},
}

// files writes certificates and configurations.
func (c *Cluster) files(context.Context) error {
	ca, err := newAuthority(c.path("ca.crt"))
	if err != nil {
		return err
	}
	err = errors.Join(
		ca.issue(c.path("apiserver"), pkix.Name{CommonName: "kube-apiserver"},
			"127.0.0.1", HostIP, serviceIP, "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"),
		ca.issue(c.path("client"), pkix.Name{CommonName: "kube-apiserver", Organization: []string{"system:masters"}}),
		ca.issue(c.path("accounts"), pkix.Name{CommonName: "service accounts"}))
	if err != nil {
		return err
	}
	tokens := ""
	for part, u := range userTable {
		token := rand.Text()
		tokens += fmt.Sprintf("%s,%s,%s,%q\n", token, u.name, u.name, u.groups)
		if err := os.WriteFile(c.path(part+".conf"), []byte(c.kubeconfig(token)), 0o600); err != nil {
			return err
		}
	}
	if err := os.WriteFile(c.path("tokens.csv"), []byte(tokens), 0o600); err != nil {
		return err
	}
	root, err := c.cgroupRoot()
	if err != nil {
		return err
	}
	text := fmt.Sprintf(kubeletConfig, c.path("ca.crt"), c.Node.Socket(), root, c.path("pod-logs"))
	return os.WriteFile(c.path("kubelet.yaml"), []byte(text), 0o600)
}

func (c *Cluster) kubeconfig(token string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: "https://%s", certificate-authority: %q}}]
users: [{name: me, user: {token: %q}}]
contexts: [{name: test, context: {cluster: test, user: me}}]
current-context: test
`, HostIP, c.path("ca.crt"), token)
}

// cgroupRoot makes the cgroup that all pods are below, on every hierarchy, as the
// kubelet wants to find it. Removing the node removes it.
func (c *Cluster) cgroupRoot() (string, error) {
	root := "/" + filepath.Base(c.Node.Dir())
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		if len(f) < 4 || f[2] != "cgroup" && f[2] != "cgroup2" {
			continue
		}
		dir := f[1] + root
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", err
		}
		if !strings.Contains(f[3], "cpuset") {
			continue
		}
		// On v1 a new cgroup has no processors and no memory, and nothing can be put into it.
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			has, err := os.ReadFile(filepath.Join(f[1], file))
			if err != nil {
				return "", err
			}
			if err := os.WriteFile(filepath.Join(dir, file), has, 0o600); err != nil {
				return "", err
			}
		}
	}
	return root, nil
}
