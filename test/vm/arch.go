package vm

import (
	"fmt"
	"runtime"
)

// arch is what differs between architectures.
type arch struct {
	name        string
	qemu        string
	qemuPackage string
	machine     []string
	// flavour ends the kernel packages' names.
	flavour string
	// console and data are the guest's serial ports.
	console, data string
	// dataPort is QEMU's options for the second one, on a unix socket.
	dataPort func(socket string) []string
	// words are for the kernel's command line.
	words []string
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
			dataPort: func(socket string) []string {
				return []string{"-serial", "unix:" + socket}
			},
			words: []string{"tsc=reliable", "no_timer_check", "i8042.noaux", "i8042.nokbd", "i8042.nopnp"},
		}, nil
	case "arm64":
		return arch{
			name:        name,
			qemu:        "qemu-system-aarch64",
			qemuPackage: "qemu-system-arm",
			// A Cortex-A72 has no pointer authentication, which costs most of the
			// time where it is emulated.
			machine: []string{"-machine", "virt,gic-version=3", "-cpu", "cortex-a72"},
			flavour: "cloud-arm64",
			// The machine has one port of its own; the other is a PCI card.
			console: "ttyAMA0",
			data:    "/dev/ttyS0",
			dataPort: func(socket string) []string {
				return []string{"-chardev", "socket,id=data,path=" + socket, "-device", "pci-serial,chardev=data"}
			},
		}, nil
	default:
		return arch{}, fmt.Errorf("architecture %s: the harness has no machine for it", name)
	}
}

// guestArch is the architecture that is asked for, or the host's.
func guestArch(name string) (arch, error) {
	if name == "" {
		name = runtime.GOARCH
	}
	return archByName(name)
}
