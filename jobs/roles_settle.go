package jobs

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"saltern/cluster"
	"saltern/cluster/status"
	"saltern/compute"
	"saltern/distill"
	"saltern/jobs/place"
	"saltern/model"
)

// rolesFile is the file in a run folder that says who does what in a job with cluster.roles = "auto".
func rolesFile(runDir string) string { return filepath.Join(runDir, "roles.json") }

// rolesRecord is what it holds. Rates are measured once, so that the same devices have the same roles when the job goes on.
type rolesRecord struct {
	Rates     map[string]float64 `json:"flops_per_second"` // of each kind of device
	Trainings map[string][]role  `json:"trainings"`        // by folder
}

// role is a rank's in a training.
type role struct {
	Rank   int     `json:"rank"`
	Role   string  `json:"role"`
	Why    string  `json:"why"`
	Kind   string  `json:"device"`
	Memory int64   `json:"memory_bytes"`
	Rate   float64 `json:"flops_per_second"`
}

// teacherLeftOpen says that the job may have ranks that teach.
func (c Config) teacherLeftOpen() bool {
	return c.Cluster.Roles == cluster.RolesAuto && c.Distill.Method != "baseline" && !c.Distill.Smooths() && !c.Distill.Offline()
}

// chooseRoles decides who teaches in a job that leaves it open, on the first rank for all. What is told people goes to say.
func (s *session) chooseRoles(j *Job, keep bool, say func(line string)) (*cast, error) {
	r := s.ranks
	var record rolesRecord
	var work roleWork
	err := r.first(r.all, func() (err error) {
		if err = readJSON(rolesFile(s.job.RunDir), &record, "remove it, and the roles are decided anew"); err == nil {
			work, err = s.roleWork(j)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := s.rates(work.Precision, &record); err != nil {
		return nil, err
	}
	var c *cast
	err = r.first(r.all, func() (err error) {
		devices := s.roleDevices(record.Rates)
		if c, err = work.assign(devices); err != nil {
			return err
		}
		name := j.student("").name
		now, was := work.roles(devices, c), record.Trainings[name]
		for _, line := range work.words(c, now, was) {
			say(line)
		}
		if !keep || slices.Equal(now, was) {
			return nil
		}
		if record.Trainings == nil {
			record.Trainings = map[string][]role{}
		}
		record.Trainings[name] = now
		return writeJSON(rolesFile(s.job.RunDir), record)
	})
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(c)
	if err == nil {
		text, err = r.spread(r.all, text)
	}
	if err != nil {
		return nil, err
	}
	c = nil
	return c, json.Unmarshal(text, &c)
}

// roleDevices are the ranks' devices.
func (s *session) roleDevices(rates map[string]float64) (list []roleDevice) {
	for rank, seat := range s.ranks.seats {
		d := s.ranks.devices[rank]
		list = append(list, roleDevice{seat, d.Memory, rates[seat.Kind] / d.Slowdown})
	}
	return list
}

// rates has all devices measured where one is of a kind that was not, in the precision that the first rank says, and takes the median of each
// kind: devices of one kind are alike, and what differs is noise.
func (s *session) rates(precision string, record *rolesRecord) error {
	r := s.ranks
	if !slices.ContainsFunc(r.seats, func(o place.Seat) bool { return record.Rates[o.Kind] == 0 }) {
		precision = ""
	}
	text, err := r.spread(r.all, []byte(precision))
	if err != nil || len(text) == 0 {
		return err
	}
	gflops := 0.0
	err = r.firstOfNode(r.all, func() (err error) { // of ranks that share a processor
		gflops, err = measuredPeak(s.io, s.device, model.TrainConfig{Precision: string(text)}.DType())
		return err
	})
	if err != nil {
		return err
	}
	all, err := everybody(r.all, r, gflops)
	if err != nil {
		return err
	}
	kinds := map[string][]float64{}
	for rank, rate := range all {
		if rate > 0 { // else the memory was too small to tell
			kinds[r.seats[rank].Kind] = append(kinds[r.seats[rank].Kind], 1e9*rate)
		}
	}
	record.Rates = map[string]float64{}
	for kind, list := range kinds {
		slices.Sort(list)
		record.Rates[kind] = list[len(list)/2]
	}
	return nil
}

// rolesFindings says who did not train all the time.
func rolesFindings(job *Job) (list []string) {
	var record rolesRecord
	if job.Cluster.Roles != cluster.RolesAuto || readJSON(rolesFile(job.RunDir), &record, "") != nil {
		return nil
	}
	for _, r := range record.Trainings[job.student("").name] {
		if r.Role != status.Student {
			list = append(list, "Roles followed the devices: "+r.Why+".")
		}
	}
	return list
}

// roleWork is what the training of the job's student asks of devices, if its ranks are those of the session.
func (s *session) roleWork(j *Job) (w roleWork, err error) {
	r, c := s.ranks, *j
	order := numbers(r.size())
	slices.SortStableFunc(order[1:], func(a, b int) int { return -compareMemory(r.devices[a].Memory, r.devices[b].Memory) })
	teaches := j.teacherLeftOpen()
	if teaches {
		c.Cluster.Teachers = 1
	}
	crew, err := s.crew(&c, order, 1, false)
	if err != nil {
		return w, err
	}
	if w.Student, err = c.need(crew, r.shards(&c, order[:crew.Ranks]), false); err == nil {
		w.Online, err = j.need(crew, r.shards(j, order[:crew.Ranks]), false)
	}
	if err != nil {
		return w, err
	}
	c.settlePrecision(&crew.Limits)
	c.ranks = crew.Ranks
	t := c.student("")
	p, err := t.plan(crew.Limits.Memory)
	if err != nil {
		return w, err
	}
	w.Name, w.Begun = t.label, t.begunAs()
	w.Train, w.Microbatches = p.perToken*float64(p.tokensPerStep()), p.train.Batch/p.train.Microbatch
	w.Steps, w.Helped = p.train.Steps, p.withKD
	w.BySpeed = j.Cluster.Shares == cluster.SharesBySpeed || j.Cluster.Shares == cluster.SharesAuto && kindsDiffer(r.seats)
	if !teaches {
		return w, nil
	}
	w.Precision = t.Train.Precision
	w.Label = (p.kdToken - p.perToken) * float64(p.tokensPerStep())
	w.Teacher, err = t.labelerMemory(max(1, t.Train.Microbatch))
	return w, err
}

// labelerMemory is what the teacher takes of a device of its own, with so many sequences at a time.
func (t *training) labelerMemory(b int) (int64, error) {
	maker, err := distill.NewLabeler(model.New(t.teacherModel(), "labels.teacher", false), t.labelSettings(), b)
	if err != nil {
		return 0, err
	}
	return compute.PlanMemory(maker.Program()).Total(), nil
}

// forTeachers makes the microbatch one that those who teach can hold as well, where the job leaves it open.
func (t *training) forTeachers(c model.TrainConfig) (model.TrainConfig, error) {
	if t.teachers == 0 || t.teaching == 0 {
		return c, nil
	}
	for b := c.Microbatch; ; b-- {
		if c.Batch%b != 0 {
			continue
		}
		need, err := t.labelerMemory(b)
		switch {
		case err != nil:
			return c, err
		case need <= t.teaching:
			c.Microbatch = b
			return c, nil
		case b == 1 || t.Train.Microbatch > 0:
			return c, fail(NoMemory, "the teacher takes %s of a device at a microbatch of %d, and of the ranks that are to teach one has %s; have others teach (cluster.roles), lower the microbatch, or take a smaller SLM",
				compute.Bytes(need), b, compute.Bytes(t.teaching))
		}
	}
}

// begunAs says how the training gets its soft labels, if it was begun.
func (t *training) begunAs() begun {
	text, err := os.ReadFile(t.settingsFile())
	var was struct{ Distill struct{ Labels string } }
	switch {
	case err != nil || toml.Unmarshal(text, &was) != nil:
		return notBegun // or as claim will tell
	case was.Distill.Labels == "offline":
		return withRanks
	}
	return withTeacher
}

// roles lists who does what, by rank.
func (w roleWork) roles(devices []roleDevice, c *cast) (list []role) {
	why := w.why(devices, c)
	for i, d := range devices {
		name := status.Student
		switch {
		case slices.Contains(c.Teachers, i):
			name = status.Teacher
		case slices.Contains(c.Resting, i):
			name = status.Resting
		}
		list = append(list, role{i, name, why[i], d.Kind, d.Memory, d.Rate})
	}
	return list
}

// words are what people are told of that, where the roles were others the last time.
func (w roleWork) words(c *cast, now, was []role) (lines []string) {
	switch {
	case slices.Equal(now, was):
		return []string{fmt.Sprintf("%s: the roles are those of before, as the ranks are", w.Name)}
	case was != nil:
		lines = append(lines, fmt.Sprintf("%s: the ranks are not those of before, so the roles are decided anew", w.Name))
	}
	for _, r := range now {
		if r.Role != status.Student {
			lines = append(lines, fmt.Sprintf("%s: %s", w.Name, r.Why))
		}
	}
	switch o := c.Other; {
	case w.Label == 0 || len(c.Teachers) > 0:
	case o == nil:
		lines = append(lines, fmt.Sprintf("%s: each rank runs the teacher itself", w.Name))
	default:
		var names []string
		for _, i := range o.Teachers {
			names = append(names, fmt.Sprint("rank ", i))
		}
		lines = append(lines, fmt.Sprintf("%s: each rank that trains runs the teacher itself: a step of stage 1 takes about %.3g s so, and would take %.3g s with %s as teacher", w.Name, c.Step1, o.Step1, strings.Join(names, ", ")))
	}
	return lines
}
