package spec

// Build makes the program from sources. It is done only when something that goes into it changed: the inputs, the command, its environment or the
// program that the command is.
type Build struct {
	// Command is the program that builds and its arguments, as they stand: no shell. A name without a slash is looked up in PATH.
	Command []string `json:"command" required:"true"`
	// Dir is the folder it runs in, beside the manifest. Default: the manifest's folder.
	Dir string `json:"dir,omitempty"`
	// Inputs are the files that go into it, below dir: paths and patterns, in which * and ? match within a name, ** any number of folders, and
	// {a,b} either; a folder means all in it. What begins with a dot must be named with it; ! before a pattern takes away what others mean.
	Inputs []string `json:"inputs" required:"true"`
	// Output is the file that it makes, below dir.
	Output string `json:"output" required:"true"`
	// Env is its environment besides PATH, HOME, USER, LOGNAME, SHELL, LANG and what says where caches, proxies and certificates are. Nothing
	// else of reconciler's own gets in, so that it comes to the same wherever it is started.
	Env map[string]string `json:"env,omitempty"`
	// On is where it is built: controller (where reconciler runs, once for all hosts) or host (on each host, from files that are sent there).
	// Default: controller.
	On BuildPlace `json:"on,omitempty"`
	// Timeout bounds it. Default: 10m.
	Timeout Duration `json:"timeout,omitempty"`
	// Digest is set by the tool on an effective spec: it tells what went into the build. In a manifest it is ignored.
	Digest string `json:"digest,omitempty"`
}

// BuildPlace says where a program is built.
type BuildPlace string

// The places.
const (
	BuildOnController BuildPlace = "controller"
	BuildOnHost       BuildPlace = "host"
)

// Install puts the program on the host of the daemon, verified and at once, and keeps the ones before it for an undo.
type Install struct {
	// From is a file beside the manifest, or an https URL (then with sha256). Omitted: the output of build.
	From string `json:"from,omitempty"`
	// SHA256 is what from must have, 64 hex digits.
	SHA256 string `json:"sha256,omitempty"`
	// To is where the program is put, absolute. Omitted: the daemon runs it from where the tool keeps programs by their content.
	To string `json:"to,omitempty" class:"restart"`
	// Mode is its permissions, octal. Default: "0755".
	Mode *Mode `json:"mode,omitempty"`
	// Owner is whose the file is, USER or USER:GROUP. Default: the caller's.
	Owner string `json:"owner,omitempty"`
	// Keep is how many programs before the present one the host keeps for an undo. Default: 3.
	Keep int `json:"keep" min:"0" max:"100"`
	// Archive says that from is an archive, and which member of it is the program.
	Archive *Archive `json:"archive,omitempty"`
	// Digest is set by the tool on an effective spec: sha256 of the program. In a manifest it is ignored.
	Digest string `json:"digest,omitempty" class:"restart"`
}

// Archive is a file that holds the program.
type Archive struct {
	// Format is tar.gz, tar, zip or gz. Default: what the end of from's name says.
	Format ArchiveFormat `json:"format,omitempty"`
	// Member is the path of the program in it; a gz has none.
	Member string `json:"member,omitempty"`
}

// ArchiveFormat names a format of archives.
type ArchiveFormat string

// The formats.
const (
	ArchiveTarGz ArchiveFormat = "tar.gz"
	ArchiveTar   ArchiveFormat = "tar"
	ArchiveZip   ArchiveFormat = "zip"
	ArchiveGz    ArchiveFormat = "gz"
)

// Update says how a changed daemon takes the place of the one that runs, and what happens when it isn't well.
type Update struct {
	// Strategy is Restart (the old one is stopped, then the new one is started) or StartFirst (the new one is Ready before the old one is
	// stopped; both run for a while, told apart by $(SLOT)). Default: Restart.
	Strategy UpdateStrategy `json:"strategy,omitempty"`
	// ReadyTimeout is how long the new one may take to be Ready. Default: 1m.
	ReadyTimeout Duration `json:"readyTimeout,omitempty"`
	// ReadyFor is how long it must then stay Ready before the update counts as done; apply waits for that, too. Default: 0s; with onFailure Rollback a run
	// still puts back what turns unhealthy within two minutes.
	ReadyFor Duration `json:"readyFor,omitempty"`
	// OnFailure is what follows when it isn't: Rollback (what ran before comes back: program, spec and files), Stop or Continue (it is left as it
	// is). Default: Rollback.
	OnFailure UpdateFailure `json:"onFailure,omitempty"`
}

// UpdateStrategy says in which order the old daemon is stopped and the new one started.
type UpdateStrategy string

// The strategies.
const (
	UpdateRestart    UpdateStrategy = "Restart"
	UpdateStartFirst UpdateStrategy = "StartFirst"
)

// UpdateFailure says what follows when a changed daemon doesn't become Ready.
type UpdateFailure string

// What may follow.
const (
	UpdateRollback UpdateFailure = "Rollback"
	UpdateStop     UpdateFailure = "Stop"
	UpdateContinue UpdateFailure = "Continue"
)

// ReloadExpect is what a daemon shows after a reload that worked.
type ReloadExpect struct {
	// URL is fetched with GET. Default: health.url.
	URL string `json:"url,omitempty"`
	// Header is a header that the answer must have, NAME: VALUE.
	Header string `json:"header,omitempty"`
	// Body is a text that the answer must contain.
	Body string `json:"body,omitempty"`
}
