// AES-GCM on 512 bits: AVX-512 (F, BW, DQ, VL), VAES and VPCLMULQDQ.

#define WIDTH 64
#define V0  Z0
#define V1  Z1
#define V2  Z2
#define V3  Z3
#define V4  Z4
#define V5  Z5
#define V6  Z6
#define V7  Z7
#define V8  Z8
#define V9  Z9
#define V10 Z10
#define V11 Z11
#define V12 Z12
#define V13 Z13
#define V14 Z14
#define V15 Z15
#define XOR       VPXORQ
#define MOVE      VMOVDQU64
#define BROADCAST VBROADCASTI32X4
#include "lanes_amd64.h"

BLOCKS(start, 0, $0, $0)
BLOCKS(start, 1, $1, $0)
BLOCKS(start, 2, $2, $0)
BLOCKS(start, 3, $3, $0)
GLOBL start<>(SB), RODATA|NOPTR, $64

BLOCKS(lanes, 0, $4, $0)
BLOCKS(lanes, 1, $4, $0)
BLOCKS(lanes, 2, $4, $0)
BLOCKS(lanes, 3, $4, $0)
GLOBL lanes<>(SB), RODATA|NOPTR, $64

#define SUM \
	VEXTRACTI64X4 $1, Z9, Y13  \
	VPXOR         Y13, Y9, Y9  \
	VEXTRACTI128  $1, Y9, X13  \
	VPXOR         X13, X9, X15

// func crypt512(k *key, hash, counter *[16]byte, dst, src *byte, groups int, open bool)
TEXT ·crypt512(SB), NOSPLIT, $0-49
#include "crypt_amd64.h"
