#include "textflag.h"

// func vforkExec(path *byte, argv **byte) int
TEXT ·vforkExec(SB), NOSPLIT, $0-24
	MOVD path+0(FP), R9
	MOVD argv+8(FP), R10
	MOVD $0x4111, R0 // CLONE_VFORK | CLONE_VM | SIGCHLD, which execve would set anyway
	MOVD ZR, R1
	MOVD ZR, R2
	MOVD ZR, R3
	MOVD ZR, R4
	MOVD $220, R8 // clone
	SVC
	CBNZ R0, parent
	MOVD R9, R0
	MOVD R10, R1
	MOVD ZR, R2
	MOVD $221, R8 // execve
	SVC
	MOVD $127, R0
	MOVD $93, R8 // exit
	SVC
	BRK
parent:
	MOVD R0, ret+16(FP)
	RET
