// Package watch shows a job while it runs, and afterwards, on a terminal: the loss as a curve, where it stands, how each rank is doing.
//
// It reads what a run leaves in its folder and what ranks say of themselves, and changes neither. What is measured is decided in jobs
// and kept by jobs/metrics; the line that a training itself shows is jobs/progress', the page about its result jobs/report's.
//
// Two sources make a [State]: [Files], which polls a run folder, and [Live], which listens to the ranks where a connection leads to them.
// Files alone are enough for a picture, on a login node for instance. [Picture] turns a State into lines of text, a pure function of
// the state, the size and the [Look]; [Screen] keeps such a picture on a terminal, and [Run] is the loop around all that:
//
//	s := files.Poll(now)            // a State
//	s.Ranks, s.Notes = live.Ranks(now)
//	screen.Show(Picture(s, width, height, look))
//
// Invariants:
//  1. Every line of a picture is as wide as asked or less, and there are not more lines than asked, at any size (TestAnySize).
//  2. Where the output is no terminal there is no control character, whatever logs and names hold (TestPlain, TestClean).
//  3. The terminal is as it was when the screen is closed, and after a panic (TestScreen, TestPanic).
//  4. Nothing is written, locked or mapped in the run folder, and its files are opened anew for each look, so that a file system over
//     a network shows what is new (TestUntouched).
package watch
