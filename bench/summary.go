package bench

import "slices"

// Table is a work's figures.
type Table struct {
	Work    string `json:"work"`
	Title   string `json:"title"`
	Bulk    bool   `json:"bulk"`  // bytes are moved that are counted
	Timed   bool   `json:"timed"` // and round trips timed
	Streams int    `json:"streams"`
	Best    Best   `json:"best_competitors"`
	Limit   Figure `json:"limit_gb_per_cpu_second"`              // with the best AES known on this processor
	OwnAES  Figure `json:"limit_with_own_aes_gb_per_cpu_second"` // with the AES that sluice has
	Rows    []Row  `json:"rows"`
}

// Best are the competitors with the best median of each figure.
type Best struct {
	PerCPU    string `json:"gb_per_cpu_second,omitempty"`
	PerSecond string `json:"gb_per_second,omitempty"`
	P50       string `json:"p50,omitempty"`
	P99       string `json:"p99,omitempty"`
}

// Row is one contender's. GB are 10^9 bytes; CPU is of both relays together where it is not said of
// which. Against and Share are medians of the ratios within each round.
type Row struct {
	Contender string  `json:"contender"`
	Rounds    int     `json:"rounds"` // that succeeded
	Error     string  `json:"error,omitempty"`
	PerCPU    Figure  `json:"gb_per_cpu_second"`
	PerSecond Figure  `json:"gb_per_second"`
	CPUSend   float64 `json:"cpu_seconds_per_gb_sending"`
	CPUTake   float64 `json:"cpu_seconds_per_gb_receiving"`
	Share     float64 `json:"share_of_limit"`
	OwnShare  float64 `json:"share_of_limit_with_own_aes"`
	Against   Against `json:"against_best_competitor"`
	RSSSend   Figure  `json:"rss_bytes_sending"`
	RSSTake   Figure  `json:"rss_bytes_receiving"`
	Connect   Figure  `json:"connect_seconds"`
	P50       Figure  `json:"p50_seconds"`
	P99       Figure  `json:"p99_seconds"`
	P999      Figure  `json:"p999_seconds"`
	Slowest   Figure  `json:"slowest_to_median"` // of the streams beside round trips
	Fastest   Figure  `json:"fastest_to_median"`
}

// Against are ratios to the best competitor of each figure: of bytes the more the better, of
// times the less.
type Against struct {
	PerCPU    float64 `json:"gb_per_cpu_second,omitempty"`
	PerSecond float64 `json:"gb_per_second,omitempty"`
	P50       float64 `json:"p50,omitempty"`
	P99       float64 `json:"p99,omitempty"`
}

func (s Sample) cpu() float64       { return s.CPUSend + s.CPUTake }
func (s Sample) gb() float64        { return float64(s.Bytes) / 1e9 }
func (s Sample) perCPU() float64    { return over(s.gb(), s.cpu()) }
func (s Sample) perSecond() float64 { return over(s.gb(), s.Seconds) }
func (s Sample) p50() float64       { return s.P50 }
func (s Sample) p99() float64       { return s.P99 }

// over is a/b, and 0 where there is nothing to divide by.
func over(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// summarise makes the tables of the samples.
func (rep *Report) summarise(works []work, there []contender) {
	for _, w := range works {
		if !slices.ContainsFunc(rep.Samples, func(s Sample) bool { return s.Work == w.name }) {
			continue // broken off before
		}
		t := Table{Work: w.name, Title: w.title, Bulk: w.bulk(), Timed: w.timed(), Streams: w.streams}
		if t.Timed {
			t.Best.P50, t.Best.P99 = rep.best(w, there, Sample.p50, -1), rep.best(w, there, Sample.p99, -1)
		}
		if t.Bulk {
			t.Best.PerCPU, t.Best.PerSecond = rep.best(w, there, Sample.perCPU, 1), rep.best(w, there, Sample.perSecond, 1)
		}
		limits := rep.limits(w, there, AES.best)
		own := rep.limits(w, there, func(a AES) float64 { return a.Sluice })
		t.Limit, t.OwnAES = FigureOf(values(limits)), FigureOf(values(own))
		for _, c := range there {
			row := rep.row(w, c, t.Best)
			row.Share, row.OwnShare = share(rep.of(w, c.name), limits), share(rep.of(w, c.name), own)
			t.Rows = append(t.Rows, row)
		}
		rep.Tables = append(rep.Tables, t)
	}
}

// of are a contender's samples of a work that succeeded, by round.
func (rep *Report) of(w work, name string) map[int]Sample {
	m := make(map[int]Sample)
	for _, s := range rep.Samples {
		if s.Work == w.name && s.Contender == name && s.Error == "" {
			m[s.Round] = s
		}
	}
	return m
}

// best is the competitor that is to be beaten: sign is 1 where more of a figure
// is better, and -1 where less is.
func (rep *Report) best(w work, there []contender, f func(Sample) float64, sign float64) string {
	best, most := "", 0.0
	for _, c := range there {
		samples := rep.of(w, c.name)
		if c.kind != competitor || len(samples) == 0 {
			continue
		}
		if v := sign * Median(each(samples, f)); best == "" || v > most {
			best, most = c.name, v
		}
	}
	return best
}

// limits are what a round would have allowed with an AES, in GB per CPU-second:
// see the package's doc.
func (rep *Report) limits(w work, there []contender, cost func(AES) float64) map[int]float64 {
	limits := make(map[int]float64)
	i := slices.IndexFunc(there, func(c contender) bool { return c.kind == floor })
	if i < 0 || !w.bulk() {
		return limits
	}
	for round, s := range rep.of(w, there[i].name) {
		if s.cpu() > 0 {
			limits[round] = 1 / (s.cpu()/s.gb() + cost(rep.AES[round-1]))
		}
	}
	return limits
}

// share is the median of what the samples came to of their rounds' limits.
func share(samples map[int]Sample, limits map[int]float64) float64 {
	var shares []float64
	for round, s := range samples {
		if limits[round] > 0 {
			shares = append(shares, s.perCPU()/limits[round])
		}
	}
	return Median(shares)
}

func (rep *Report) row(w work, c contender, best Best) Row {
	samples := rep.of(w, c.name)
	r := Row{Contender: c.name, Rounds: len(samples)}
	for _, s := range rep.Samples {
		if s.Work == w.name && s.Contender == c.name && s.Error != "" {
			r.Error = s.Error
		}
	}
	r.RSSSend = FigureOf(each(samples, func(s Sample) float64 { return float64(s.RSSSend) }))
	r.RSSTake = FigureOf(each(samples, func(s Sample) float64 { return float64(s.RSSTake) }))
	r.Connect = FigureOf(each(samples, func(s Sample) float64 { return s.Connect }))
	against := func(best string, f func(Sample) float64) float64 {
		others := rep.of(w, best)
		var ratios []float64
		for round, s := range samples {
			if o, ok := others[round]; ok && f(o) > 0 {
				ratios = append(ratios, f(s)/f(o))
			}
		}
		return Median(ratios)
	}
	if w.timed() {
		r.P50, r.P99 = FigureOf(each(samples, Sample.p50)), FigureOf(each(samples, Sample.p99))
		r.P999 = FigureOf(each(samples, func(s Sample) float64 { return s.P999 }))
		r.Against.P50, r.Against.P99 = against(best.P50, Sample.p50), against(best.P99, Sample.p99)
	}
	if w.beside {
		r.Slowest = FigureOf(each(samples, func(s Sample) float64 { return s.Slowest }))
		r.Fastest = FigureOf(each(samples, func(s Sample) float64 { return s.Fastest }))
	}
	if w.bulk() {
		r.PerCPU, r.PerSecond = FigureOf(each(samples, Sample.perCPU)), FigureOf(each(samples, Sample.perSecond))
		r.CPUSend = Median(each(samples, func(s Sample) float64 { return over(s.CPUSend, s.gb()) }))
		r.CPUTake = Median(each(samples, func(s Sample) float64 { return over(s.CPUTake, s.gb()) }))
		r.Against.PerCPU, r.Against.PerSecond = against(best.PerCPU, Sample.perCPU), against(best.PerSecond, Sample.perSecond)
	}
	return r
}

func each(samples map[int]Sample, f func(Sample) float64) (v []float64) {
	for _, s := range samples {
		v = append(v, f(s))
	}
	return v
}

func values(m map[int]float64) (v []float64) {
	for _, x := range m {
		v = append(v, x)
	}
	return v
}
