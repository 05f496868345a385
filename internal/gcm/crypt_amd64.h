// The body of a function
//
//	func(k *key, hash, counter *[16]byte, dst, src *byte, groups int, open bool)
//
// for vectors as lanes_amd64.h has them. Besides, SUM adds up the blocks of LOW,
// into X15; start<> is what a vector's blocks count on from its first, and lanes<>
// how many they are.

	MOVQ      k+0(FP), AX
	MOVQ      hash+8(FP), BX
	MOVQ      counter+16(FP), CX
	MOVQ      dst+24(FP), DI
	MOVQ      src+32(FP), SI
	MOVQ      groups+40(FP), DX
	MOVBQZX   open+48(FP), R10
	MOVQ      ROUNDS(AX), R8
	SHLQ      $4, R8
	LEAQ      KEYS(AX)(R8*1), R8 // the last round key
	BROADCAST (CX), COUNT
	VPSHUFB   bswap<>(SB), COUNT, COUNT
	VPADDD    start<>(SB), COUNT, COUNT
	VMOVDQU   (BX), X15
	VPSHUFB   bswap<>(SB), X15, X15

	// What is hashed is ciphertext. It has come when a group is opened; when one is
	// sealed that of the group before is there, and the first goes without.
	MOVQ  SI, R11
	TESTQ R10, R10
	JNZ   loop
	COUNTERS
	LEAQ (KEYS+16)(AX), R9

first:
	ROUNDBY((R9))
	ADDQ $16, R9
	CMPQ R9, R8
	JNE  first
	PASSES
	MOVQ DI, R11
	ADDQ $(8*WIDTH), SI
	ADDQ $(8*WIDTH), DI
	DECQ DX
	JZ   last

	// Multiplications are spread over the rounds, since a processor looks ahead over
	// less than a group. The group's first vector comes last: it waits for the hash
	// of the group before.
loop:
	COUNTERS
	CLEAR
	CMPQ ROUNDS(AX), $10
	JNE  fourteen
	TAKE(1)
	ADD(1)
	ROUND(1)
	TAKE(2)
	ADD(2)
	ROUND(2)
	TAKE(3)
	ADD(3)
	ROUND(3)
	TAKE(4)
	ADD(4)
	ROUND(4)
	TAKE(5)
	ADD(5)
	ROUND(5)
	TAKE(6)
	ADD(6)
	ROUND(6)
	TAKE(7)
	ADD(7)
	ROUND(7)
	TAKE(0)
	XOR HASH, CIPHER, CIPHER
	ADD(0)
	ROUND(8)
	ROUND(9)
	REDUCE
	SUM
	JMP pass

#define TWO(i, j, round) \
	TAKE(i)        \
	LOWS(i)        \
	HIGHS(i)       \
	ROUND(round)   \
	MIDDLES(i)     \
	TAKE(j)        \
	LOWS(j)        \
	ROUND(round+1) \
	HIGHS(j)       \
	MIDDLES(j)     \
	ROUND(round+2)

fourteen:
	TWO(1, 2, 1)
	TWO(3, 4, 4)
	TWO(5, 6, 7)
	TAKE(7)
	ADD(7)
	ROUND(10)
	TAKE(0)
	XOR HASH, CIPHER, CIPHER
	ADD(0)
	ROUND(11)
	ROUND(12)
	ROUND(13)
	REDUCE
	SUM

pass:
	PASSES
	ADDQ  $(8*WIDTH), SI
	ADDQ  $(8*WIDTH), DI
	ADDQ  $(8*WIDTH), R11
	DECQ  DX
	JNZ   loop
	TESTQ R10, R10
	JNZ   done

last:
	CLEAR
	TAKE(1)
	ADD(1)
	TAKE(2)
	ADD(2)
	TAKE(3)
	ADD(3)
	TAKE(4)
	ADD(4)
	TAKE(5)
	ADD(5)
	TAKE(6)
	ADD(6)
	TAKE(7)
	ADD(7)
	TAKE(0)
	XOR HASH, CIPHER, CIPHER
	ADD(0)
	REDUCE
	SUM

done:
	VPSHUFB bswap<>(SB), X15, X15
	VMOVDQU X15, (BX)
	VZEROUPPER
	RET
