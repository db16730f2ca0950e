package jobs

import (
	"context"
	"flag"
	"runtime"
	"runtime/debug"
)

// versionCommand says what was built from what.
func versionCommand() *Command {
	var flags struct{ json bool }
	return &Command{
		Name:    "version",
		Usage:   "[--json]",
		Summary: "show the version, the commit and the Go that built this binary",
		Help: `Shows what this binary was built from. Give it with every report of a problem. A commit
with "+changes" was built from files that are not in that commit.`,
		Example: `saltern version`,
		Flags:   func(fs *flag.FlagSet) { jsonFlag(fs, &flags.json) },
		Run: func(_ context.Context, io IO, args []string) error {
			if len(args) > 0 {
				return fail(Usage, "version takes no arguments, but got %q; run: saltern help version", args[0])
			}
			info, _ := debug.ReadBuildInfo()
			return versionTable(info).Write(io.Out, flags.json)
		},
	}
}

// versionTable holds one row; info is nil when the binary was built without module support.
func versionTable(info *debug.BuildInfo) Table {
	version, commit, date := "unknown", "unknown", "unknown"
	if info != nil {
		version = info.Main.Version
		changes := ""
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				commit = s.Value
			case "vcs.time":
				date = s.Value
			case "vcs.modified":
				if s.Value == "true" {
					changes = "+changes"
				}
			}
		}
		commit += changes
	}
	return Table{
		Columns: []Column{
			{Key: "version", Title: "version"}, {Key: "commit", Title: "commit"}, {Key: "date", Title: "date"},
			{Key: "go", Title: "go"}, {Key: "platform", Title: "platform"},
		},
		Rows: [][]any{{version, commit, date, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}},
	}
}
