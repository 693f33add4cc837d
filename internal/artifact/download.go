package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// How a download is tried.
const (
	tries     = 5
	firstWait = 300 * time.Millisecond
	stalled   = 30 * time.Second // without a byte
	maxWhole  = 8 << 30          // bytes
)

// newClient returns a client that stays within https, and takes what is there as it is.
func newClient() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableCompression, t.ResponseHeaderTimeout = true, stalled
	return &http.Client{Transport: t}
}

// errStalled is why a download is given up of which nothing came for a while.
var errStalled = fmt.Errorf("nothing came for %s", stalled)

// refusal is an answer that trying again doesn't change.
type refusal struct{ status string }

func (r *refusal) Error() string { return "the server answers " + r.status }

// errTooMuch says that there is no end of it.
var errTooMuch = fmt.Errorf("it is larger than %d bytes", int64(maxWhole))

// download fetches what is behind a URL into the cache, from where an earlier try was cut off. The caller holds the lock.
func (c *Cache) download(ctx context.Context, s Source) error {
	path := c.path(s.SHA256)
	part, wait := path+".part", c.wait
	var err error
	for try := 1; try <= tries; try++ {
		var resumed bool
		if resumed, err = c.fetch(ctx, s.URL, part); err == nil {
			var got string
			if got, _, err = digestOf(ctx, part); err == nil && got == prefix+s.SHA256 {
				return os.Rename(part, path)
			}
			_ = os.Remove(part) // nothing good would come of going on with it
			if err == nil {
				err = fmt.Errorf("what came has SHA-256 %s, and install.sha256 says %s: either the manifest or the server is wrong", strings.TrimPrefix(got, prefix), s.SHA256)
				if !resumed {
					break
				}
			}
		}
		var no *refusal
		if ctx.Err() != nil || errors.As(err, &no) || errors.Is(err, errTooMuch) || try == tries {
			break
		}
		if pause(ctx, wait) != nil {
			break
		}
		wait *= 2
	}
	return fmt.Errorf("download %s: %w", s.URL, err)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fetch goes on with a file that holds the beginning of what is behind a URL, and says whether it had something to go on with.
func (c *Cache) fetch(ctx context.Context, from, to string) (resumed bool, err error) {
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	have, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	quiet := time.AfterFunc(stalled, func() { cancel(errStalled) })
	defer quiet.Stop()
	answer, err := c.ask(ctx, from, have)
	if err != nil {
		return false, because(ctx, err)
	}
	defer answer.Body.Close()
	if have, err = standing(f, answer, have); err != nil {
		return false, err
	}
	size := int64(-1)
	if answer.ContentLength >= 0 {
		size = have + answer.ContentLength
	}
	in := &counted{r: io.LimitReader(answer.Body, maxWhole-have+1), have: have, came: func(n int64) {
		quiet.Reset(stalled)
		c.o.Progress(from, n, size)
	}}
	if _, err = io.Copy(f, in); err == nil && in.have > maxWhole {
		err = errTooMuch
	}
	return have > 0, because(ctx, err)
}

// because is err, or why the context that it came of ended.
func because(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// ask asks for what is behind a URL, from an offset on.
func (c *Cache) ask(ctx context.Context, from string, offset int64) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	if offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	client := *c.o.Client
	client.CheckRedirect = func(next *http.Request, via []*http.Request) error {
		switch {
		case next.URL.Scheme != "https":
			return &refusal{"with a redirect out of https, to " + next.URL.Scheme}
		case len(via) >= 10:
			return &refusal{"with one redirect after the other"}
		}
		return nil
	}
	answer, err := client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the URL, which may be that of a redirect, with a key to it in it
		}
		return nil, err
	}
	switch code := answer.StatusCode; {
	case code == http.StatusOK, code == http.StatusPartialContent && offset > 0, code == http.StatusRequestedRangeNotSatisfiable && offset > 0:
		return answer, nil
	case code >= 500, code == http.StatusTooManyRequests, code == http.StatusRequestTimeout:
		answer.Body.Close()
		return nil, errors.New("the server answers " + status(code))
	}
	answer.Body.Close()
	return nil, &refusal{status(answer.StatusCode)}
}

func status(code int) string { return fmt.Sprintf("%d %s", code, http.StatusText(code)) }

// standing puts the file where the answer begins, and returns that offset.
func standing(f *os.File, answer *http.Response, have int64) (int64, error) {
	switch answer.StatusCode {
	case http.StatusPartialContent:
		begins, _, _ := strings.Cut(strings.TrimPrefix(answer.Header.Get("Content-Range"), "bytes "), "-")
		if n, err := strconv.ParseInt(begins, 10, 64); err == nil && n == have {
			return have, nil
		}
		return 0, errors.Join(errors.New("the server goes on elsewhere than it was asked to"), f.Truncate(0))
	case http.StatusRequestedRangeNotSatisfiable:
		answer.Body = http.NoBody // there is no more than what is here, or what is here is something else: the digest tells
		return have, nil
	}
	if err := f.Truncate(0); err != nil {
		return 0, err
	}
	_, err := f.Seek(0, io.SeekStart)
	return 0, err
}

// counted tells how far a reader has come.
type counted struct {
	r    io.Reader
	have int64
	came func(have int64)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if c.have += int64(n); n > 0 {
		c.came(c.have)
	}
	return n, err
}
