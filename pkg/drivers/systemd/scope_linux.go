package systemd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/spawn"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// scope is one service manager, and where it looks for what: see systemd.unit(5), "Unit File Load Path".
type scope struct {
	user bool
	// sockets are where it may be reached, the best first. Its private one needs no dbus-daemon, and a call through it costs half.
	private, bus string
	// units is the directory of our unit files, control are those above it in which systemctl set-property and the like leave theirs.
	units string
	// above and below are the other directories of unit files, those that go before units and those that come after it.
	above, below []string
	// wants is the directory of links by which the manager starts our units at its own start.
	wants string
	// exported is where the manager leaves a link for each running unit that names its invocation. systemd tells nobody of it but journald, which
	// relies on it in every version since 235.
	exported string
}

// environment is what detection asks of the process that it runs in.
type environment struct {
	getenv func(string) string
	uid    int
	home   string
	// root is put before all paths: a test's directory, or nothing.
	root string
}

// here is the environment of this process.
func here() (environment, error) {
	account, _, err := spawn.LookupAccount("", "")
	if err != nil {
		return environment{}, err
	}
	return environment{getenv: os.Getenv, uid: os.Geteuid(), home: account.Home}, nil
}

// detect finds the manager that this user's daemons belong to: the system's for root, the user's own otherwise. Where this machine has none, the error is a *drivers.Unavailable.
// Whether the manager answers is not asked: one that doesn't is still there, and what it runs is unknown.
func detect(e environment) (scope, error) {
	if e.uid == 0 {
		return e.system()
	}
	return e.own()
}

func (e environment) at(parts ...string) string { return e.root + filepath.Join(parts...) }

// system is the system manager. It runs where sd_booted(3) says so.
func (e environment) system() (scope, error) {
	if fi, err := os.Lstat(e.at("/run/systemd/system")); err != nil || !fi.IsDir() {
		return scope{}, &drivers.Unavailable{Kind: spec.DriverSystemd, Reason: "systemd isn't the first process of this machine (there is no /run/systemd/system)"}
	}
	return scope{
		private: e.at("/run/systemd/private"), bus: e.at("/run/dbus/system_bus_socket"),
		units: e.at("/etc/systemd/system"), wants: e.at("/etc/systemd/system/multi-user.target.wants"), exported: e.at("/run/systemd/units"),
		above: e.all("/etc/systemd/system.control", "/run/systemd/system.control", "/run/systemd/transient", "/run/systemd/generator.early"),
		below: e.all("/etc/systemd/system.attached", "/run/systemd/system", "/run/systemd/system.attached", "/run/systemd/generator",
			"/usr/local/lib/systemd/system", "/lib/systemd/system", "/usr/lib/systemd/system", "/run/systemd/generator.late"),
	}, nil
}

// own is the user's manager. Its socket is found also where no session says where it is, as below sudo, cron or a plain ssh command.
func (e environment) own() (scope, error) {
	runtime := e.getenv("XDG_RUNTIME_DIR")
	if !filepath.IsAbs(runtime) {
		runtime = filepath.Join("/run/user", strconv.Itoa(e.uid))
	}
	run := e.at(runtime)
	var st unix.Stat_t
	switch err := unix.Stat(filepath.Join(run, "systemd"), &st); {
	case errors.Is(err, unix.ENOENT):
		return scope{}, e.noManager(runtime)
	case err != nil:
		return scope{}, fmt.Errorf("look for the service manager of user %d in %s: %w: %w", e.uid, runtime, err, drivers.ErrUnreachable)
	case int(st.Uid) != e.uid:
		return scope{}, &drivers.Unavailable{Kind: spec.DriverSystemd, Reason: fmt.Sprintf("%s belongs to user %d, and this process runs as user %d", runtime, st.Uid, e.uid),
			Remedy: "unset XDG_RUNTIME_DIR"}
	}
	config := e.config()
	if config == "" {
		return scope{}, &drivers.Unavailable{Kind: spec.DriverSystemd, Reason: fmt.Sprintf("user %d has no home directory for unit files", e.uid), Remedy: "set XDG_CONFIG_HOME"}
	}
	data := e.getenv("XDG_DATA_HOME")
	if !filepath.IsAbs(data) {
		data = filepath.Join(e.home, ".local/share")
	}
	units := e.at(config, "systemd/user")
	return scope{
		user: true, private: filepath.Join(run, "systemd/private"), bus: filepath.Join(run, "bus"),
		units: units, wants: filepath.Join(units, "default.target.wants"), exported: filepath.Join(run, "systemd/units"),
		above: []string{units + ".control", run + "/systemd/user.control", run + "/systemd/transient", run + "/systemd/generator.early"},
		below: append([]string{e.at("/etc/systemd/user"), run + "/systemd/user", e.at("/run/systemd/user"), run + "/systemd/generator", e.at(data, "systemd/user")},
			append(e.all("/usr/local/share/systemd/user", "/usr/share/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user"), run+"/systemd/generator.late")...),
	}, nil
}

// noManager says why a user has no manager, and what gives them one.
func (e environment) noManager(runtime string) error {
	name := strconv.Itoa(e.uid)
	if a, _, err := spawn.LookupAccount("", ""); err == nil && a.Name != "" && e.root == "" {
		name = a.Name
	}
	if fi, err := os.Lstat(e.at("/run/systemd/system")); err != nil || !fi.IsDir() {
		return &drivers.Unavailable{Kind: spec.DriverSystemd, Reason: "systemd isn't the first process of this machine (there is no /run/systemd/system)"}
	}
	return &drivers.Unavailable{
		Kind:   spec.DriverSystemd,
		Reason: fmt.Sprintf("user %s has no service manager running (there is no %s/systemd)", name, runtime),
		Remedy: "loginctl enable-linger " + name,
	}
}

func (e environment) all(paths ...string) []string {
	for i, p := range paths {
		paths[i] = e.at(p)
	}
	return paths
}

// dirs are all directories of unit files, the first wins.
func (s *scope) dirs() []string {
	all := append([]string{}, s.above...)
	return append(append(all, s.units), s.below...)
}

// control is the directory in which the manager keeps what SetUnitProperties changed until the next boot.
func (s *scope) control() string { return s.above[1] }

// file is where the unit file of ours for a unit is.
func (s *scope) file(unit string) string { return filepath.Join(s.units, unit) }
