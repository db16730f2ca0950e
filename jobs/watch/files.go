package watch

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"saltern/jobs/metrics"
)

// Files polls a run folder.
type Files struct {
	Dir  string
	Last string // folder of the training that the job ends with; empty where that is not known

	trainings map[string]*followed
}

// followed is a training's folder and what is known of it.
type followed struct {
	Training
	dir      string
	settings time.Time // of the file that was read
	follower *metrics.Follower
}

// Poll looks for what is new, and returns all that the files say.
func (f *Files) Poll(now time.Time) State {
	s := State{Name: filepath.Base(f.Dir), Now: now, Log: readLog(f.Dir)}
	if abs, err := filepath.Abs(f.Dir); err == nil {
		s.Name = filepath.Base(abs)
	}
	if f.trainings == nil {
		f.trainings = map[string]*followed{}
	}
	found := begun(f.Dir)
	for dir := range f.trainings {
		if !slices.Contains(found, dir) {
			delete(f.trainings, dir) // begun anew
		}
	}
	for _, dir := range found {
		t := f.trainings[dir]
		if t == nil {
			t = &followed{dir: dir, follower: metrics.Follow(dir)}
			t.Folder = filepath.Base(dir)
			f.trainings[dir] = t
		}
		if err := t.poll(now); err != nil {
			s.Notes = append(s.Notes, err.Error())
		}
		s.Trainings = append(s.Trainings, t.Training)
	}
	name(s.Trainings)
	s.Ended = f.ended(s.Trainings)
	return s
}

// begun lists the folders of trainings in a run folder, or of those of the comparison in it, where these wrote last, in the order in
// which they began.
func begun(dir string) (list []string) {
	own, compared := filepath.Join(dir, "*"), filepath.Join(dir, "compare", "*")
	_, at := newest(filepath.Join(own, "training.toml"))
	_, written := newest(filepath.Join(own, metrics.Name))
	_, other := newest(filepath.Join(compared, metrics.Name))
	if at.IsZero() || other.After(written) {
		own = compared
	}
	files, _ := filepath.Glob(filepath.Join(own, "training.toml"))
	began := map[string]time.Time{}
	for _, file := range files {
		if info, err := os.Stat(file); err == nil {
			list = append(list, filepath.Dir(file))
			began[filepath.Dir(file)] = info.ModTime()
		}
	}
	slices.SortStableFunc(list, func(a, b string) int { return began[a].Compare(began[b]) })
	return list
}

// poll looks for what is new in the training's folder.
func (t *followed) poll(now time.Time) error {
	file := filepath.Join(t.dir, "training.toml")
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	if !info.ModTime().Equal(t.settings) {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		t.Settings = settings{}
		if err := toml.Unmarshal(text, &t.Settings); err != nil {
			return &fs.PathError{Op: "reading", Path: file, Err: err}
		}
		first := t.settings.IsZero()
		t.settings = info.ModTime()
		if t.Changed = now; first {
			t.Changed = info.ModTime()
		}
	}
	records, anew, err := t.follower.Poll()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	switch info, err := os.Stat(filepath.Join(t.dir, metrics.Name)); {
	case len(records) == 0:
	case len(t.Records) == 0 && err == nil: // a while ago, perhaps
		t.Changed = info.ModTime()
	default:
		t.Changed = now // by this clock: the file's may be another
	}
	if anew {
		t.Records = nil
	}
	t.Records = append(t.Records, records...)
	return t.result()
}

// result reads the training's outcome where it has one.
func (t *followed) result() error {
	text, err := os.ReadFile(filepath.Join(t.dir, "result.json"))
	if errors.Is(err, fs.ErrNotExist) {
		t.Outcome = nil
		return nil
	}
	if err != nil || t.Outcome != nil {
		return err
	}
	var o outcome
	if err := json.Unmarshal(text, &o); err != nil {
		return &fs.PathError{Op: "reading", Path: filepath.Join(t.dir, "result.json"), Err: err}
	}
	t.Outcome = &o
	return nil
}

// key is what a comparison adds to the name of a training's folder.
var key = regexp.MustCompile(`-[0-9a-f]{12}$`)

// name gives the trainings their labels, by their folders: "slm" is SLM, "llm-salt-ds" SALT_DS. Those of a comparison that would have
// the same have their seed as well.
func name(list []Training) {
	count := map[string]int{}
	for i := range list {
		t := strings.TrimPrefix(key.ReplaceAllString(list[i].Folder, ""), "llm-")
		list[i].Label = clean(strings.ToUpper(strings.ReplaceAll(t, "-", "_")))
		count[list[i].Label]++
	}
	for i := range list {
		if t := &list[i]; count[t.Label] > 1 {
			t.Label += " seed " + strconv.FormatInt(t.Settings.Seed, 10)
		}
	}
}

// ended says that the job has: its last training has finished, or its report is written, and none is under way.
func (f *Files) ended(list []Training) bool {
	var at time.Time
	last := false
	for _, t := range list {
		if t.Outcome == nil {
			return false
		}
		if last = last || t.Folder == f.Last; t.Outcome.Finished.After(at) {
			at = t.Outcome.Finished
		}
	}
	if len(list) == 0 || last {
		return last
	}
	for _, report := range []string{filepath.Join(f.Dir, "report.json"), filepath.Join(f.Dir, "compare", "report.json")} {
		if info, err := os.Stat(report); err == nil && !info.ModTime().Before(at) {
			return true
		}
	}
	return false
}
