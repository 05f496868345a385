// What is not worth a wide version's group, on 128 bits: AVX, AES-NI and
// PCLMULQDQ.

#define WIDTH 16
#define V0  X0
#define V1  X1
#define V2  X2
#define V3  X3
#define V4  X4
#define V5  X5
#define V6  X6
#define V7  X7
#define V8  X8
#define V9  X9
#define V10 X10
#define V11 X11
#define V12 X12
#define V13 X13
#define V14 X14
#define V15 X15
#define XOR       VPXOR
#define MOVE      VMOVDQU
#define BROADCAST VMOVDQU
#include "lanes_amd64.h"

BLOCKS(start, 0, $0, $0)
GLOBL start<>(SB), RODATA|NOPTR, $16

BLOCKS(lanes, 0, $1, $0)
GLOBL lanes<>(SB), RODATA|NOPTR, $16

#define SUM VMOVDQA X9, X15

// func crypt128(k *key, hash, counter *[16]byte, dst, src *byte, groups int, open bool)
TEXT ·crypt128(SB), NOSPLIT, $0-49
#include "crypt_amd64.h"

// func hashBlocks(k *key, hash *[16]byte, blocks *byte, n int)
TEXT ·hashBlocks(SB), NOSPLIT, $0-32
	MOVQ    k+0(FP), AX
	MOVQ    hash+8(FP), BX
	MOVQ    blocks+16(FP), R11
	MOVQ    n+24(FP), DX
	VMOVDQU (BX), HASH
	VPSHUFB bswap<>(SB), HASH, HASH

next:
	TAKE(0)
	VPXOR HASH, CIPHER, CIPHER
	CLEAR
	ADD(7) // by the hash key, as a group's last
	REDUCE
	SUM
	ADDQ $16, R11
	DECQ DX
	JNZ  next

	VPSHUFB bswap<>(SB), HASH, HASH
	VMOVDQU HASH, (BX)
	RET

#define FOUR(op) \
	op X8, X0, X0 \
	op X8, X1, X1 \
	op X8, X2, X2 \
	op X8, X3, X3

// func encryptBlocks(k *key, blocks *byte, fours int)
TEXT ·encryptBlocks(SB), NOSPLIT, $0-24
	MOVQ k+0(FP), AX
	MOVQ blocks+8(FP), SI
	MOVQ fours+16(FP), DX
	MOVQ ROUNDS(AX), R8
	SHLQ $4, R8
	LEAQ KEYS(AX)(R8*1), R8

four:
	VMOVDQU (SI), X0
	VMOVDQU 16(SI), X1
	VMOVDQU 32(SI), X2
	VMOVDQU 48(SI), X3
	VMOVDQU KEYS(AX), X8
	FOUR(VPXOR)
	LEAQ    (KEYS+16)(AX), R9

round:
	VMOVDQU (R9), X8
	FOUR(VAESENC)
	ADDQ    $16, R9
	CMPQ    R9, R8
	JNE     round

	VMOVDQU (R8), X8
	FOUR(VAESENCLAST)
	VMOVDQU X0, (SI)
	VMOVDQU X1, 16(SI)
	VMOVDQU X2, 32(SI)
	VMOVDQU X3, 48(SI)
	ADDQ    $64, SI
	DECQ    DX
	JNZ     four
	RET

// func subWord(w uint32) uint32
TEXT ·subWord(SB), NOSPLIT, $0-12
	MOVL             w+0(FP), AX
	VMOVD            AX, X0
	VPSHUFD          $0, X0, X0
	VAESKEYGENASSIST $0, X0, X0
	VMOVD            X0, AX
	MOVL             AX, ret+8(FP)
	RET

// func cpuid(leaf uint32) (a, b, c, d uint32)
TEXT ·cpuid(SB), NOSPLIT, $0-24
	MOVL leaf+0(FP), AX
	XORL CX, CX
	CPUID
	MOVL AX, a+8(FP)
	MOVL BX, b+12(FP)
	MOVL CX, c+16(FP)
	MOVL DX, d+20(FP)
	RET
