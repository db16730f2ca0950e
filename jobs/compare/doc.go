// Package compare says what a comparison of trainings shows.
package compare
