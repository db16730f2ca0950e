package jobs

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// spent is time.json beside a file that several runs may write: the wall clock that they took. It stands apart, as two passes
// give the same bytes otherwise.
type spent struct {
	Seconds float64 `json:"seconds"`
}

func spentFile(dir string) string { return filepath.Join(dir, "time.json") }

// secondsSpent is how long the file in the folder took up to now. Of a run that was killed, up to syncEvery is not known.
func secondsSpent(dir string) (float64, error) {
	text, err := os.ReadFile(spentFile(dir))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	var t spent
	if err == nil {
		err = json.Unmarshal(text, &t)
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w; remove it, and the time that it tells of is counted anew", spentFile(dir), err)
	}
	return t.Seconds, nil
}

// keepSeconds writes it.
func keepSeconds(dir string, seconds float64) error { return writeJSON(spentFile(dir), spent{seconds}) }
