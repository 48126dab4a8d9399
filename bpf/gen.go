package bpf

// -mcpu=v3 (5.1) saves instructions on 32-bit values. The headers come from
// Debian's libbpf-dev; everything else is in this directory.
//go:generate go tool bpf2go -cc clang -strip llvm-strip -target amd64,arm64 -tags linux -no-global-types -type event -type account -type count -type watch -type enrolment -type identity -type repeat -type repeat_key -cflags "-g -O2 -Wall -Werror -mcpu=v3" lsm lsm.bpf.c
//go:generate go tool bpf2go -cc clang -strip llvm-strip -target amd64,arm64 -tags linux -no-global-types -cflags "-g -O2 -Wall -Werror -mcpu=v3" fentry fentry.bpf.c
//go:generate go tool bpf2go -cc clang -strip llvm-strip -target amd64,arm64 -tags linux -no-global-types -cflags "-g -O2 -Wall -Werror -mcpu=v3" kprobe kprobe.bpf.c
