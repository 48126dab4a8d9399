/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Execution: the token as program, script or interpreter. */
#include "touch.h"
#include <elf.h>
#include <pthread.h>

static char *const argv_noop[] = {"token", "noop", NULL};

CASE(exec, "exec/open", "execve(2) of it, an ELF program", .content = "elf") { OK(execv(token, argv_noop)); }
static void exec_token(void) { OK(execv(token, argv_noop)); }
CASE(exec_child, "exec@child/open@child", "fork and exec, as a shell does", .content = "elf") { child(exec_token); }
CASE(exec_script, "exec/open", "execve(2) of it, a script", .content = "script") { OK(execv(token, argv_noop)); }
CASE(exec_interpreter, "exec/open", "as the interpreter of another script", .content = "elf")
{
	const char *script = in(scratch, "s");
	int fd = OK(open(script, O_WRONLY | O_CREAT, 0755));

	OK(dprintf(fd, "#!%s noop\n", token));
	OK(close(fd));
	OK(execv(script, argv_noop));
}
CASE(exec_by_descriptor, "open exec/open", "fexecve(3): opened, then execveat(2) with an empty path", .content = "elf")
{
	OK(syscall(SYS_execveat, OK(open(token, O_RDONLY | O_CLOEXEC)), "", argv_noop, environ, AT_EMPTY_PATH));
}
CASE(execveat, "exec/open", "execveat(2) with the directory's descriptor", .content = "elf")
{
	OK(syscall(SYS_execveat, OK(open(dir, O_PATH | O_CLOEXEC)), name, argv_noop, environ, 0));
}
CASE(exec_no_format, "exec/open", "execve(2) of it, which is no program")
{
	REFUSED(ENOEXEC, execv(token, argv_noop));
}
CASE(exec_refused, "exec!EACCES^recon", "execve(2) without the permission", .mode = 0644)
{
	REFUSED(EACCES, execv(token, argv_noop));
}
static void *exec_in_thread(void *arg)
{
	(void)arg;
	OK(execv(token, argv_noop));
	return NULL;
}
CASE(exec_thread, "exec/open", "execve(2) by a thread that is not the first", .content = "elf")
{
	pthread_t t;

	OK(pthread_create(&t, NULL, exec_in_thread, NULL) ? -1 : 0);
	pause();
}
CASE(exec_check, "exec/open", "execveat(2) with AT_EXECVE_CHECK", .content = "elf", .since = "6.14")
{
	OK(syscall(SYS_execveat, AT_FDCWD, token, argv_noop, environ, 0x10000));
}

/* elf_with_interpreter writes a program whose PT_INTERP is the token. */
static const char *elf_with_interpreter(void)
{
	const char *path = in(scratch, "dynamic");
	size_t n = strlen(token) + 1;
	Elf64_Ehdr e = {
		.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
		.e_type = ET_DYN, .e_version = EV_CURRENT, .e_phoff = sizeof(e), .e_entry = 0x1000,
#ifdef __aarch64__
		.e_machine = EM_AARCH64,
#else
		.e_machine = EM_X86_64,
#endif
		.e_ehsize = sizeof(e), .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 2,
	};
	Elf64_Phdr p[2] = {
		{.p_type = PT_INTERP, .p_flags = PF_R, .p_offset = sizeof(e) + sizeof(p), .p_filesz = n, .p_memsz = n, .p_align = 1},
		{.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_filesz = 4096, .p_memsz = 4096, .p_align = 4096},
	};
	int fd = OK(open(path, O_WRONLY | O_CREAT, 0755));

	OK(write(fd, &e, sizeof(e)));
	OK(write(fd, p, sizeof(p)));
	OK(write(fd, token, n));
	OK(ftruncate(fd, 8192));
	OK(close(fd));
	return path;
}
CASE(exec_elf_interpreter, "exec@child/open@child", "as the PT_INTERP of another program: the dynamic loader", .content = "elf")
{
	const char *program = elf_with_interpreter();
	pid_t pid = OK(fork());

	if (pid == 0) {
		OK(execv(program, argv_noop));
	}
	/* How a program ends whose loader is none is not the matter here. */
	OK(waitpid(pid, NULL, 0));
}
