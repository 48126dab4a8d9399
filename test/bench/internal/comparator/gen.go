// Package comparator holds the programs that the sensor is measured against.
package comparator

//go:generate go tool bpf2go -cc clang -strip llvm-strip -target amd64,arm64 -tags linux -go-package comparator -cflags "-g -O2 -Wall -Werror -mcpu=v3" comparator comparator.bpf.c
