package record

// workers seal batches. The zero and nil workers do it alone.
type workers struct{}

// seal makes n bytes, which lie in mem at every stride, records from sequence
// number first on.
func (w *workers) seal(h *half, first uint64, mem []byte, n int) {
	for n > 0 {
		some := min(n, plainMax)
		used := h.seal(&h.nonce, first, mem, some, typeData)
		mem = mem[used:]
		n -= some
		first++
	}
}
