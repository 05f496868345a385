// The steps of AES-GCM on vectors of any width, in AVX2's terms, so that there
// are 16 registers. Whoever includes this has defined
//
//	WIDTH              a vector's bytes
//	V0 to V15          its registers; X15 is the lowest block of V15
//	XOR MOVE BROADCAST its instructions; the last fills a vector with one block

#include "textflag.h"

// The fields of type key.
#define ROUNDS 0
#define KEYS   16
#define POWERS 256
#define FOLDED 768

// Of a group of eight vectors the last block is multiplied by the hash key, and
// the first by its highest power: those that are not used stand before.
#define SKIP (512-8*WIDTH)

// V0 to V7 are the group's blocks.
#define ROUNDKEY V8
#define LOW      V9
#define MIDDLE   V10
#define HIGH     V11
#define CIPHER   V12
#define TEMP     V13
#define COUNT    V14 // the next counters, with each block's bytes reversed, so that the 32 bits that count are the lowest
#define HASH     V15 // the hash so far in the lowest block, and zeros

#define BLOCKS(name, i, low, high) \
	DATA name<>+(16*i)(SB)/8, low     \
	DATA name<>+(16*i+8)(SB)/8, high

// Reverses the bytes of a block.
BLOCKS(bswap, 0, $0x08090a0b0c0d0e0f, $0x0001020304050607)
BLOCKS(bswap, 1, $0x08090a0b0c0d0e0f, $0x0001020304050607)
BLOCKS(bswap, 2, $0x08090a0b0c0d0e0f, $0x0001020304050607)
BLOCKS(bswap, 3, $0x08090a0b0c0d0e0f, $0x0001020304050607)
GLOBL bswap<>(SB), RODATA|NOPTR, $64

// What is multiplied by it is x^64 times as much in the field: 1 + x + x^2 + x^7
// without the 1, highest bit first.
BLOCKS(poly, 0, $0xc200000000000000, $0)
BLOCKS(poly, 1, $0xc200000000000000, $0)
BLOCKS(poly, 2, $0xc200000000000000, $0)
BLOCKS(poly, 3, $0xc200000000000000, $0)
GLOBL poly<>(SB), RODATA|NOPTR, $64

// COUNTER makes r the next counters, with AES's first round key added.
#define COUNTER(r) \
	VPSHUFB bswap<>(SB), COUNT, r    \
	VPADDD  lanes<>(SB), COUNT, COUNT \
	XOR     ROUNDKEY, r, r

#define COUNTERS \
	BROADCAST KEYS(AX), ROUNDKEY \
	COUNTER(V0)                  \
	COUNTER(V1)                  \
	COUNTER(V2)                  \
	COUNTER(V3)                  \
	COUNTER(V4)                  \
	COUNTER(V5)                  \
	COUNTER(V6)                  \
	COUNTER(V7)

// ROUND is AES's n-th round on the group.
#define ROUND(n) ROUNDBY((KEYS+16*(n))(AX))
#define ROUNDBY(key) \
	BROADCAST key, ROUNDKEY    \
	VAESENC   ROUNDKEY, V0, V0 \
	VAESENC   ROUNDKEY, V1, V1 \
	VAESENC   ROUNDKEY, V2, V2 \
	VAESENC   ROUNDKEY, V3, V3 \
	VAESENC   ROUNDKEY, V4, V4 \
	VAESENC   ROUNDKEY, V5, V5 \
	VAESENC   ROUNDKEY, V6, V6 \
	VAESENC   ROUNDKEY, V7, V7

// PASS ends AES on the vector in r and passes on a vector's bytes: AES's last
// step is to add the round key, which has them in it already.
#define PASS(r, i) \
	XOR         (i*WIDTH)(SI), ROUNDKEY, TEMP \
	VAESENCLAST TEMP, r, r                    \
	MOVE        r, (i*WIDTH)(DI)

#define PASSES \
	BROADCAST (R8), ROUNDKEY \
	PASS(V0, 0)             \
	PASS(V1, 1)             \
	PASS(V2, 2)             \
	PASS(V3, 3)             \
	PASS(V4, 4)             \
	PASS(V5, 5)             \
	PASS(V6, 6)             \
	PASS(V7, 7)

// TAKE loads the group's i-th vector of ciphertext.
#define TAKE(i) \
	MOVE    (i*WIDTH)(R11), CIPHER      \
	VPSHUFB bswap<>(SB), CIPHER, CIPHER

// CLEAR prepares for sums of products.
#define CLEAR \
	XOR LOW, LOW, LOW          \
	XOR MIDDLE, MIDDLE, MIDDLE \
	XOR HIGH, HIGH, HIGH

// LOWS, HIGHS and MIDDLES, in this order, add the products of CIPHER and the
// powers of the hash key for a group's i-th vector, each block by itself, in
// Karatsuba's way: MIDDLE is (low + high) times (low + high), which has LOW and
// HIGH in it.
#define LOWS(i) \
	VPCLMULQDQ $0x00, (POWERS+SKIP+i*WIDTH)(AX), CIPHER, TEMP \
	XOR        TEMP, LOW, LOW

#define HIGHS(i) \
	VPCLMULQDQ $0x11, (POWERS+SKIP+i*WIDTH)(AX), CIPHER, TEMP \
	XOR        TEMP, HIGH, HIGH

#define MIDDLES(i) \
	VPSHUFD    $0x4e, CIPHER, TEMP                            \
	XOR        TEMP, CIPHER, CIPHER                           \
	VPCLMULQDQ $0x00, (FOLDED+SKIP+i*WIDTH)(AX), CIPHER, TEMP \
	XOR        TEMP, MIDDLE, MIDDLE

#define ADD(i) \
	LOWS(i)    \
	HIGHS(i)   \
	MIDDLES(i)

// REDUCE makes LOW the products in the field: the lower half is moved up by
// x^64, twice.
#define REDUCE \
	XOR        LOW, MIDDLE, MIDDLE          \
	XOR        HIGH, MIDDLE, MIDDLE         \
	VPSLLDQ    $8, MIDDLE, TEMP             \
	VPSRLDQ    $8, MIDDLE, MIDDLE           \
	XOR        TEMP, LOW, LOW               \
	VPCLMULQDQ $0x00, poly<>(SB), LOW, TEMP \
	VPSHUFD    $0x4e, LOW, LOW              \
	XOR        MIDDLE, HIGH, HIGH           \
	XOR        TEMP, LOW, LOW               \
	VPCLMULQDQ $0x00, poly<>(SB), LOW, TEMP \
	VPSHUFD    $0x4e, LOW, LOW              \
	XOR        HIGH, LOW, LOW               \
	XOR        TEMP, LOW, LOW
