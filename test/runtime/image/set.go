package image

// Names of the images of [Set].
const (
	Pause   = "beesting.test/pause:1"
	Busybox = "beesting.test/busybox:1"
	Scratch = "beesting.test/scratch:1"
)

// applets are the busybox commands that scenarios use; each is a link.
var applets = []string{
	"sh", "cat", "ls", "ln", "sleep", "id", "head", "grep", "seq", "touch", "mkdir", "rm", "mount", "true", "wc", "stat",
}

// Set returns the images of the scenarios: the sandbox's pause, a busybox that
// looks enough like a distribution, and an image with nothing but [First] and pause.
// The arguments are static executables for arch.
func Set(arch string, pause, busybox, first []byte) []Image {
	return []Image{
		{
			Name: Pause, Arch: arch, Entrypoint: []string{"/pause"},
			Files: []File{{Path: "pause", Mode: 0o755, Content: pause}},
		},
		{
			Name: Busybox, Arch: arch, Cmd: []string{"/bin/sh"},
			Files: busyboxFiles(busybox),
		},
		{
			Name: Scratch, Arch: arch, Entrypoint: []string{"/first"},
			Files: []File{
				{Path: "first", Mode: 0o755, Content: first},
				{Path: "pause", Mode: 0o755, Content: pause}, // to have first run in, by exec
			},
		},
	}
}

func busyboxFiles(busybox []byte) []File {
	files := []File{
		{Path: "bin", Mode: 0o755, Dir: true},
		{Path: "data", Mode: 0o755, Dir: true},
		{Path: "etc", Mode: 0o755, Dir: true},
		{Path: "root", Mode: 0o700, Dir: true},
		{Path: "run", Mode: 0o755, Dir: true},
		{Path: "srv", Mode: 0o755, Dir: true},
		{Path: "tmp", Mode: 0o1777, Dir: true},
		{Path: "var", Mode: 0o755, Dir: true},
		// Absolute, as in Debian's and Alpine's images: whoever follows it
		// through /proc/PID/root without RESOLVE_IN_ROOT lands on the host.
		{Path: "var/run", Link: "/run"},
		// A link that nobody would guess, to where a volume may be mounted.
		{Path: "opt", Link: "/data"},
		{Path: "etc/passwd", Mode: 0o644, Content: []byte("root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/:/bin/sh\n")},
		{Path: "etc/group", Mode: 0o644, Content: []byte("root:x:0:\napp:x:1000:\n")},
		// For tokens at their paths.
		{Path: "etc/issue", Mode: 0o644, Content: []byte("the image's own\n")},
		{Path: "etc/motd", Mode: 0o644, Content: []byte("the image's own\n")},
		{Path: "etc/networks", Mode: 0o644, Content: []byte("the image's own\n")},
		{Path: "bin/busybox", Mode: 0o755, Content: busybox},
	}
	for _, a := range applets {
		files = append(files, File{Path: "bin/" + a, Link: "/bin/busybox"})
	}
	return files
}
