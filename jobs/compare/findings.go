package compare

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// findings says in plain words what the numbers show, whichever way.
func (p page) findings() []string {
	if p.Baseline < 0 {
		return nil
	}
	var list []string
	for _, i := range p.main() {
		if i == p.Baseline || p.summaries[i].Gain.N == 0 {
			continue
		}
		list = append(list, p.verdict(p.summaries[i])+" "+p.reached(p.summaries[i]))
	}
	for _, more := range []string{p.early(), p.slices(), p.regime(), p.cost(), p.training()} {
		if more != "" {
			list = append(list, more)
		}
	}
	for _, s := range p.sweeps {
		for _, l := range s.lines {
			list = append(list, p.swept(s.key, l))
		}
	}
	return list
}

// verdict is an arm's loss at its end against BASELINE's.
func (p page) verdict(s Summary) string {
	name, base, gain := s.Arm.Label, p.baseline().Label, s.Gain
	form := func(v float64) string { return decimal(v, p.digits) }
	seeds := fmt.Sprintf("paired over %d seeds", gain.N)
	word, by := "lower", gain
	if gain.Mean < 0 {
		word, by = "higher", gain.negative()
	}
	switch {
	case !gain.Known() && gain.Mean == 0:
		return fmt.Sprintf("%s ends where %s does; one seed, no verdict.", name, base)
	case !gain.Known():
		return fmt.Sprintf("%s ends %s nats per token %s than %s; one seed, no verdict.", name, form(by.Mean), word, base)
	case gain.sign() != 0:
		return fmt.Sprintf("%s is %s than %s: its final held-out loss is %s by %s nats per token %s, %s.",
			name, gain.Verdict(), base, word, form(by.Mean), by.bounds(form), seeds)
	}
	return fmt.Sprintf("Between %s and %s no difference is shown: a gain of %s nats per token %s, %s.", name, base,
		signed(gain.Mean, p.digits), gain.bounds(func(v float64) string { return signed(v, p.digits) }), seeds)
}

// reached is when an arm is where BASELINE ends.
func (p page) reached(s Summary) string {
	r := s.Reach
	switch n := r[0].Reached; {
	case n == 0 && s.Paired == 1:
		return "It does not reach BASELINE's final loss."
	case n == 0:
		return fmt.Sprintf("None of its %d seeds reaches BASELINE's final loss.", s.Paired)
	case n < s.Paired:
		return fmt.Sprintf("%d of its %d seeds %s BASELINE's final loss, at %s of the steps.", n, s.Paired, agree(n, "reaches", "reach"), r[0].those())
	}
	words := fmt.Sprintf("It reaches BASELINE's final loss at %s of BASELINE's steps", percent(r[0].Share.Mean))
	if b := r[0].Share.bounds(percent); b != "" {
		words += " " + b
	}
	for i, what := range []string{"FLOPs", "wall clock"} {
		if share := r[i+1].Share; finite(share.Mean) {
			words += fmt.Sprintf(", %s of its %s", percent(share.Mean), what)
		}
	}
	return words + "."
}

// early compares arms at Matched of the steps with BASELINE at its end.
func (p page) early() string {
	var ahead, level, behind []string
	for _, i := range p.main() {
		s := p.summaries[i]
		lead := s.EarlyLead
		if i == p.Baseline || !finite(lead.Mean) {
			continue
		}
		named := fmt.Sprintf("%s (%s)", s.Arm.Label, signed(lead.Mean, p.digits))
		switch {
		case lead.sign() > 0 || !lead.Known() && lead.Mean > 0:
			ahead = append(ahead, named)
		case lead.sign() < 0 || !lead.Known() && lead.Mean < 0:
			behind = append(behind, named)
		default:
			level = append(level, named)
		}
	}
	var sentences []string
	for _, g := range []struct {
		names []string
		where string
	}{{ahead, "already ahead of where BASELINE ends"}, {level, "not told apart from where BASELINE ends"}, {behind, "still behind where BASELINE ends"}} {
		if len(g.names) > 0 {
			sentences = append(sentences, fmt.Sprintf("%s %s %s.", and(g.names), agree(len(g.names), "is", "are"), g.where))
		}
	}
	if sentences == nil {
		return ""
	}
	return fmt.Sprintf("At %s of the steps: ", percent(Matched)) + strings.Join(sentences, " ")
}

// slices says where in the text the methods gain.
func (p page) slices() string {
	var arms []string
	bracketed := false
	for _, i := range p.methods() {
		s := p.summaries[i]
		if i == p.Baseline || s.SliceGains[0].N+s.SliceGains[1].N+s.SliceGains[2].N == 0 {
			continue
		}
		var gains []string
		for _, g := range s.SliceGains {
			gain := signed(g.Mean, p.digits)
			if g.Known() && g.sign() == 0 {
				gain, bracketed = "("+gain+")", true
			}
			gains = append(gains, gain)
		}
		arms = append(arms, s.Arm.Label+" "+strings.Join(gains, " / "))
	}
	if arms == nil {
		return ""
	}
	words := "Gain on the easy / medium / hard third of the text, cut by the SLM's loss: " + and(arms) + "."
	if bracketed {
		words += " In brackets: not told apart from zero."
	}
	return words
}

// regime says whether the student overtook the teacher, which decides what the theory expects.
func (p page) regime() string {
	if p.Teacher == nil || len(p.Teacher.Runs) == 0 {
		return ""
	}
	teacher, base := over(p.Teacher.each(runLoss)).Mean, p.summaries[p.Baseline].Loss.Mean
	if !finite(teacher) || !finite(base) {
		return ""
	}
	words := fmt.Sprintf("The teacher (%s) stands at %s, BASELINE ends at %s: ", p.Teacher.Label, decimal(teacher, p.digits), decimal(base, p.digits))
	if teacher < base {
		return words + "plain training does not overtake the teacher, so that a teacher which stays to the end can be expected to help most."
	}
	return words + "plain training overtakes the teacher, the regime in which the teacher should leave early."
}

// cost compares the FLOPs that were counted with the cost rule.
func (p page) cost() string {
	var words []string
	for _, i := range p.methods() {
		rule, counted := p.costRule(i), p.summaries[i].Cost[1].Mean
		if i != p.Baseline && finite(rule) && finite(counted) {
			words = append(words, fmt.Sprintf("%s %s (%s)", p.Arms[i].Label, percents(counted, 1), percents(rule, 1)))
		}
	}
	if words == nil {
		return ""
	}
	return "FLOPs of the whole run beside BASELINE's, as counted and, in brackets, by the rule f + min(f, n_KD/n) 2 N_teacher / (6 N_student): " + and(words) + "."
}

// training says what the teacher's own training takes, which is not in an arm's FLOPs.
func (p page) training() string {
	if p.Teacher == nil || len(p.Teacher.Runs) == 0 {
		return ""
	}
	var words []string
	for _, i := range p.methods() {
		if in := p.reachInAll(i); i != p.Baseline && finite(in.Mean) {
			words = append(words, fmt.Sprintf("%s is there at %s", p.Arms[i].Label, percent(in.Mean)))
		}
	}
	base := p.baseline()
	share := over(p.Teacher.each(runFLOPs)).Mean / over(base.each(runFLOPs)).Mean
	if !finite(share) {
		return ""
	}
	sentence := fmt.Sprintf("The SLM's own training took %s of BASELINE's FLOPs and is not in those above.", percent(share))
	if words != nil {
		sentence += " Counted in full, " + and(words) + " of BASELINE's FLOPs."
	}
	return sentence
}

// swept says which value of a sweep ends lowest.
func (p page) swept(key string, l sweepLine) string {
	best, better, worse, compared := -1, 0, 0, 0
	for i, arm := range l.arms {
		s := p.summaries[arm]
		if finite(s.Loss.Mean) && (best < 0 || s.Loss.Mean < p.summaries[l.arms[best]].Loss.Mean) {
			best = i
		}
		if arm != p.Baseline && s.Gain.Known() {
			compared++
			switch s.Gain.sign() {
			case 1:
				better++
			case -1:
				worse++
			}
		}
	}
	if best < 0 {
		return fmt.Sprintf("%s with other values of %s: not measured.", p.Arms[l.head].Label, key)
	}
	words := fmt.Sprintf("Of %d values of %s for %s, from %g to %g, %g ends lowest, at %s.", len(l.arms), key, p.Arms[l.head].Label,
		l.values[0], l.values[len(l.values)-1], l.values[best], decimal(p.summaries[l.arms[best]].Loss.Mean, p.digits))
	if compared > 0 {
		words += fmt.Sprintf(" %d of %d are better than BASELINE, %d worse, by the intervals of their paired gains.", better, compared, worse)
	}
	return words
}

// cautions say what limits the findings.
func (p page) cautions() []string {
	var list []string
	if p.Baseline < 0 {
		list = append(list, "No arm is BASELINE, so nothing is compared: the numbers stand beside each other alone.")
	}
	list = append(list, p.few()...)
	if p.Teacher != nil && len(p.Teacher.Runs) == 1 && len(p.seeds()) > 1 {
		list = append(list, "All seeds had one SLM: what another one would change is not in the intervals.")
	}
	list = append(list, p.missing()...)
	list = append(list, p.strange()...)
	return append(list, p.multiplicity()...)
}

// few says which comparisons rest on fewer than three seeds.
func (p page) few() []string {
	var list []string
	for n, words := range []string{
		1: "One seed%s: no interval, no verdict. Another seed or data order may move a final loss by as much as methods differ; run at least 3.",
		2: "Two seeds%s: the intervals reach 12.7 standard errors to either side and lean on the differences being normal; run at least 3.",
	} {
		var these []string
		compared := 0
		for _, i := range p.others() {
			if seeds := p.summaries[i].Gain.N; seeds > 0 {
				compared++
				if seeds == n {
					these = append(these, p.Arms[i].Label)
				}
			}
		}
		switch len(these) {
		case 0:
		case compared:
			list = append(list, fmt.Sprintf(words, ""))
		default:
			list = append(list, fmt.Sprintf(words, " of "+and(these)))
		}
	}
	return list
}

// missing names the seeds that some arms have and others lack.
func (p page) missing() []string {
	var list []string
	all := p.seeds()
	for i, a := range p.Arms {
		var lacks, lost []string
		for _, seed := range all {
			at := slices.IndexFunc(a.Runs, func(r Run) bool { return r.Seed == seed })
			switch {
			case at < 0:
				lacks = append(lacks, fmt.Sprint(seed))
			case !finite(runLoss(a.Runs[at])):
				lost = append(lost, fmt.Sprint(seed))
			}
		}
		switch {
		case len(a.Runs) == 0:
			list = append(list, a.Label+" has no runs.")
		case lacks != nil && i != p.Baseline && p.Baseline >= 0:
			list = append(list, fmt.Sprintf("%s lacks seed %s; what compares it with BASELINE rests on %d %s.", a.Label, and(lacks), p.summaries[i].Paired, agree(p.summaries[i].Paired, "seed", "seeds")))
		case lacks != nil:
			list = append(list, fmt.Sprintf("%s lacks seed %s.", a.Label, and(lacks)))
		}
		switch {
		case lost == nil:
		case len(lost) == len(a.Runs):
			list = append(list, a.Label+" has no finite final loss with any seed.")
		default:
			list = append(list, fmt.Sprintf("%s has no finite final loss with seed %s; its means are over the others, which flatters it.", a.Label, and(lost)))
		}
	}
	return list
}

// strange names what makes arms other than they look.
func (p page) strange() []string {
	var list []string
	base := p.baseline()
	for _, i := range p.others() {
		for _, pair := range pairs(base, p.Arms[i]) {
			if a, b := pair.arm.Params, pair.base.Params; a != b && a != 0 && b != 0 {
				list = append(list, fmt.Sprintf("%s has %d parameters, BASELINE %d: they are not the same student.", p.Arms[i].Label, a, b))
				break
			}
		}
		rule, counted := p.costRule(i), p.summaries[i].Cost[1].Mean
		if off := counted - rule; math.Abs(off) > 0.02 {
			list = append(list, fmt.Sprintf("%s's counted FLOPs are %s of BASELINE's, the cost rule says %s; it leaves out attention and scoring.",
				p.Arms[i].Label, percents(counted, 1), percents(rule, 1)))
		}
	}
	return list
}

// multiplicity says how many comparisons were made, and which stand when that is counted.
func (p page) multiplicity() []string {
	compared := 0
	for _, i := range p.others() {
		if p.summaries[i].Gain.Known() {
			compared++
		}
	}
	if compared < 2 {
		return nil
	}
	level := 1 - (1-confidence)/float64(compared) // Bonferroni
	var stand []string
	for _, i := range p.others() {
		if overAt(p.summaries[i].Gains, level).sign() != 0 {
			stand = append(stand, p.Arms[i].Label)
		}
	}
	words := fmt.Sprintf("%d arms were compared with BASELINE, at 95%% each: of intervals that hold nothing but chance, one in twenty excludes zero. Widened for all %d together (to %s%% each, Bonferroni)",
		compared, compared, decimal(100*level, 1))
	if stand == nil {
		words += ", none does."
	} else {
		words += fmt.Sprintf(", %s still %s.", and(stand), agree(len(stand), "does", "do"))
	}
	out := []string{words}
	if len(p.sweeps) > 0 {
		out = append(out, "The best value of a swept setting was chosen after its result was seen; only new seeds can confirm it.")
	}
	return out
}

// howMeasured says how the page's numbers came about.
func (p page) howMeasured() []string {
	return []string{
		"Pairs. Runs with the same seed start from the same weights and read the same data in the same order, as far as their methods let them. Gains, shares of the steps and ratios are taken within such pairs first and averaged then.",
		"Intervals. Mean ± t s/√n over the n seeds, with s the standard deviation and t the 97.5% quantile of Student's distribution with n − 1 degrees of freedom. They hold for seeds and data order; another held-out text, corpus, model size or machine is beyond them. The areas along curves hold for each point, not for a curve as a whole. Shares end at 0.",
		"Where BASELINE ends. For each seed the level is the last held-out loss of BASELINE with that seed, and the arm is there at the first point of its own curve under it, by a straight line between two evaluations. BASELINE's own row is measured in the same way and stands below 100% where its curve wavers. A seed that never gets there counts as such; no mean is taken of the others.",
		"Cost. FLOPs are those of the model's arithmetic, the teacher's forward passes and scoring included, the teacher's own training not. Wall clock is one machine's and moves with whatever else it does.",
		"Verdicts. Better and worse mean that the whole interval lies on one side of zero. No difference shown does not mean that there is none.",
	}
}
