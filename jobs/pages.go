package jobs

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"

	"saltern/jobs/report"
)

// writePages writes report.html and report.json into a folder, each whole or not at all, and gives the page's path.
func writePages(dir string, r report.Report) (string, error) {
	path := filepath.Join(dir, "report.html")
	for name, write := range map[string]func(w io.Writer) error{path: r.WriteHTML, filepath.Join(dir, "report.json"): r.WriteJSON} {
		var text bytes.Buffer
		if err := write(&text); err != nil {
			return "", err
		}
		if err := writeWhole(name, text.Bytes()); err != nil {
			return "", err
		}
	}
	return path, nil
}

// configRows is the job as its report shows it.
func (j *Job) configRows() (rows []report.Row) {
	for _, l := range leafList() {
		if !j.unused(l) {
			rows = append(rows, report.Row{Name: l.key, Value: fmt.Sprint(l.value(&j.Config))})
		}
	}
	return rows
}
