package jobs

import (
	"context"
	"errors"
	"flag"
	"time"

	"saltern/compute"
	"saltern/distill/labels"
)

// labelCommand writes a job's soft labels.
func labelCommand() *Command {
	var flags runFlags
	return &Command{
		Name:    "label",
		Usage:   "[--set key=value]... [--device D] [--fresh] [--json] job.toml",
		Summary: "write the teacher's soft labels to a file, for students that train without the teacher",
		Help: `Runs the teacher, the SLM or whom distill.teacher names, once over each sequence that the LLM
reads with its help, and keeps of every token's distribution what distill.label_form says: ids
drawn from it ("sample") or the likeliest ones ("top-k"), with -log q of the gold token and the
entropy. The text is prepared, and a teacher that is the job's own trained, where that is not
done yet.

Students with distill.labels = "offline" train from that file, any number of them that have the
same teacher, text and settings: "saltern run" and "saltern train" make what is missing by
themselves. Use this command to see what the labels take, and on a cluster, once, before the
students are queued.

The table says what a token takes, and the floor: what draws like these take in any code, even one that
knows the teacher's whole distribution, statistics included. 50 draws of a 32K vocabulary take 20 to 37
bytes a token, and some 43 of a teacher that has learned next to nothing, whose floor is 37 to 38; a
label_count of 40 or a temperature of 0.9 makes them fewer. The first 1,024 tokens of a file take more,
as it does not know yet how often the teacher says an id.

Every sequence that is there already is checked. The file may be interrupted at any moment, by
kill -9 too: the same command goes on after the last whole sequence, and what comes out is the
same file, byte for byte.`,
		Example: `saltern label job.toml
saltern label --set distill.label_count=100 job.toml && saltern train --set distill.labels=offline --set distill.label_count=100 job.toml`,
		Exits: []Kind{BadConfig, BadData, NoDevice, LacksFeature, NoMemory, BadCheckpoint, DiskFull, Diverged, Interrupted, SickDevice},
		Ranks: func(args []string) (*Job, error) { return flags.job("label", args) },
		Flags: func(fs *flag.FlagSet) { flags.define(fs, "the labels") },
		Run: func(ctx context.Context, io IO, args []string) (err error) {
			job, err := flags.job("label", args)
			if err != nil {
				return err
			}
			switch d := job.Distill; {
			case d.Method == "baseline":
				return fail(BadConfig, `%s: distill: method = "baseline" has no teacher to label with; use "rkd" or "salt"`, job.File)
			case d.Smooths():
				return fail(BadConfig, `%s: distill: teacher = %q has no soft labels to keep in a file; use "slm" or "self"`, job.File, d.Teacher)
			}
			s, err := openJob(ctx, io, job)
			if err != nil {
				return err
			}
			defer func() { err = s.done(err) }()
			var t Table
			err = s.overLosses(ctx, func() (err error) {
				t, err = writeLabels(ctx, s, job.student(s.set.Manifest.Key), flags.fresh)
				return err
			})
			if err != nil {
				return err
			}
			return t.Write(io.Out, flags.json)
		},
	}
}

// writeLabels makes the soft labels of a training that has a teacher, which is trained first.
func writeLabels(ctx context.Context, s *session, student *training, fresh bool) (Table, error) {
	if err := s.ranks.first(ctx, func() error { return sameSettings(student.needs(), false) }); err != nil {
		return Table{}, err
	}
	for _, t := range student.needs() {
		if err := t.findTeacher(); err != nil {
			return Table{}, err
		}
		if _, err := t.run(ctx, s); err != nil {
			return Table{}, err
		}
	}
	if err := student.findTeacher(); err != nil {
		return Table{}, err
	}
	if err := student.selectText(ctx, s); err != nil {
		return Table{}, err
	}
	l, err := student.labeling(s)
	if err != nil {
		return Table{}, err
	}
	if len(l.sequences) == 0 {
		return Table{}, fail(BadConfig, "%s: distill: weight = %g gives the teacher no step to help in; there is nothing to label", s.job.File, student.Distill.Weight)
	}
	if fresh {
		if err := s.ranks.first(ctx, func() error { return removeFolder(l.dir, labelsName) }); err != nil {
			return Table{}, err
		}
	}
	start := time.Now()
	if err := s.ranks.first(ctx, func() error { return student.makeLabels(ctx, s, l) }); err != nil {
		return Table{}, err
	}
	seconds := time.Since(start).Seconds()
	f, err := labels.Open(l.path())
	if err != nil {
		return Table{}, err
	}
	distinct, floor, err := measureLabels(f, l.sequences)
	if err := errors.Join(err, f.Close()); err != nil {
		return Table{}, err
	}
	s.say("labels: %s", l.path())
	return labelTable(f, distinct, floor, seconds), nil
}

// measureLabels gives, in a sample of the sequences, how many ids a token has on average, and what no code of its draws goes below in
// bytes; nil, where labels are not drawn.
func measureLabels(f *labels.File, sequences []int64) (distinct float64, floor any, err error) {
	const most = 256
	l, ids, tokens, sum, n := labels.New(f.Settings.Sequence, f.Count), 0, 0, 0.0, min(most, len(sequences))
	for i := range n {
		if err := f.Sequence(sequences[i*len(sequences)/n], l); err != nil {
			return 0, nil, err
		}
		for _, id := range l.IDs {
			if id != compute.Masked {
				ids++
			}
		}
		tokens += f.Settings.Sequence
		sum += l.Floor()
	}
	if f.Form == labels.Sample && n > 0 {
		floor = sum / float64(n)
	}
	return float64(ids) / float64(max(1, tokens)), floor, nil
}

// labelTable says what the labels take, beside the whole distribution in 16-bit floats.
func labelTable(f *labels.File, distinct float64, floor any, seconds float64) Table {
	tokens := int64(f.Len()) * int64(f.Settings.Sequence)
	each := float64(f.Bytes()) / float64(max(1, tokens))
	return Table{
		Columns: []Column{
			{Key: "form", Title: "form"}, {Key: "count", Title: "count"}, {Key: "vocabulary", Title: "vocabulary"}, {Key: "sequences", Title: "sequences"},
			{Key: "tokens", Title: "tokens"}, {Key: "distinct_ids", Title: "distinct ids", Unit: "per token", Format: "%.1f"}, {Key: "bytes", Title: "bytes"},
			{Key: "bytes_per_token", Title: "bytes", Unit: "per token", Format: "%.1f"},
			{Key: "floor_bytes_per_token", Title: "floor", Unit: "per token", Format: "%.1f"}, {Key: "dense_fp16_bytes_per_token", Title: "dense fp16", Unit: "per token"},
			{Key: "ratio", Title: "smaller", Unit: "times", Format: "%.0f"}, {Key: "seconds", Title: "time", Unit: "s", Format: "%.1f"},
		},
		Rows: [][]any{{f.Form, f.Count, f.Vocab, f.Len(), tokens, distinct, f.Bytes(), each, floor, f.DenseBytes(), float64(f.DenseBytes()) / each, seconds}},
	}
}
