module reconciler.dev/reconciler

go 1.26

require github.com/go-logr/logr v1.4.4 // indirect
