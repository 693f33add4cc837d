module reconciler.dev/reconciler

go 1.26.0

require (
	github.com/go-logr/logr v1.4.4
	github.com/google/go-cmp v0.7.0
	golang.org/x/sys v0.49.0
)
