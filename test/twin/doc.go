// Package twin proves that a machine behind a link keeps every promise of pkg/drivers, with real drivers behind an agent and no network between.
//
// It must never be imported.
package twin
