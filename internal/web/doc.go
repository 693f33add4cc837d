// Package web is what a run serves over HTTP to those who only look: metrics, health, the discovery of daemons for Prometheus, and the data that the page is made of.
// All of it is read from a View.
//
// It must never change anything, answer anybody before a Guard let them in, know what a daemon is run by, or tell what isn't known as if it were zero or well.
package web
