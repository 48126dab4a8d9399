// Package vm boots Debian kernels under QEMU's software emulation and runs
// commands in them as root, with their output and exit code back on the host.
//
// Many container hosts and CI machines refuse tracing and LSM programs even to
// root. This package is how every claim about the kernel is tested everywhere:
// it needs neither KVM nor any privilege of the host beyond apt-get.
//
// # Use
//
//	code, err := vm.Run(ctx, vm.Config{
//		Kernel:  "6.12",                                  // or "6.1", "newest", a full release
//		Files:   map[string]string{"/usr/bin/x": "./x"},  // guest path → host file or directory
//		Command: []string{"/usr/bin/x", "--flag"},
//		Stdout:  os.Stdout, Stderr: os.Stderr,
//	})
//
// From the command line:
//
//	go run ./test/vm/cmd/vm run -kernel 6.1 -- uname -a
//	go run ./test/vm/cmd/vm test -kernels 5.10,6.1,6.12,6.18,newest ./bpf/...
//	go run ./test/vm/cmd/vm shell -kernel 6.12      (make vm KERNEL=6.12)
//	go run ./test/vm/cmd/vm kernels
//
// `vm run` exits with the command's code, and with 125 when the VM is at fault;
// `go run` makes 1 of both, so a script builds the command first.
//
// # What a guest has
//
// busybox and its commands, root, proc, sysfs, devtmpfs, devpts, tracefs,
// debugfs, securityfs, bpf, cgroup2 (pure v2, /sys/fs/cgroup), tmpfs on /tmp,
// /run and /dev/shm, the loopback up. The kernel's own module loading works:
// `mount -t overlay`, `-t xfs`, `-t btrfs` and `-o loop` load what they need.
// Config.Filesystems adds empty file systems on disks of their own, mounted at
// /mnt/ext4, /mnt/xfs and /mnt/btrfs. The environment variable BEESTING_VM
// holds the kernel release.
//
// # Tests that need the VM
//
// A test that needs the VM must not skip quietly elsewhere. Such tests live in
// files with the build tag vmtest, so `go test` does not compile them, and
// TestPackages (`vm test`) compiles them and runs them in each kernel. There, a
// test that skips itself and a package without tests count as failures; -skip-ok
// names the tests that may skip.
//
//	//go:build vmtest
//
// Put into such a file what needs a kernel that is ours. Everything else stays
// in files without the tag; `vm test` runs those too unless -run says otherwise.
//
// # The verdict
//
// The guest's first process reports over a serial port of its own, in frames, so
// kernel messages can't get in the way; the exit code is what it reports. QEMU's
// exit code means nothing. A kernel that panics, dies or hangs is an error that
// carries the console's last lines. Every boot has a time limit.
//
// # Cache
//
// Kernels come from Debian's mirrors as packages, are unpacked and never
// installed. They and everything built live in
// ${BEESTING_CACHE:-${XDG_CACHE_HOME:-~/.cache}/beesting}/vm, keyed by version.
// Once there, no network is used; `vm kernels -refresh` looks for newer ones.
package vm
