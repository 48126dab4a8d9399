package ctd

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/beesting-otel/beesting/test/runtime/image"
)

// capSysResource is CAP_SYS_RESOURCE (include/uapi/linux/capability.h).
const capSysResource = 24

// configFile is the configuration of containerd 2.4, in its own format. Everything
// lives in one directory, so that a containerd of the machine itself is left
// alone. AppArmor is off because loading its profile needs apparmor_parser,
// and metadata is not synced to disk because nothing here outlives the run.
const configFile = `version = 4
root = %[1]q
state = %[2]q
temp = %[3]q
disabled_plugins = [
  'io.containerd.snapshotter.v1.blockfile', 'io.containerd.snapshotter.v1.erofs',
  'io.containerd.snapshotter.v1.btrfs', 'io.containerd.snapshotter.v1.zfs',
  'io.containerd.snapshotter.v1.devmapper', 'io.containerd.differ.v1.erofs',
  'io.containerd.mount-handler.v1.erofs', 'io.containerd.image-verifier.v1.bindir',
  'io.containerd.tracing.processor.v1.otlp', 'io.containerd.internal.v1.tracing',
]

[plugins.'io.containerd.server.v1.grpc']
  address = %[4]q
[plugins.'io.containerd.server.v1.ttrpc']
  address = %[5]q
[plugins.'io.containerd.shim.v1.manager']
  socket_dir = %[6]q
[plugins.'io.containerd.internal.v1.opt']
  path = %[7]q
[plugins.'io.containerd.metadata.v1.bolt']
  no_sync = true
[plugins.'io.containerd.nri.v1.nri']
  disable = false
  socket_path = %[8]q
  plugin_path = %[9]q
  plugin_config_path = %[9]q
[plugins.'io.containerd.nri.v1.nri'.default_validator]
  enable = %[14]t
  reject_oci_hook_adjustment = %[14]t
[plugins.'io.containerd.cri.v1.images']
  snapshotter = 'overlayfs'
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = %[10]q
[plugins.'io.containerd.cri.v1.runtime']
  disable_apparmor = true
  restrict_oom_score_adj = %[11]t
  cdi_spec_dirs = []
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = [%[16]q]
  conf_dir = %[17]q
[plugins.'io.containerd.cri.v1.runtime'.containerd]
  default_runtime_name = 'runc'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = 'io.containerd.runc.v2'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  BinaryName = %[12]q
  Root = %[13]q
  SystemdCgroup = false
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.idmap]
  runtime_type = 'io.containerd.runc.v2'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.idmap.options]
  BinaryName = %[15]q
  Root = %[13]q
  SystemdCgroup = false
`

// oldConfigFile is the same for 1.7, as far as that can be told it: its shims'
// sockets are in /run/containerd, it has no validator, NRI is off by default.
const oldConfigFile = `version = 2
root = %[1]q
state = %[2]q
temp = %[3]q
disabled_plugins = [
  'io.containerd.snapshotter.v1.blockfile', 'io.containerd.snapshotter.v1.btrfs',
  'io.containerd.snapshotter.v1.zfs', 'io.containerd.snapshotter.v1.devmapper',
  'io.containerd.tracing.processor.v1.otlp', 'io.containerd.internal.v1.tracing',
]

[grpc]
  address = %[4]q
[ttrpc]
  address = %[5]q
[plugins.'io.containerd.internal.v1.opt']
  path = %[6]q
[plugins.'io.containerd.nri.v1.nri']
  disable = false
  socket_path = %[7]q
  plugin_path = %[8]q
  plugin_config_path = %[8]q
[plugins.'io.containerd.grpc.v1.cri']
  sandbox_image = %[9]q
  disable_apparmor = true
  restrict_oom_score_adj = %[10]t
[plugins.'io.containerd.grpc.v1.cri'.cni]
  bin_dir = %[8]q
  conf_dir = %[8]q
[plugins.'io.containerd.grpc.v1.cri'.containerd]
  snapshotter = 'overlayfs'
  default_runtime_name = 'runc'
[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc]
  runtime_type = 'io.containerd.runc.v2'
[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc.options]
  BinaryName = %[11]q
  Root = %[12]q
  SystemdCgroup = false
[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.idmap]
  runtime_type = 'io.containerd.runc.v2'
[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.idmap.options]
  BinaryName = %[13]q
  Root = %[12]q
  SystemdCgroup = false
`

// layout names what is in a node's directory.
type layout struct{ dir string }

func (l layout) path(name string) string { return filepath.Join(l.dir, name) }
func (l layout) config() string          { return l.path("containerd.toml") }
func (l layout) log() string             { return l.path("containerd.log") }
func (l layout) socket() string          { return l.path("ctd.sock") }
func (l layout) nriSocket() string       { return l.path("nri.sock") }
func (l layout) lock() string            { return l.path("lock") }

// cgroupParent is where all of the node's containers go, on every hierarchy.
func (l layout) cgroupParent() string { return "/" + filepath.Base(l.dir) }

// settings are what differs from one node's configuration to another's.
type settings struct {
	old                      bool // containerd 1.7
	runc, idmap              string
	restrictOOM, rejectHooks bool
	cni                      CNI
}

func (l layout) writeConfig(s settings) error {
	text := fmt.Sprintf(configFile,
		l.path("root"), l.path("state"), l.path("temp"),
		l.socket(), l.socket()+".ttrpc", l.path("s"), l.path("opt"),
		l.nriSocket(), l.path("none"),
		image.Pause, s.restrictOOM, s.runc, l.path("runc"), s.rejectHooks, s.idmap,
		cmp.Or(s.cni.Plugins, l.path("none")), l.path("cni"))
	if s.old {
		text = fmt.Sprintf(oldConfigFile,
			l.path("root"), l.path("state"), l.path("temp"),
			l.socket(), l.socket()+".ttrpc", l.path("opt"),
			l.nriSocket(), l.path("none"),
			image.Pause, s.restrictOOM, s.runc, l.path("runc"), s.idmap)
	}
	for _, d := range []string{"root", "state", "temp", "s", "opt", "none", "cni", "runc"} {
		if err := os.MkdirAll(l.path(d), 0o711); err != nil {
			return err
		}
	}
	if s.cni.Config != "" {
		text := fmt.Sprintf(s.cni.Config, l.path("cni-addresses"))
		if err := os.WriteFile(filepath.Join(l.path("cni"), "pods.conflist"), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return os.WriteFile(l.config(), []byte(text), 0o600)
}

// mayLowerOOMScore says whether this process may give a container a lower OOM
// score than its own. Without CAP_SYS_RESOURCE runc dies while it tries
// ("can't get final child's PID from pipe: EOF"), unless containerd is told
// not to ask for it.
func mayLowerOOMScore(status []byte) (bool, error) {
	for line := range strings.Lines(string(status)) {
		hex, ok := strings.CutPrefix(line, "CapEff:")
		if !ok {
			continue
		}
		caps, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
		if err != nil {
			return false, fmt.Errorf("effective capabilities %q: %w", strings.TrimSpace(hex), err)
		}
		return caps&(1<<capSysResource) != 0, nil
	}
	return false, fmt.Errorf("effective capabilities: no CapEff line in /proc/self/status")
}
