// Package ctd runs a private containerd, with NRI on, from a directory of its
// own: root, state, sockets, logs and cgroups. What it starts it takes down
// again, also after a crash of its caller (see [Sweep]). It needs root.
package ctd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/test/runtime/cri"
)

// prefix starts the name of every node's directory and of its cgroup.
const prefix = "bsnode-"

// maxDir keeps a shim's socket (DIR/s/ and 64 hex digits) inside the 107 bytes
// of a unix socket's path (include/uapi/linux/un.h).
const maxDir = 40

const (
	startTimeout = 90 * time.Second // an emulated CPU takes 10 to 20 s
	stopTimeout  = 20 * time.Second
)

// Bundle is a directory with what a node needs: bin/ (containerd, its shim,
// ctr, runc, idmap/runc) and images.tar.
type Bundle string

func (b Bundle) bin(name string) string { return filepath.Join(string(b), "bin", name) }

// Images is the OCI layout tar that is imported when a node starts.
func (b Bundle) Images() string { return filepath.Join(string(b), "images.tar") }

// CNI gives pods a network of their own. Without one they are on the host's.
type CNI struct {
	// Plugins is the directory with the plugins' programs.
	Plugins string
	// Config is a network configuration list, with a %s for a directory of the node's.
	Config string
}

// Node is a running containerd. Its methods are for one goroutine, those of
// its CRI client for any number.
type Node struct {
	layout
	bundle Bundle
	cni    CNI
	old    bool
	lock   *os.File
	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd has ended
	cri    *cri.Client
}

// Start starts containerd in a new directory below base, imports the bundle's
// images and returns when it is ready to run pods. ctx bounds the start only.
func Start(ctx context.Context, bundle Bundle, base string) (*Node, error) {
	return StartWith(ctx, bundle, base, CNI{})
}

// StartWith is Start with a network for pods.
func StartWith(ctx context.Context, bundle Bundle, base string, cni CNI) (*Node, error) {
	dir, err := os.MkdirTemp(base, prefix)
	if err != nil {
		return nil, fmt.Errorf("node directory: %w", err)
	}
	n := &Node{layout: layout{dir}, bundle: bundle, cni: cni}
	if err := n.start(ctx); err != nil {
		err = fmt.Errorf("containerd in %s: %w%s", dir, err, n.logTail())
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

func (n *Node) start(ctx context.Context) error {
	if len(n.dir) > maxDir {
		return fmt.Errorf("directory name longer than %d bytes, too long for a shim's socket", maxDir)
	}
	// Containers that don't run as root reach their root file system through it.
	if err := os.Chmod(n.dir, 0o711); err != nil {
		return err
	}
	var err error
	if n.lock, err = takeLock(n.layout.lock()); err != nil {
		return err
	}
	if err := n.configure(false); err != nil {
		return err
	}
	if n.cri, err = cri.Dial(n.socket(), n.cgroupParent()); err != nil {
		return err
	}
	if err := n.spawn(ctx); err != nil {
		return err
	}
	return n.Import(ctx, n.bundle.Images())
}

func (n *Node) configure(rejectHooks bool) error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	lower, err := mayLowerOOMScore(status)
	if err != nil {
		return err
	}
	if n.old, err = n.bundle.old(); err != nil {
		return err
	}
	if n.old && rejectHooks {
		return errors.New("containerd 1.7 has no validator")
	}
	return n.writeConfig(settings{
		old: n.old, runc: n.bundle.bin("runc"), idmap: n.bundle.bin("idmap/runc"), restrictOOM: !lower, rejectHooks: rejectHooks,
		cni: n.cni,
	})
}

// old says whether it is a containerd 1.7, which is configured in another way.
func (b Bundle) old() (bool, error) {
	out, err := exec.Command(b.bin("containerd"), "--version").Output()
	if err != nil {
		return false, fmt.Errorf("version of containerd: %w", err)
	}
	return strings.Contains(string(out), " 1.7."), nil
}

// spawn starts the containerd process and waits until it is ready.
func (n *Node) spawn(ctx context.Context) error {
	log, err := os.OpenFile(n.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(n.bundle.bin("containerd"), "--config", n.config(), "--log-level", "info")
	cmd.Stdout, cmd.Stderr = log, log
	// The shim is looked for on the PATH. A process group of its own keeps
	// Ctrl-C from ending containerd before its pods are removed.
	cmd.Env = append(os.Environ(), "PATH="+filepath.Join(string(n.bundle), "bin")+":"+os.Getenv("PATH"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = cmd.Wait()
	}()
	n.cmd, n.exited = cmd, exited

	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	go func() { // a containerd that is dead will never be ready
		select {
		case <-exited:
			cancel()
		case <-ctx.Done():
		}
	}()
	return n.cri.WaitReady(ctx)
}

// Import makes the images of an OCI archive known to the runtime.
func (n *Node) Import(ctx context.Context, archive string) error {
	out, err := exec.CommandContext(ctx, n.bundle.bin("ctr"), "--address", n.socket(), "--namespace", "k8s.io",
		"images", "import", "--local", archive).CombinedOutput()
	if err != nil {
		return fmt.Errorf("image import: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// CRI returns the client of the node's runtime.
func (n *Node) CRI() *cri.Client { return n.cri }

// Socket is the runtime's own, for a kubelet.
func (n *Node) Socket() string { return n.socket() }

// NRISocket is where NRI plugins connect.
func (n *Node) NRISocket() string { return n.nriSocket() }

// Old says that this is a containerd 1.7: it has no validator, and its NRI doesn't
// tell a container's user.
func (n *Node) Old() bool { return n.old }

// Dir is the node's directory; it goes away with the node.
func (n *Node) Dir() string { return n.dir }

// CgroupDir is the directory of a container's cgroup in the unified hierarchy.
// Its inode number is the cgroup's id.
func (n *Node) CgroupDir(podUID, container string) (string, error) {
	mounts, err := mountPoints(func(_, fstype string) bool { return fstype == "cgroup2" })
	if err != nil {
		return "", err
	}
	if len(mounts) == 0 {
		return "", errors.New("no cgroup2 file system is mounted")
	}
	return filepath.Join(mounts[0], n.cgroupParent(), cri.PodCgroup(podUID), container), nil
}

// Restart ends containerd and starts it again, as an upgrade does: containers
// run on under their shims.
func (n *Node) Restart(ctx context.Context) error {
	if err := n.stopDaemon(); err != nil {
		return err
	}
	if err := n.spawn(ctx); err != nil {
		return fmt.Errorf("containerd's second start: %w%s", err, n.logTail())
	}
	return nil
}

// RejectHooks has containerd, from its next [Node.Restart] on, refuse every
// container that an NRI plugin wants OCI hooks for.
func (n *Node) RejectHooks() error { return n.configure(true) }

// Reboot is what a loss of power leaves of a node, as far as containerd sees it:
// every process is killed, mounts and cgroups are gone, and so is what lies in
// /run. What is on the disk stays, and containerd starts again.
func (n *Node) Reboot(ctx context.Context) error {
	err := errors.Join(n.killAll(), unmountBelow(n.dir), n.removeCgroups())
	for _, dir := range []string{"state", "runc", "s"} {
		err = errors.Join(err, os.RemoveAll(n.path(dir)), os.MkdirAll(n.path(dir), 0o711))
	}
	if err != nil {
		return fmt.Errorf("reboot: %w", err)
	}
	<-n.exited
	if err := n.spawn(ctx); err != nil {
		return fmt.Errorf("containerd after the reboot: %w%s", err, n.logTail())
	}
	return nil
}

// stopDaemon ends the containerd process and nothing else.
func (n *Node) stopDaemon() error {
	if n.cmd == nil {
		return nil
	}
	for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := n.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		select {
		case <-n.exited:
			return nil
		case <-time.After(stopTimeout):
		}
	}
	return fmt.Errorf("containerd (pid %d) is still there after SIGKILL", n.cmd.Process.Pid)
}

// Close removes all pods, ends containerd and removes every trace: processes,
// mounts, cgroups and the directory.
func (n *Node) Close() error {
	var errs []error
	if n.cmd != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 2*stopTimeout)
		defer cancel()
		errs = append(errs, n.cri.RemoveAllPods(ctx), n.stopDaemon())
	}
	return errors.Join(append(errs, n.Kill())...)
}

// Kill is Close without asking containerd, for a node with many pods: every
// process is killed, and what the kernel still knows of the node is removed.
func (n *Node) Kill() error {
	errs := []error{n.layout.clean()}
	if n.cri != nil {
		errs = append(errs, n.cri.Close())
	}
	if n.lock != nil {
		errs = append(errs, n.lock.Close())
	}
	return errors.Join(errs...)
}

// logTail is the end of containerd's log, for an error message.
func (n *Node) logTail() string {
	const most = 2000
	b, err := os.ReadFile(n.log())
	if err != nil || len(b) == 0 {
		return ""
	}
	return "\nlast lines of its log:\n" + string(b[max(0, len(b)-most):])
}

// takeLock marks a node's directory as in use for as long as the file is open;
// the kernel drops the lock when the process ends, however it ends.
func takeLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return f, nil
}
