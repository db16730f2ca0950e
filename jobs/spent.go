package jobs

import "path/filepath"

// spent is time.json beside a file that several runs may write: the wall clock that they took. It stands apart, as two passes
// give the same bytes otherwise.
type spent struct {
	Seconds float64 `json:"seconds"`
}

func spentFile(dir string) string { return filepath.Join(dir, "time.json") }

// secondsSpent is how long the file in the folder took up to now. Of a run that was killed, up to syncEvery is not known.
func secondsSpent(dir string) (float64, error) {
	var t spent
	err := readJSON(spentFile(dir), &t, "remove it, and the time that it tells of is counted anew")
	return t.Seconds, err
}

// keepSeconds writes it.
func keepSeconds(dir string, seconds float64) error { return writeJSON(spentFile(dir), spent{seconds}) }
