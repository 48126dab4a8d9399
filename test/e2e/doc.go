// Package e2e has the tests of the whole: the real beesting binary, the real
// containerd with NRI and runc, real containers, a real kernel. They are built
// with the tag e2e into one static test binary and run as root, on a machine
// whose kernel lets programs attach or in a VM (see test/e2e/cmd/e2e).
package e2e
