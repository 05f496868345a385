#include "textflag.h"

// The fields of type key.
#define ROUNDS 0
#define KEYS   16
#define POWERS 256

// Reverses the bytes of a block.
DATA bswap<>+0(SB)/8, $0x08090a0b0c0d0e0f
DATA bswap<>+8(SB)/8, $0x0001020304050607
GLOBL bswap<>(SB), RODATA|NOPTR, $16

// What is multiplied by it is x^64 times as much in the field: 1 + x + x^2 + x^7
// without the 1, highest bit first.
DATA poly<>+0(SB)/8, $0xc200000000000000
DATA poly<>+8(SB)/8, $0
GLOBL poly<>(SB), RODATA|NOPTR, $16

// What the four blocks of a register count on from its first.
DATA count<>+0(SB)/8, $0
DATA count<>+8(SB)/8, $0
DATA count<>+16(SB)/8, $1
DATA count<>+24(SB)/8, $0
DATA count<>+32(SB)/8, $2
DATA count<>+40(SB)/8, $0
DATA count<>+48(SB)/8, $3
DATA count<>+56(SB)/8, $0
GLOBL count<>(SB), RODATA|NOPTR, $64

DATA four<>+0(SB)/8, $4
DATA four<>+8(SB)/8, $0
GLOBL four<>(SB), RODATA|NOPTR, $16

// Registers that a function holds to its end.
#define BSWAP Z31
#define POLY  Z30
#define FIRST Z29 // AES's first round key, for each block
#define LAST  Z28 // and the last

// CONSTANTS loads them, with the key at AX and the number of rounds into R8.
#define CONSTANTS \
	VBROADCASTI32X4 bswap<>(SB), BSWAP   \
	VBROADCASTI32X4 poly<>(SB), POLY     \
	MOVQ            ROUNDS(AX), R8       \
	MOVQ            R8, R9               \
	SHLQ            $4, R9               \
	VBROADCASTI32X4 KEYS(AX), FIRST      \
	VBROADCASTI32X4 KEYS(AX)(R9*1), LAST

// COUNTER makes r the next four counters. Z26 holds them with the bytes of each
// block reversed, so that the 32 bits that count are the lowest.
#define COUNTER(r) \
	VPSHUFB BSWAP, Z26, r  \
	VPADDD  Z27, Z26, Z26  \
	VPXORQ  FIRST, r, r

// ROUND is a round of AES on the 32 blocks in Z0 to Z7.
#define ROUND(n) \
	VBROADCASTI32X4 (KEYS+16*n)(AX), Z23 \
	VAESENC         Z23, Z0, Z0          \
	VAESENC         Z23, Z1, Z1          \
	VAESENC         Z23, Z2, Z2          \
	VAESENC         Z23, Z3, Z3          \
	VAESENC         Z23, Z4, Z4          \
	VAESENC         Z23, Z5, Z5          \
	VAESENC         Z23, Z6, Z6          \
	VAESENC         Z23, Z7, Z7

// PASS ends AES on the four blocks in r, passes 64 bytes on and keeps what came
// in c.
#define PASS(r, c, off) \
	VMOVDQU64   off(SI), c     \
	VAESENCLAST LAST, r, r     \
	VPXORQ      c, r, r        \
	VMOVDQU64   r, off(DI)

// MULTIPLY makes Z16 (low), Z17 (middle) and Z18 (high) the products of the
// four blocks in r and as many powers of the hash key, each by itself.
#define MULTIPLY(r, off) \
	VMOVDQU64  (POWERS+off)(AX), Z19 \
	VPCLMULQDQ $0x00, Z19, r, Z16    \
	VPCLMULQDQ $0x01, Z19, r, Z17    \
	VPCLMULQDQ $0x10, Z19, r, Z20    \
	VPCLMULQDQ $0x11, Z19, r, Z18    \
	VPXORQ     Z20, Z17, Z17

// ADD adds further products to them.
#define ADD(r, off) \
	VMOVDQU64  (POWERS+off)(AX), Z19     \
	VPCLMULQDQ $0x00, Z19, r, Z20        \
	VPCLMULQDQ $0x01, Z19, r, Z21        \
	VPCLMULQDQ $0x10, Z19, r, Z22        \
	VPCLMULQDQ $0x11, Z19, r, Z19        \
	VPXORQ     Z20, Z16, Z16             \
	VPTERNLOGQ $0x96, Z21, Z22, Z17      \
	VPXORQ     Z19, Z18, Z18

// REDUCE makes Z16 the products in the field: the lower half is moved up by
// x^64, twice.
#define REDUCE \
	VPSLLDQ    $8, Z17, Z19             \
	VPSRLDQ    $8, Z17, Z17             \
	VPXORQ     Z19, Z16, Z16            \
	VPCLMULQDQ $0x00, Z16, POLY, Z19    \
	VPSHUFD    $0x4e, Z16, Z16          \
	VPXORQ     Z17, Z18, Z18            \
	VPXORQ     Z19, Z16, Z16            \
	VPCLMULQDQ $0x00, Z16, POLY, Z19    \
	VPSHUFD    $0x4e, Z16, Z16          \
	VPTERNLOGQ $0x96, Z18, Z19, Z16

// func crypt(k *key, hash, counter *[16]byte, dst, src *byte, groups int, open bool)
TEXT ·crypt(SB), NOSPLIT, $0-49
	MOVQ    k+0(FP), AX
	MOVQ    hash+8(FP), BX
	MOVQ    counter+16(FP), CX
	MOVQ    dst+24(FP), DI
	MOVQ    src+32(FP), SI
	MOVQ    groups+40(FP), DX
	MOVBQZX open+48(FP), R10
	CONSTANTS
	VBROADCASTI32X4 four<>(SB), Z27
	VBROADCASTI32X4 (CX), Z26
	VPSHUFB         BSWAP, Z26, Z26
	VPADDD          count<>(SB), Z26, Z26

	// The hash so far, in the first block's place.
	VMOVDQU64 (BX), X25
	VPSHUFB   X31, X25, X25

loop:
	COUNTER(Z0)
	COUNTER(Z1)
	COUNTER(Z2)
	COUNTER(Z3)
	COUNTER(Z4)
	COUNTER(Z5)
	COUNTER(Z6)
	COUNTER(Z7)
	ROUND(1)
	ROUND(2)
	ROUND(3)
	ROUND(4)
	ROUND(5)
	ROUND(6)
	ROUND(7)
	ROUND(8)
	ROUND(9)
	CMPQ R8, $10
	JE   rounded
	ROUND(10)
	ROUND(11)
	ROUND(12)
	ROUND(13)

rounded:
	PASS(Z0, Z8, 0)
	PASS(Z1, Z9, 64)
	PASS(Z2, Z10, 128)
	PASS(Z3, Z11, 192)
	PASS(Z4, Z12, 256)
	PASS(Z5, Z13, 320)
	PASS(Z6, Z14, 384)
	PASS(Z7, Z15, 448)

	// What is hashed is the ciphertext: what came, or what has gone.
	TESTQ   R10, R10
	JNZ     opening
	VPSHUFB BSWAP, Z0, Z8
	VPSHUFB BSWAP, Z1, Z9
	VPSHUFB BSWAP, Z2, Z10
	VPSHUFB BSWAP, Z3, Z11
	VPSHUFB BSWAP, Z4, Z12
	VPSHUFB BSWAP, Z5, Z13
	VPSHUFB BSWAP, Z6, Z14
	VPSHUFB BSWAP, Z7, Z15
	JMP     hashing

opening:
	VPSHUFB BSWAP, Z8, Z8
	VPSHUFB BSWAP, Z9, Z9
	VPSHUFB BSWAP, Z10, Z10
	VPSHUFB BSWAP, Z11, Z11
	VPSHUFB BSWAP, Z12, Z12
	VPSHUFB BSWAP, Z13, Z13
	VPSHUFB BSWAP, Z14, Z14
	VPSHUFB BSWAP, Z15, Z15

	// The first blocks come last: they wait for the hash of the group before.
hashing:
	MULTIPLY(Z9, 64)
	ADD(Z10, 128)
	ADD(Z11, 192)
	ADD(Z12, 256)
	ADD(Z13, 320)
	ADD(Z14, 384)
	ADD(Z15, 448)
	VPXORQ Z25, Z8, Z8
	ADD(Z8, 0)
	REDUCE
	VEXTRACTI64X4 $1, Z16, Y17
	VPXORQ        Y17, Y16, Y16
	VEXTRACTI64X2 $1, Y16, X17
	VPXORQ        X17, X16, X25 // and zeros above

	ADDQ $512, SI
	ADDQ $512, DI
	DECQ DX
	JNZ  loop

	VPSHUFB   X31, X25, X25
	VMOVDQU64 X25, (BX)
	VZEROUPPER
	RET

// func hashBlocks(k *key, hash *[16]byte, blocks *byte, n int)
TEXT ·hashBlocks(SB), NOSPLIT, $0-32
	MOVQ k+0(FP), AX
	MOVQ hash+8(FP), BX
	MOVQ blocks+16(FP), SI
	MOVQ n+24(FP), DX
	VBROADCASTI32X4 bswap<>(SB), BSWAP
	VBROADCASTI32X4 poly<>(SB), POLY
	VMOVDQU64 (BX), X8
	VPSHUFB   X31, X8, X8

next:
	VMOVDQU64 (SI), X0
	VPSHUFB   X31, X0, X0
	VPXORQ    X0, X8, X8
	// The upper three blocks of Z8 are zero, and so what they are multiplied by is
	// of no account.
	MULTIPLY(Z8, 496)
	REDUCE
	VMOVDQA64 X16, X8
	ADDQ      $16, SI
	DECQ      DX
	JNZ       next

	VPSHUFB   X31, X8, X8
	VMOVDQU64 X8, (BX)
	VZEROUPPER
	RET

// func encryptBlocks(k *key, blocks *byte, fours int)
TEXT ·encryptBlocks(SB), NOSPLIT, $0-24
	MOVQ k+0(FP), AX
	MOVQ blocks+8(FP), SI
	MOVQ fours+16(FP), DX
	CONSTANTS
	DECQ R8

four:
	VPXORQ (SI), FIRST, Z0
	LEAQ   (KEYS+16)(AX), R9
	MOVQ   R8, R10

round:
	VBROADCASTI32X4 (R9), Z1
	VAESENC         Z1, Z0, Z0
	ADDQ            $16, R9
	DECQ            R10
	JNZ             round

	VAESENCLAST LAST, Z0, Z0
	VMOVDQU64   Z0, (SI)
	ADDQ        $64, SI
	DECQ        DX
	JNZ         four

	VZEROUPPER
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
