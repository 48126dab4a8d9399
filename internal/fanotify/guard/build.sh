#!/bin/sh
# Makes the guard for both architectures: freestanding, static, a few kilobytes.
# Run by go generate, in the directory above, with clang 14 and lld of Debian 12.
set -eu
for arch in amd64:x86_64 arm64:aarch64; do
  clang --target="${arch#*:}-linux-gnu" -std=c11 -Os -Wall -Wextra -Werror -ffreestanding \
    -fno-stack-protector -fno-pic -fno-asynchronous-unwind-tables -nostdlib -static \
    -fuse-ld=lld -Wl,--build-id=none,-s,-z,noexecstack,-z,max-page-size=4096 \
    -o "guard/guard_${arch%:*}.elf" guard/guard.c
done
