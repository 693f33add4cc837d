package artifact

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func hexOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// randomBytes are the same for the same seed.
func randomBytes(seed uint64, n int) []byte {
	var key [32]byte
	key[0] = byte(seed)
	b := make([]byte, n)
	rand.NewChaCha8(key).Read(b)
	return b
}

func fileOf(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// shows checks that p has the content.
func shows(t *testing.T, p Program, err error, content []byte) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(p.Path)
	if err != nil || !bytes.Equal(got, content) || p.Digest != "sha256:"+hexOf(content) || p.Size != int64(len(content)) || p.Missing != "" {
		t.Errorf("%+v has %d bytes, %v; want %d", p, len(got), err, len(content))
	}
}

func TestFile(t *testing.T) {
	content := randomBytes(1, 1000)
	c, path := New(Options{Dir: filepath.Join(t.TempDir(), "cache")}), fileOf(t, "web", content)
	p, err := c.Look(t.Context(), Source{File: path})
	shows(t, p, err, content)
	p, err = c.Get(t.Context(), Source{File: path, SHA256: hexOf(content)})
	shows(t, p, err, content)
	if _, err := os.Stat(c.o.Dir); !os.IsNotExist(err) {
		t.Errorf("a file was cached: %v", err)
	}
	for want, s := range map[string]Source{
		"install.sha256 says":     {File: path, SHA256: hexOf(nil)},
		"no such file":            {File: path + "x"},
		"this is not a regular f": {File: filepath.Dir(path)},
	} {
		if _, err := c.Get(t.Context(), s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", s, err, want)
		}
	}
}

// archives are archives of one program, by format.
func archives(t *testing.T, content []byte) map[string][]byte {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	gz := func(b []byte) []byte {
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		_, err := w.Write(b)
		must(err)
		must(w.Close())
		return out.Bytes()
	}
	var tarred, zipped bytes.Buffer
	tw, zw := tar.NewWriter(&tarred), zip.NewWriter(&zipped)
	for _, f := range []struct {
		name string
		text []byte
	}{{"README", []byte("read me")}, {"./app-1.2/bin/web", content}} {
		must(tw.WriteHeader(&tar.Header{Name: f.name, Size: int64(len(f.text)), Mode: 0o755}))
		_, err := tw.Write(f.text)
		must(err)
		w, err := zw.Create(strings.TrimPrefix(f.name, "./"))
		must(err)
		_, err = w.Write(f.text)
		must(err)
	}
	must(tw.WriteHeader(&tar.Header{Name: "current", Linkname: "app-1.2/bin/web", Typeflag: tar.TypeSymlink}))
	must(tw.Close())
	must(zw.Close())
	return map[string][]byte{"gz": gz(content), "tar": tarred.Bytes(), "tar.gz": gz(tarred.Bytes()), "zip": zipped.Bytes()}
}

func TestArchives(t *testing.T) {
	content := randomBytes(2, 100_000)
	for format, archive := range archives(t, content) {
		t.Run(format, func(t *testing.T) {
			c := New(Options{Dir: filepath.Join(t.TempDir(), "cache")})
			s := Source{File: fileOf(t, "a", archive), Format: format, Member: "app-1.2/bin/web"}
			if p, err := c.Look(t.Context(), s); err != nil || p.Missing == "" || p.Digest != "" {
				t.Errorf("before it is unpacked: %+v, %v", p, err)
			}
			p, err := c.Get(t.Context(), s)
			shows(t, p, err, content)
			if again, err := c.Look(t.Context(), s); err != nil || again != p {
				t.Errorf("and then: %+v, %v", again, err)
			}
			if err := os.WriteFile(p.Path, []byte("rot"), 0o600); err != nil {
				t.Fatal(err)
			}
			if p, err := c.Look(t.Context(), s); err != nil || p.Missing == "" || p.Digest != "sha256:"+hexOf(content) {
				t.Errorf("when what was unpacked is spoiled: %+v, %v", p, err)
			}
			p, err = c.Get(t.Context(), s)
			shows(t, p, err, content)

			s.File = fileOf(t, "cut", archive[:len(archive)/2])
			if _, err := c.Get(t.Context(), s); err == nil || !strings.Contains(err.Error(), "unpack") {
				t.Errorf("half of it: %v", err)
			}
			if format == "gz" {
				return
			}
			s.File, s.Member = fileOf(t, "a", archive), "bin/web"
			if _, err := c.Get(t.Context(), s); err == nil || !strings.Contains(err.Error(), `no bin/web in it; it has "`) || !strings.Contains(err.Error(), "app-1.2/bin/web") {
				t.Errorf("another member: %v", err)
			}
		})
	}
	s := Source{File: fileOf(t, "a", archives(t, content)["tar"]), Format: "tar", Member: "current"}
	if _, err := New(Options{Dir: t.TempDir()}).Get(t.Context(), s); err == nil || !strings.Contains(err.Error(), `is a link to "app-1.2/bin/web"`) {
		t.Errorf("a link: %v", err)
	}
}

// server serves content and does as it is told.
type server struct {
	*httptest.Server
	content []byte
	asked   atomic.Int32
	sent    atomic.Int64
	cut     []int                                             // after so many bytes the first answers break off
	instead func(w http.ResponseWriter, r *http.Request) bool // says that it answered
}

func serve(t *testing.T, content []byte) *server {
	s := &server{content: content}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := int(s.asked.Add(1))
		if s.instead != nil && s.instead(w, r) {
			return
		}
		var out io.Writer = writerFunc(func(p []byte) (int, error) {
			n, err := w.Write(p)
			s.sent.Add(int64(n))
			return n, err
		})
		if n <= len(s.cut) {
			left := s.cut[n-1]
			whole := out
			out = writerFunc(func(p []byte) (int, error) {
				n, _ := whole.Write(p[:min(len(p), left)])
				if left -= n; left == 0 {
					http.NewResponseController(w).Flush()
					panic(http.ErrAbortHandler)
				}
				return len(p), nil
			})
		}
		http.ServeContent(answer{w, out}, r, "web", time.Time{}, bytes.NewReader(s.content))
	}))
	s.Server.Config.ErrorLog = nil
	t.Cleanup(s.Close)
	return s
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

type answer struct {
	http.ResponseWriter
	out io.Writer
}

func (a answer) Write(p []byte) (int, error) { return a.out.Write(p) }

func (s *server) cache(t *testing.T) *Cache {
	c := New(Options{Dir: filepath.Join(t.TempDir(), "cache"), Client: s.Client()})
	c.wait = time.Millisecond
	return c
}

func (s *server) source() Source { return Source{URL: s.URL + "/web", SHA256: hexOf(s.content)} }

func TestDownload(t *testing.T) {
	s := serve(t, randomBytes(3, 300_000))
	var told atomic.Int64
	c := New(Options{Dir: filepath.Join(t.TempDir(), "cache"), Client: s.Client(), Progress: func(_ string, have, size int64) {
		told.Store(have)
		if size != 300_000 {
			t.Errorf("of %d bytes", size)
		}
	}})
	if p, err := c.Look(t.Context(), s.source()); err != nil || p.Missing == "" || p.Digest != "sha256:"+hexOf(s.content) || s.asked.Load() != 0 {
		t.Errorf("before: %+v, %v, asked %d times", p, err, s.asked.Load())
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			p, err := c.Get(t.Context(), s.source())
			shows(t, p, err, s.content)
		})
	}
	wg.Wait()
	if s.asked.Load() != 1 || told.Load() != 300_000 {
		t.Errorf("asked %d times, told of %d bytes", s.asked.Load(), told.Load())
	}
}

// TestDownloadGoesOn where it was cut off, at every tenth.
func TestDownloadGoesOn(t *testing.T) {
	content := randomBytes(4, 1_000_000)
	for tenth := range 10 {
		s := serve(t, content)
		s.cut = []int{max(tenth*100_000, 1)}
		p, err := s.cache(t).Get(t.Context(), s.source())
		shows(t, p, err, content)
		if s.asked.Load() != 2 || s.sent.Load() > 1_100_000 {
			t.Errorf("cut after %d: asked %d times for %d bytes", s.cut[0], s.asked.Load(), s.sent.Load())
		}
	}
}

func TestDownloadFromAServerThatCantGoOn(t *testing.T) {
	s := serve(t, randomBytes(5, 100_000))
	s.cut = []int{50_000}
	s.instead = func(_ http.ResponseWriter, r *http.Request) bool { r.Header.Del("Range"); return false }
	p, err := s.cache(t).Get(t.Context(), s.source())
	shows(t, p, err, s.content)
}

// TestDownloadBeginsAnew where what an earlier try left is something else.
func TestDownloadBeginsAnew(t *testing.T) {
	s := serve(t, randomBytes(6, 100_000))
	for name, left := range map[string][]byte{"of another program": randomBytes(7, 50_000), "more than there is": randomBytes(7, 200_000), "all of it": s.content} {
		t.Run(name, func(t *testing.T) {
			c := s.cache(t)
			if err := os.MkdirAll(c.o.Dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(c.path(hexOf(s.content))+".part", left, 0o600); err != nil {
				t.Fatal(err)
			}
			p, err := c.Get(t.Context(), s.source())
			shows(t, p, err, s.content)
		})
	}
}

func TestDownloadRefuses(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "x") }))
	defer plain.Close()
	for _, tt := range []struct {
		name, want string
		asked      int32
		change     func(*server, *Source)
	}{
		{"another content", "install.sha256 says", 1, func(_ *server, s *Source) { s.SHA256 = hexOf([]byte("x")) }},
		{"what isn't there", "the server answers 404 Not Found", 1, func(s *server, _ *Source) {
			s.instead = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(404); return true }
		}},
		{"a server that is ill", "the server answers 503", tries, func(s *server, _ *Source) {
			s.instead = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(503); return true }
		}},
		{"a way out of https", "redirect out of https", 1, func(s *server, _ *Source) {
			s.instead = func(w http.ResponseWriter, r *http.Request) bool {
				http.Redirect(w, r, plain.URL+"/secret-token", http.StatusFound)
				return true
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, randomBytes(8, 1000))
			source := s.source()
			tt.change(s, &source)
			c := s.cache(t)
			_, err := c.Get(t.Context(), source)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), source.URL) || strings.Contains(err.Error(), "secret-token") {
				t.Errorf("%v, want %q", err, tt.want)
			}
			if n := s.asked.Load(); n != tt.asked {
				t.Errorf("asked %d times, want %d", n, tt.asked)
			}
			if p, err := c.Look(t.Context(), source); err != nil || p.Missing == "" {
				t.Errorf("it is here then: %+v, %v", p, err)
			}
		})
	}
}

// TestSweep: what nobody asked for in a month goes when something else comes.
func TestSweep(t *testing.T) {
	s := serve(t, randomBytes(9, 1000))
	c := s.cache(t)
	if err := os.MkdirAll(c.o.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, age := range map[string]time.Duration{"old": 2 * unused, "young": unused / 2} {
		path := filepath.Join(c.o.Dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-age)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	p, err := c.Get(t.Context(), s.source())
	shows(t, p, err, s.content)
	for name, want := range map[string]bool{"old": false, "young": true} {
		if _, err := os.Stat(filepath.Join(c.o.Dir, name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzExtract: whatever is in an archive, it is an error or a member, and nothing is written but to w.
func FuzzExtract(f *testing.F) {
	for format, archive := range archives(&testing.T{}, []byte("program")) {
		f.Add(format, "app-1.2/bin/web", archive)
	}
	f.Fuzz(func(t *testing.T, format, member string, archive []byte) {
		var out bytes.Buffer
		n, err := extract(bytes.NewReader(archive), int64(len(archive)), format, member, &limited{&out, 1 << 20})
		if err == nil && n != int64(out.Len()) {
			t.Errorf("%d bytes of %d", n, out.Len())
		}
	})
}

// limited takes so many bytes, so that a small archive can't fill the memory.
type limited struct {
	w    io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	if l.left -= len(p); l.left < 0 {
		return 0, io.ErrShortWrite
	}
	return l.w.Write(p)
}
