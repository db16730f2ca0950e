module saltern

go 1.25.0

require golang.org/x/term v0.44.0

require golang.org/x/sys v0.46.0 // indirect
