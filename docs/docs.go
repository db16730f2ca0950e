// Package docs embeds the reference pages that the binary shows itself, as a compute node has no web browser. It holds
// text alone: CONFIG.md is generated from the comments of the config structs by the tests of package jobs, which is also
// where commands and help topics are. Keep it free of imports other than embed, so that anything may use it.
package docs

import _ "embed" // for the pages below

// Config is CONFIG.md, the reference of the job file's keys.
//
//go:embed CONFIG.md
var Config string
