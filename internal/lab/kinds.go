package lab

// Kinds are guests that change their memory in different ways, for a link of so many MiB per second.
// Their memory is what the link carries in four seconds:
//
//	idle     changes nothing
//	below    changes memory all over, half as fast as the link carries it
//	above    the same, twice as fast
//	bursts   changes it that fast for four seconds, and then not for three
//	hot      changes the same tenth all the time, and the rest seldom
//	growing  has mostly empty memory at first, twice as much in all, and fills it half as fast as
//	         the link carries it
func Kinds(link int) []GuestSpec {
	const passes, beats = 10, 100 // per second
	// perPass is what a guest that changes so many quarters of what the link carries does in a pass,
	// in whole pages.
	perPass := func(quarters int) int { return link * 1024 / 4 * quarters / passes &^ 3 }
	all := []GuestSpec{
		{Name: "idle"},
		{Name: "below", SpreadKiB: perPass(2)},
		{Name: "above", SpreadKiB: perPass(8)},
		{Name: "bursts", SpreadKiB: perPass(8), BurstPasses: 4 * passes, RestPasses: 3 * passes},
		{Name: "hot", DirtyMiB: 4 * link / 10, SpreadKiB: perPass(8) / 20 &^ 3},
		{Name: "growing", MemoryMiB: 8 * link, EmptyMiB: 7 * link, GrowKiB: perPass(2)},
	}
	for i := range all {
		s := &all[i]
		s.Persistent = true // libvirt tells of the job of one that it still knows
		s.PassesPerSecond, s.Beats = passes, beats
		if s.MemoryMiB == 0 {
			s.MemoryMiB = 4 * link
		}
		if s.DirtyMiB == 0 {
			s.DirtyMiB = -1
		}
	}
	return all
}
