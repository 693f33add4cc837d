// Package sshconfig reads ssh_config(5) as OpenSSH's ssh does, and says what it comes to for one host. Load reads files, through an interface; everything after
// that is pure. Tests hold it against ssh -G.
//
// It must never run anything that a configuration names, look up a name in the network, or leave out in silence what it doesn't honour: that is in Notes.
package sshconfig

import (
	"fmt"
	"time"
)

// Settings is what the configuration comes to for one host. Names are expanded and files are paths as ssh would open them, so relative ones are relative to the
// working directory.
type Settings struct {
	// HostName is where to connect to, a name in lower case or an address; Port and User are never empty.
	HostName string
	Port     int
	User     string
	// IdentityFiles is nil where none is configured, and empty where the configuration says none.
	IdentityFiles    []string
	CertificateFiles []string
	IdentitiesOnly   bool
	// IdentityAgent is a socket; "none", for no agent; empty for that of SSH_AUTH_SOCK.
	IdentityAgent string
	// ProxyJump are the hosts to go through, the nearest first; empty for none.
	ProxyJump []Hop
	// ProxyCommand is the command that the configuration would have run to connect, as it is written; empty for none. It excludes ProxyJump.
	ProxyCommand string
	// UserKnownHostsFiles and GlobalKnownHostsFiles are ssh's own where the configuration has none, and empty where it says none.
	UserKnownHostsFiles   []string
	GlobalKnownHostsFiles []string
	HostKeyAlias          string
	// StrictHostKeyChecking is yes, accept-new, ask or no.
	StrictHostKeyChecking string
	// ConnectTimeout is 0 where there is none.
	ConnectTimeout time.Duration
	// ServerAliveInterval is 0 for no questions.
	ServerAliveInterval time.Duration
	ServerAliveCountMax int
	// RefuseConnection is why the host must not be connected to; empty where it may.
	RefuseConnection string
	// From is where a word that counts stands first, by the word in lower case. A setting that isn't in it is a default, or comes from the Query.
	From map[string]Place
	// Notes are what of the configuration for this host isn't done, in the order of the files.
	Notes []Note
}

// Hop is a host on the way. User is empty, and Port 0, where that host's own configuration is to say.
type Hop struct {
	User, Host string
	Port       int
}

// Place is a line of a file.
type Place struct {
	File string
	Line int
}

func (p Place) String() string { return fmt.Sprintf("%s:%d", p.File, p.Line) }

// Note says what of the configuration isn't done.
type Note struct {
	Place
	// Word is the keyword, or the criterion of a Match, as it is written.
	Word string
	// Why says what is done instead, as the end of a sentence that begins with the word.
	Why string
	// Minor marks what changes neither whether the host is reached nor how safely.
	Minor bool
}

func (n Note) String() string { return fmt.Sprintf("%s: %s %s", n.Place, n.Word, n.Why) }

// Query is the host that is asked about, with what is settled before the configuration is read, as by options of ssh.
type Query struct {
	// Host is the name that a person would give to ssh.
	Host string
	// Also are other names that Host and Match lines may know the host by. HostName counts only in blocks that match without them.
	Also []string
	// User and Port win over the configuration where they aren't empty or 0, and Match user sees the User.
	User string
	Port int
}

// Context is what the configuration may refer to, beside the host.
type Context struct {
	// User, UID and Home are those of the user whose configuration it is.
	User, UID, Home string
	// HostName is this machine's.
	HostName string
	// LookupEnv is os.LookupEnv, or like it; nil for no environment.
	LookupEnv func(name string) (string, bool)
	// HomeOf returns another user's home, for ~USER; nil where none is known.
	HomeOf func(user string) (home string, ok bool)
}
