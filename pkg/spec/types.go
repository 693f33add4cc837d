package spec

// The API of every document this tool reads.
const (
	APIVersion = "reconciler.dev/v1"
	Kind       = "DaemonSpec"
)

// DaemonSpec declares one daemon: which binary runs, how, and how we know that it is well.
type DaemonSpec struct {
	// APIVersion is always reconciler.dev/v1.
	APIVersion string `json:"apiVersion" required:"true"`
	// Kind is always DaemonSpec.
	Kind string `json:"kind" required:"true"`
	// Metadata names the daemon.
	Metadata Metadata `json:"metadata" required:"true"`
	// Spec is what shall run.
	Spec Spec `json:"spec" required:"true"`
}

// Metadata names a daemon or a host, and carries what people and programs sort it by.
type Metadata struct {
	// Name is unique among the daemons of a host, and among the hosts: lower case letters, digits, '-' and '.', at most 63 characters.
	Name string `json:"name" required:"true"`
	// Labels are what selectors match: -l those of daemons, hostSelector those of hosts.
	Labels map[string]string `json:"labels,omitempty"`
	// Annotations are notes that no selector matches.
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Spec is the desired state of one daemon. The class of a field says what a change of it costs:
// live (nothing happens to the process), reload, restart or recreate.
type Spec struct {
	// Host is where the daemon runs: the name of a Host, [USER@]ADDRESS[:PORT], or a name in ~/.ssh/config. Omitted, localhost or a name of
	// this machine: here.
	Host string `json:"host,omitempty" class:"recreate"`
	// HostSelector has a copy of the daemon run on each Host that it chooses. It stands in the place of host.
	HostSelector *HostSelector `json:"hostSelector,omitempty" class:"recreate"`
	// Driver is what runs it: auto, systemd, cgroup, process, launchd or job. auto picks the best this host has.
	// Default: auto.
	Driver DriverKind `json:"driver,omitempty" class:"recreate"`
	// Binary is the program: an absolute path, a path relative to the manifest (it has a slash), or a name that is looked
	// up where programs are installed (RECONCILER_INSTALL_DIR, or /usr/local/bin for root), in ~/.local/bin, in PATH, and then, beside the manifest, in
	// target/release, in target/debug and in its own folder. On another host: an absolute path, or a name looked up there in all but those.
	// It is required where there is neither build nor install.
	Binary string `json:"binary,omitempty" class:"restart"`
	// Build makes the program from sources.
	Build *Build `json:"build,omitempty" class:"live"`
	// Install puts the program on the host. Where there is a build it may be omitted: its output is installed then.
	Install *Install `json:"install,omitempty" class:"live"`
	// Update says how a changed daemon takes the place of the one that runs. Omitted: it is restarted, and nobody waits for it to be Ready
	// who doesn't ask for that.
	Update *Update `json:"update,omitempty" class:"live"`
	// Args are passed to the binary as they stand: no shell, and no expansion but that of $(HOST_NAME), $(HOST_ADDRESS),
	// $(HOST_LABEL_x) and, where update.strategy is StartFirst, $(SLOT).
	Args []string `json:"args,omitempty" class:"restart"`
	// Env is the daemon's environment besides PATH, HOME, USER, LOGNAME, SHELL and LANG: a value, or {fromFile: PATH} or
	// {fromEnv: NAME} for a secret.
	Env map[string]EnvVar `json:"env,omitempty" class:"restart"`
	// WorkingDir is the directory the daemon starts in. Default: /.
	WorkingDir string `json:"workingDir,omitempty" class:"restart"`
	// User is the account it runs as, by name or number. Default: the caller's.
	User string `json:"user,omitempty" class:"restart"`
	// Group is its primary group, by name or number. Default: the user's.
	Group string `json:"group,omitempty" class:"restart"`
	// Umask masks the modes of the files it makes, octal. Default: "0022".
	Umask *Mode `json:"umask,omitempty" class:"restart"`
	// Nice is the scheduling priority, -20 (first) to 19 (last). Default: 0.
	Nice int `json:"nice,omitempty" class:"restart" min:"-20" max:"19"`
	// Rlimits are process limits by name (nofile, nproc, core, as, ...): "N", "SOFT:HARD" or "infinity".
	Rlimits map[string]Rlimit `json:"rlimits,omitempty" class:"restart"`
	// HealthURL is short for health.url.
	HealthURL string `json:"healthURL,omitempty"`
	// Type says when a start counts as done: exec (the program was executed), notify (it said so by sd_notify(3)) or forking
	// (its first process left, having put itself into the background). Only systemd needs to be told of forking: the other
	// drivers find it out; only systemd waits for a notify. Default: exec.
	Type StartType `json:"type,omitempty" class:"restart"`
	// Health says how we know that the daemon is well. Omitted: it is Ready once it has stayed up for a second.
	Health *Health `json:"health,omitempty" class:"live"`
	// Metrics says where the daemon exposes metrics of its own, for whoever discovers what there is to scrape: see run --listen.
	Metrics *Metrics `json:"metrics,omitempty" class:"live"`
	// Stop says how the daemon is asked to end.
	Stop Stop `json:"stop,omitzero" class:"live"`
	// Restart says when an ended daemon is started again.
	Restart Restart `json:"restart,omitzero" class:"live"`
	// Listen are sockets that are opened for the daemon and handed to it as in sd_listen_fds(3), tcp://ADDRESS:PORT or
	// unix://PATH. They stay open while it restarts, so that who connects waits instead of being refused, until the daemon
	// is stopped by a user or removed. They are descriptors 3, 4, ... in this order; in LISTEN_FDNAMES each is called by its
	// port or the last element of its path. The file of a socket is the daemon's user's and group's, and has the mode that
	// umask leaves of 0666. Who connects starts nothing.
	Listen []string `json:"listen,omitempty" class:"restart"`
	// Reload says how the daemon rereads its files. Omitted: a changed file restarts it.
	Reload *Reload `json:"reload,omitempty" class:"live"`
	// Cgroup limits what the daemon may use and says where it sits in the cgroup tree.
	Cgroup *Cgroup `json:"cgroup,omitempty" class:"live"`
	// Sandbox takes rights away from the daemon.
	Sandbox *Sandbox `json:"sandbox,omitempty" class:"restart"`
	// Files are the daemon's config files, written before it starts.
	Files []File `json:"files,omitempty" class:"reload"`
	// DependsOn names the daemons of this host that must be up first.
	DependsOn []Dependency `json:"dependsOn,omitempty" class:"live"`
	// Log says where stdout and stderr go.
	Log Log `json:"log,omitzero" class:"live"`
}

// DriverKind names a driver.
type DriverKind string

// The drivers a manifest may ask for.
const (
	DriverAuto    DriverKind = "auto"
	DriverSystemd DriverKind = "systemd"
	DriverCgroup  DriverKind = "cgroup"
	DriverProcess DriverKind = "process"
	DriverLaunchd DriverKind = "launchd"
	DriverJob     DriverKind = "job"
)

// StartType says when a start counts as done.
type StartType string

// The start types.
const (
	TypeExec    StartType = "exec"
	TypeNotify  StartType = "notify"
	TypeForking StartType = "forking"
)

// EnvVar is one environment variable: a plain value (which may be written as a bare string), or a secret
// that is read when the daemon is started. A secret's value is never printed, stamped or logged.
type EnvVar struct {
	// Value is the plain value.
	Value *string `json:"value,omitempty"`
	// FromFile is the file whose content, less one trailing newline, is the secret value.
	FromFile string `json:"fromFile,omitempty"`
	// FromEnv is the variable of reconciler's own environment that holds the secret value.
	FromEnv string `json:"fromEnv,omitempty"`
	// Digest is set by the tool on an effective spec: it tells a changed secret without telling the secret. In a manifest it is ignored.
	Digest string `json:"digest,omitempty"`
}

// Health is a check: exactly one of url, tcp and exec.
type Health struct {
	// URL is fetched with GET; see expectStatus. On an address of this machine it must be the daemon itself that
	// answers: what another program answers there is a failure.
	URL string `json:"url,omitempty"`
	// TCP is an address HOST:PORT that must accept a connection; as with url, the daemon's.
	TCP string `json:"tcp,omitempty"`
	// Exec is a command (no shell) that must exit 0. It runs as the daemon's user and group, in its workingDir, with
	// its env, less what is secret.
	Exec []string `json:"exec,omitempty"`
	// Interval is the time between two checks. Default: 10s.
	Interval Duration `json:"interval,omitempty"`
	// Timeout bounds one check. Default: 2s.
	Timeout Duration `json:"timeout,omitempty"`
	// StartPeriod is the time after a start in which failures don't count. Default: 30s.
	StartPeriod Duration `json:"startPeriod"`
	// FailureThreshold is how many failures in a row make a Ready daemon unhealthy. Default: 3.
	FailureThreshold int `json:"failureThreshold,omitempty" min:"1" max:"1000"`
	// SuccessThreshold is how many successes in a row make it Ready. Default: 1.
	SuccessThreshold int `json:"successThreshold,omitempty" min:"1" max:"1000"`
	// ExpectStatus is the HTTP status that url must answer with. Default: any of 200 to 399.
	ExpectStatus int `json:"expectStatus,omitempty" min:"100" max:"599"`
	// ExpectHeader is a header that the answer of url must have, NAME: VALUE.
	ExpectHeader string `json:"expectHeader,omitempty"`
	// ExpectBody is a text that the first MiB of the answer of url must contain.
	ExpectBody string `json:"expectBody,omitempty"`
	// OnFailure is what an unhealthy daemon gets: Report (its status says so) or Restart. Default: Report.
	OnFailure FailureAction `json:"onFailure,omitempty"`
}

// Metrics says where a daemon exposes metrics.
type Metrics struct {
	// URL is where Prometheus finds them, as seen from the daemon's host; without a path, /metrics. localhost in it becomes, for
	// who is elsewhere, the address at which that host is reached.
	URL string `json:"url" required:"true"`
}

// FailureAction is what happens to an unhealthy daemon.
type FailureAction string

// The failure actions.
const (
	OnFailureReport  FailureAction = "Report"
	OnFailureRestart FailureAction = "Restart"
)

// Stop has up to three stages: the URL, then the signal, each with the grace period to end in, then a kill of the whole tree.
type Stop struct {
	// URL gets a POST first.
	URL string `json:"url,omitempty"`
	// Signal is sent next. Default: SIGTERM.
	Signal Signal `json:"signal,omitempty"`
	// GracePeriod is how long each of the two may take. Default: 10s.
	GracePeriod Duration `json:"gracePeriod"`
}

// Restart says when an ended daemon is started again.
type Restart struct {
	// Policy is Always, OnFailure (not after exit status 0) or Never. Default: Always.
	Policy RestartPolicy `json:"policy,omitempty"`
	// Backoff is the wait before a restart: none before the first, then doubling from initial to max.
	Backoff Backoff `json:"backoff,omitzero"`
}

// RestartPolicy says which ends of a daemon are followed by a start.
type RestartPolicy string

// The restart policies.
const (
	RestartAlways    RestartPolicy = "Always"
	RestartOnFailure RestartPolicy = "OnFailure"
	RestartNever     RestartPolicy = "Never"
)

// Backoff is the wait between restarts of a daemon that keeps ending.
type Backoff struct {
	// Initial is the wait before the second restart in a row. Default: 1s.
	Initial Duration `json:"initial,omitempty"`
	// Max is the longest wait. Default: 5m.
	Max Duration `json:"max,omitempty"`
	// ResetAfter is how long a daemon must stay up for its restarts to be forgotten. Default: 1m.
	ResetAfter Duration `json:"resetAfter,omitempty"`
}

// Reload is one way to make a daemon reread its files: a signal, a URL that gets a POST, or a command. Afterwards it must be healthy, as the same process, and show
// what expect says; where it doesn't, the reload has failed.
type Reload struct {
	// Signal is sent to the daemon's main process.
	Signal Signal `json:"signal,omitempty"`
	// URL gets a POST and must answer 2xx.
	URL string `json:"url,omitempty"`
	// Exec is a command (no shell) that must exit 0. It runs as health.exec does.
	Exec []string `json:"exec,omitempty"`
	// Expect is what shows that it did.
	Expect *ReloadExpect `json:"expect,omitempty"`
}

// Cgroup limits a daemon and places it in the tree of cgroups. A driver that can't enforce a limit says so, or refuses where required is set.
type Cgroup struct {
	// Slice is the cgroup slice it is put in, as in rbee.slice; a '-' nests, so rbee-gpu.slice is part of rbee.slice.
	Slice string `json:"slice,omitempty" class:"recreate"`
	// Service names the kind of worker. With instance it is the daemon's place: SLICE/SERVICE/INSTANCE, or the unit
	// SERVICE-INSTANCE.service. Without them that is the daemon's name.
	Service string `json:"service,omitempty" class:"recreate"`
	// Instance tells workers of one service apart.
	Instance string `json:"instance,omitempty" class:"recreate"`
	// CPULimit is CPU time: "200%", "2" and "2000m" all mean two cores.
	CPULimit CPU `json:"cpuLimit,omitempty"`
	// MemoryLimit is a hard limit in bytes; K, M, G and T are powers of 1024, as Ki, Mi, Gi and Ti are. A daemon
	// with one doesn't swap.
	MemoryLimit Bytes `json:"memoryLimit,omitempty"`
	// MemoryHigh is where the kernel starts to slow it down and reclaim.
	MemoryHigh Bytes `json:"memoryHigh,omitempty"`
	// PidsLimit is the most processes and threads.
	PidsLimit int64 `json:"pidsLimit,omitempty" min:"1"`
	// CPUWeight is its share when CPU is scarce, 1 to 10000; 100 is what others have.
	CPUWeight int `json:"cpuWeight,omitempty" min:"1" max:"10000"`
	// IOWeight is its share when IO is scarce, 1 to 10000; 100 is what others have.
	IOWeight int `json:"ioWeight,omitempty" min:"1" max:"10000"`
	// Required refuses a host that can't enforce all of these, instead of reporting what is lost.
	Required bool `json:"required,omitempty"`
}

// Sandbox takes rights away from a daemon, in the words of systemd.exec(5). A driver that can't do one of them says so, or refuses where
// required is set.
type Sandbox struct {
	// NoNewPrivileges keeps it and its children from gaining rights by executing a program that is setuid or has capabilities.
	NoNewPrivileges bool `json:"noNewPrivileges,omitempty"`
	// ProtectSystem makes files read-only to it: yes (/usr and the boot loader's), full (/etc too) or strict (all but
	// /dev, /proc, /sys and the home directories, which protectHome is for).
	ProtectSystem ProtectSystem `json:"protectSystem,omitempty"`
	// ProtectHome hides /home, /root and /run/user (yes, tmpfs) or makes them read-only (read-only).
	ProtectHome ProtectHome `json:"protectHome,omitempty"`
	// PrivateTmp gives it a /tmp and a /var/tmp of its own.
	PrivateTmp bool `json:"privateTmp,omitempty"`
	// ReadWritePaths stay writable in spite of protectSystem and protectHome. They must exist.
	ReadWritePaths []string `json:"readWritePaths,omitempty"`
	// Capabilities are all that it can ever have (capabilities(7), as in CAP_NET_BIND_SERVICE), or NONE alone. A daemon of
	// a user other than root starts with them. Omitted: what its user has.
	Capabilities []string `json:"capabilities,omitempty"`
	// Required refuses a host that can't do all of these, instead of reporting what is lost.
	Required bool `json:"required,omitempty"`
}

// ProtectSystem says which files of the system are read-only.
type ProtectSystem string

// ProtectHome says what becomes of the home directories.
type ProtectHome string

// File is a config file of the daemon: content or from, exactly one.
type File struct {
	// Path is where it is written, absolute.
	Path string `json:"path" required:"true"`
	// Content is what is written, as it stands.
	Content *string `json:"content,omitempty"`
	// From is a file beside the manifest whose content is written.
	From string `json:"from,omitempty"`
	// Mode is the file's permissions, octal. Default: "0644".
	Mode *Mode `json:"mode,omitempty"`
	// Digest is set by the tool on an effective spec, instead of the content. In a manifest it is ignored.
	Digest string `json:"digest,omitempty"`
}

// Dependency is a daemon that must be up before this one is started.
type Dependency struct {
	// Name is the other daemon's.
	Name string `json:"name" required:"true"`
	// Condition is Started or Ready. Default: Ready.
	Condition DependencyCondition `json:"condition,omitempty"`
}

// DependencyCondition is how far a dependency must have come.
type DependencyCondition string

// The dependency conditions.
const (
	DependencyStarted DependencyCondition = "Started"
	DependencyReady   DependencyCondition = "Ready"
)

// Log is where the daemon's stdout and stderr go.
type Log struct {
	// Path is the log file, absolute. Default: NAME.log in the tool's log directory.
	Path string `json:"path,omitempty" class:"restart"`
	// MaxSize is where the file is rotated. Default: 10M.
	MaxSize Bytes `json:"maxSize,omitempty"`
	// MaxFiles is how many rotated files are kept. Default: 3.
	MaxFiles int `json:"maxFiles" min:"0" max:"1000"`
}
