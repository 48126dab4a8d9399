package vm

import (
	"fmt"
	"runtime"
)

// arch is what differs between architectures. Only amd64 has been run; another
// one is a further value here, a busybox of that architecture and GOARCH for
// what is built.
type arch struct {
	name        string
	qemu        string
	qemuPackage string
	machine     []string
	// flavour ends the kernel packages' names.
	flavour string
	// console and data are the guest's serial ports.
	console, data string
}

func archByName(name string) (arch, error) {
	switch name {
	case "amd64":
		return arch{
			name:        name,
			qemu:        "qemu-system-x86_64",
			qemuPackage: "qemu-system-x86",
			// HPET off: with it Linux calibrates against an emulated timer.
			machine: []string{"-machine", "pc,hpet=off,usb=off,vmport=off", "-cpu", "max"},
			flavour: "cloud-amd64",
			console: "ttyS0",
			data:    "/dev/ttyS1",
		}, nil
	default:
		return arch{}, fmt.Errorf("architecture %s: the harness has no machine for it", name)
	}
}

// hostArch is the guest's architecture: tests run what they were built for.
func hostArch() (arch, error) { return archByName(runtime.GOARCH) }
