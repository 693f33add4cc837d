package spec

// HostKind is the kind of a document that declares a host.
const HostKind = "Host"

// Host declares a machine that daemons run on, and how it is reached over SSH. What it leaves out comes from ssh_config(5), then from ssh's defaults.
type Host struct {
	// APIVersion is always reconciler.dev/v1.
	APIVersion string `json:"apiVersion" required:"true"`
	// Kind is always Host.
	Kind string `json:"kind" required:"true"`
	// Metadata names the host, and has the labels that a daemon's hostSelector matches.
	Metadata Metadata `json:"metadata" required:"true"`
	// Spec is how the host is reached, and what is peculiar to it.
	Spec HostSpec `json:"spec,omitzero"`
}

// HostSpec is how a host is reached, and what is peculiar to it. Nothing in it is part of a daemon: a change restarts none.
type HostSpec struct {
	// Address is a DNS name, an IP address, or a name in ~/.ssh/config. Omitted: metadata.name.
	Address string `json:"address,omitempty"`
	// Port is sshd's. Omitted: what ssh would use.
	Port int `json:"port,omitempty" min:"1" max:"65535"`
	// User is the account to log in to. Omitted: whom ssh would use.
	User string `json:"user,omitempty"`
	// IdentityFile is the key to log in with: an absolute path, one that begins with ~/, or one relative to the manifest. Omitted: those
	// of the agent, and what ssh would use.
	IdentityFile string `json:"identityFile,omitempty"`
	// ProxyJump are the hosts to go through, each a Host's name, a name in ~/.ssh/config or [USER@]ADDRESS[:PORT], with commas
	// between them; none for no host. Omitted: as ssh would go.
	ProxyJump string `json:"proxyJump,omitempty"`
	// HostKey is the one key that the host may have, as "ssh-ed25519 AAAA..."; known_hosts isn't asked then.
	HostKey string `json:"hostKey,omitempty"`
	// KnownHosts is the one known_hosts file that the host's key is looked up in, with a path like that of identityFile. Omitted: ssh's.
	KnownHosts string `json:"knownHosts,omitempty"`
	// Sudo has daemons run as root's, by sudo(8), which must not ask for a password.
	Sudo bool `json:"sudo,omitempty"`
	// Agent is the program that acts for reconciler on the host.
	Agent HostAgent `json:"agent,omitzero"`
	// Driver is what a daemon gets on this host whose manifest says auto, where the host has it. Default: auto.
	Driver DriverKind `json:"driver,omitempty"`
	// Concurrency is how many daemons may be in the middle of a start or a stop at a time on this host, and how many may be checked at a time. Omitted: 16 are worked on, not counting those that only take
	// their time to end, and 64 are checked.
	Concurrency int `json:"concurrency,omitempty" min:"1" max:"1000"`
}

// HostAgent is the program that acts for reconciler on a host: reconciler itself, started anew for each connection.
type HostAgent struct {
	// Install is auto, which copies it to the host where it isn't there, or never. Default: auto.
	Install AgentInstall `json:"install,omitempty"`
	// Path is where it is on the host, absolute. Omitted: in ~/.cache/reconciler/agents, by its content.
	Path string `json:"path,omitempty"`
}

// AgentInstall says whether an agent may be copied to a host.
type AgentInstall string

// The ways to get an agent.
const (
	InstallAuto  AgentInstall = "auto"
	InstallNever AgentInstall = "never"
)

// HostSelector chooses hosts by their labels. A daemon with one runs on each of them, one copy on each.
type HostSelector struct {
	// MatchLabels are labels that a host must have, all of them. Written as {} it chooses every host that is declared.
	MatchLabels map[string]string `json:"matchLabels" required:"true"`
}
