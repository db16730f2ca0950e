// Package jobs is what a user can ask of saltern: the command line, the job file, the exit codes, one file per command.
//
// The work itself is elsewhere: the method in distill, the transformer in model, text in model/token and model/corpus,
// ranks in cluster, devices in compute. Those packages return plain errors; here they become messages and exit codes.
//
// The types to know, in the order in which a command meets them: Main finds the Command, parses its flags, and hands it
// an IO (the outside world, so that tests need no process) and its arguments. ReadConfig turns the job file into a Job:
// defaults resolved, every problem reported at once with file:line:column, each value knowing where it came from. Results
// leave as a Table, aligned text or JSON. What goes wrong leaves as an Error whose Kind is the exit code.
//
// Those that train open a session (text, tokenizer, device) and list the trainings that the job has, each after those that it
// learns from:
//
//	for each training { find its teacher; select its text; claim its folder; loop to its last step }
//
// A teaching is what one of them has of its teacher, at hand or from a file. A comparison is the trainings of many arms and seeds,
// each once, by its address.
//
// Where several processes do a job, each is a rank with a session of its own, and all go the same way through it: ranks has what they
// must do together, and what the first of them does for all (ranks.first). A rank that went another way would wait for ever, so no
// branch may depend on what one rank alone can see. A launch starts ranks on this machine. For a training they take seats (seating.go): in its
// stage 1 those in the last may be teachers (roles.go), from which the others, a group of their own meanwhile, get their soft labels, and some
// may rest (rest.go); that follows from a rank's seat. Which ranks these are the job says, or the devices (roles_auto.go).
//
// A new command is one file, which holds a function returning its Command literal, and one line in commands.go.
//
// Invariants a change must keep:
//
//  1. Only main.go ends the process (TestOnlyMainExits, in the root).
//  2. Every key of the job file has a comment that is its reference page, and docs/CLI.md and docs/CONFIG.md are what
//     the literals and comments say (TestDocsAreFresh).
//  3. A resolved job, written out and read again, is the same job (TestResolvedJobRoundTrips).
//  4. Exit codes are an interface: numbers are added, never changed (TestExitCodesStay).
//  5. A training that was killed or stopped at any moment ends with the bits of one that nobody disturbed (TestWholeJobs).
//     So does one of several ranks, and its losses are those of one process but for their last digits (TestWholeJobs/ranks); those with
//     teachers on ranks of their own are those of labels from a file (TestWholeJobs/roles).
//  6. What decides a training's result decides its address, and nothing else does (TestAddress, TestAddressStays).
package jobs
