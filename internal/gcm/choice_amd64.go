package gcm

import (
	"crypto/cipher"
	"crypto/fips140"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/cpu"
)

func choose() (func([]byte) cipher.AEAD, Choice) {
	if fips140.Enabled() {
		return nil, Choice{standardName, "FIPS 140-3 mode allows no other"}
	}
	why := "this processor has VAES and AVX-512"
	for _, v := range versions {
		if lack := v.lack(); lack != "" {
			why = lack
		} else if v == 512 && slowed() {
			why = "512 bits at a time would lower this processor's clock"
		} else if !v.agrees() {
			return nil, Choice{standardName, fmt.Sprintf("sluice's own on %v gives other results on this processor: report it", v)}
		} else {
			return v.newAEAD, Choice{fmt.Sprintf("sluice's own on %v", v), why}
		}
	}
	return nil, Choice{standardName, why}
}

// lack is what keeps v from running here: the first feature it uses that the
// processor lacks or GODEBUG turns off. It is empty if there is none.
func (v version) lack() string {
	x := &cpu.X86
	_, _, ecx, _ := cpuid(7)
	type feature struct {
		name string // GODEBUG's name of it in capitals
		has  bool
	}
	needs := []feature{
		{"AES", x.HasAES}, {"PCLMULQDQ", x.HasPCLMULQDQ}, {"AVX", x.HasAVX},
	}
	if v > narrow { // of VAES and VPCLMULQDQ x/sys tells with AVX-512 alone
		needs = append(needs, feature{"AVX2", x.HasAVX2}, feature{"VAES", ecx&(1<<9) != 0}, feature{"VPCLMULQDQ", ecx&(1<<10) != 0})
	}
	if v == 512 {
		needs = append(needs, feature{"AVX512F", x.HasAVX512F}, feature{"AVX512BW", x.HasAVX512BW},
			feature{"AVX512DQ", x.HasAVX512DQ}, feature{"AVX512VL", x.HasAVX512VL})
	}
	off := strings.Split(os.Getenv("GODEBUG"), ",")
	for _, f := range needs {
		if slices.Contains(off, "cpu."+strings.ToLower(f.name)+"=off") || slices.Contains(off, "cpu.all=off") {
			return "GODEBUG turns off " + f.name
		}
		if !f.has {
			return "this processor lacks " + f.name
		}
	}
	return ""
}

func slowed() bool {
	_, b, c, d := cpuid(0)
	signature, _, _, _ := cpuid(1)
	return b == 0x756e6547 && d == 0x49656e69 && c == 0x6c65746e && slowedModel(signature) // GenuineIntel
}

// slowedModel reports whether Intel's model lowers its clock for 512 bits: those
// of Linux's zmm_exclusion_list (arch/x86/kernel/cpu/intel.c) that have VAES.
func slowedModel(signature uint32) bool {
	family, model := signature>>8&15, signature>>4&15|signature>>12&0xf0
	switch model {
	case 0x6a, 0x6c, 0x7d, 0x7e, 0x9d, // Ice Lake
		0x8c, 0x8d: // Tiger Lake
		return family == 6
	}
	return false
}
