package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

// builderHost is a host whose builds are what the test wants.
type builderHost struct {
	*driverstest.Host
	build func(ctx context.Context, job spec.BuildJob, out io.Writer) (spec.BuildResult, error)
}

// Compiler is called as the job's command begins.
func (b *builderHost) Compiler(_ context.Context, job spec.BuildJob) (spec.Compiler, error) {
	if job.Command == nil {
		return spec.Compiler{}, fmt.Errorf("it has no command: %w", drivers.ErrPermanent)
	}
	return spec.Compiler{Path: "/usr/bin/" + job.Command[0], Digest: "sha256:z"}, nil
}

func (b *builderHost) Build(ctx context.Context, job spec.BuildJob, out io.Writer) (spec.BuildResult, error) {
	return b.build(ctx, job, out)
}

func TestABuildIsThatOfTheMachine(t *testing.T) {
	want := spec.BuildJob{Name: "worker", Command: []string{"sh", "-c", "make"}, Env: map[string]string{"A": "b"}, Output: "bin/worker", Timeout: 5, Inputs: "sha256:x", Force: true}
	built := spec.BuildResult{Digest: "sha256:y", Size: 7, Built: true, Took: 3, Compiler: spec.Compiler{Path: "/usr/bin/sh", Digest: "sha256:z"}}
	text := strings.Repeat("compiling\n", 100_000)
	far := connect(t, Local{Host: &builderHost{driverstest.NewHost(), func(_ context.Context, job spec.BuildJob, out io.Writer) (spec.BuildResult, error) {
		if !reflect.DeepEqual(job, want) {
			return spec.BuildResult{}, fmt.Errorf("build %+v", job)
		}
		_, err := io.WriteString(out, text)
		return built, err
	}}})
	var out bytes.Buffer
	r, err := drivers.BuildOn(t.Context(), far, want, &out)
	if err != nil || r != built || out.String() != text {
		t.Errorf("%+v, %v; %d bytes were printed", r, err, out.Len())
	}
	if c, err := drivers.CompilerOn(t.Context(), far, want); err != nil || c != built.Compiler {
		t.Errorf("its compiler is %+v, %v", c, err)
	}
	if _, err := drivers.CompilerOn(t.Context(), far, spec.BuildJob{}); !errors.Is(err, drivers.ErrPermanent) {
		t.Errorf("the compiler of nothing: %v", err)
	}
}

func TestABuildThatFailsOnTheMachine(t *testing.T) {
	far := connect(t, Local{Host: &builderHost{driverstest.NewHost(), func(context.Context, spec.BuildJob, io.Writer) (spec.BuildResult, error) {
		return spec.BuildResult{}, fmt.Errorf("find its inputs: %w", drivers.ErrNotFound)
	}}})
	if _, err := drivers.BuildOn(t.Context(), far, spec.BuildJob{}, io.Discard); !errors.Is(err, drivers.ErrNotFound) {
		t.Errorf("%v", err)
	}
	far = connect(t, Local{Host: struct{ drivers.Host }{driverstest.NewHost()}})
	if _, err := drivers.BuildOn(t.Context(), far, spec.BuildJob{}, io.Discard); !errors.Is(err, drivers.ErrUnsupported) {
		t.Errorf("a machine that can't: %v", err)
	}
	if _, err := drivers.CompilerOn(t.Context(), far, spec.BuildJob{}); !errors.Is(err, drivers.ErrUnsupported) {
		t.Errorf("the compiler of a machine that can't build: %v", err)
	}
}

// TestABuildEndsWithItsCallAndWithTheLink: if it went on, the test would wait for ever, which the bubble notices.
func TestABuildEndsWithItsCallAndWithTheLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, ended := make(chan struct{}), make(chan struct{})
		far := connect(t, Local{Host: &builderHost{driverstest.NewHost(), func(ctx context.Context, _ spec.BuildJob, _ io.Writer) (spec.BuildResult, error) {
			begun <- struct{}{}
			<-ctx.Done()
			ended <- struct{}{}
			return spec.BuildResult{}, ctx.Err()
		}}})
		ctx, cancel := context.WithCancel(t.Context())
		go drivers.BuildOn(ctx, far, spec.BuildJob{}, io.Discard)
		<-begun
		cancel()
		<-ended
		go drivers.BuildOn(t.Context(), far, spec.BuildJob{}, io.Discard)
		<-begun
		far.Close()
		<-ended
	})
}
