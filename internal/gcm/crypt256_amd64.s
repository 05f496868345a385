// AES-GCM on 256 bits: AVX2, VAES and VPCLMULQDQ.

#define WIDTH 32
#define V0  Y0
#define V1  Y1
#define V2  Y2
#define V3  Y3
#define V4  Y4
#define V5  Y5
#define V6  Y6
#define V7  Y7
#define V8  Y8
#define V9  Y9
#define V10 Y10
#define V11 Y11
#define V12 Y12
#define V13 Y13
#define V14 Y14
#define V15 Y15
#define XOR       VPXOR
#define MOVE      VMOVDQU
#define BROADCAST VBROADCASTI128
#include "lanes_amd64.h"

BLOCKS(start, 0, $0, $0)
BLOCKS(start, 1, $1, $0)
GLOBL start<>(SB), RODATA|NOPTR, $32

BLOCKS(lanes, 0, $2, $0)
BLOCKS(lanes, 1, $2, $0)
GLOBL lanes<>(SB), RODATA|NOPTR, $32

#define SUM \
	VEXTRACTI128 $1, Y9, X13 \
	VPXOR        X13, X9, X15

// func crypt256(k *key, hash, counter *[16]byte, dst, src *byte, groups int, open bool)
TEXT ·crypt256(SB), NOSPLIT, $0-49
#include "crypt_amd64.h"
