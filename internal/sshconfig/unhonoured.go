package sshconfig

import (
	"slices"
	"strings"
)

// other is a keyword of ssh's that isn't honoured.
type other struct {
	words string
	// why ends the sentence that begins with the word; empty where there is nothing to say, because it is about what a link without a terminal doesn't have,
	// or about what ssh shows.
	why   string
	minor bool
	// unless are the arguments that ask for what is done anyway.
	unless string
}

func others() []other {
	return []other{
		{words: "addkeystoagent", why: "isn't done: no key is added to an agent", minor: true, unless: "no false"},
		{words: "addressfamily", why: "isn't honoured: IPv4 and IPv6 are both tried", unless: "any"},
		{words: "batchmode", why: "isn't honoured: the passphrase of a key is asked where there is a terminal", minor: true, unless: "no false"},
		{words: "bindaddress bindinterface", why: "isn't honoured: the system chooses the address that a connection leaves from"},
		{words: "canonicalizehostname", why: "isn't honoured: no domain is added to names; write HostName", unless: "no false"},
		{words: "canonicalizepermittedcnames", why: "isn't honoured: names are used as they are; write HostName", unless: "none"},
		{words: "casignaturealgorithms ciphers hostkeyalgorithms kexalgorithms macs pubkeyacceptedalgorithms pubkeyacceptedkeytypes requiredrsasize rekeylimit",
			why: "isn't honoured: the safe algorithms of Go's SSH library are offered, and those of known host keys first"},
		{words: "checkhostip", why: "isn't honoured: a host is known by its name alone", minor: true, unless: "no false"},
		{words: "compression", why: "isn't honoured: the link isn't compressed", minor: true, unless: "no"},
		{words: "connectionattempts", why: "isn't honoured: reconciler has its own times for trying again", minor: true, unless: "1"},
		{words: "dynamicforward localforward remoteforward", why: "isn't done: no port is forwarded", minor: true},
		{words: "forwardagent", why: "isn't done: an agent is never forwarded", minor: true, unless: "no false"},
		{words: "forwardx11 tunnel", why: "isn't done: nothing is forwarded", minor: true, unless: "no false"},
		{words: "gssapiauthentication hostbasedauthentication", why: "isn't done: keys and certificates are what it logs in with", minor: true, unless: "no false"},
		{words: "hashknownhosts", why: "isn't honoured: a new host is remembered by its name", minor: true, unless: "no false"},
		{words: "knownhostscommand", why: "isn't run: put the host's key into a known_hosts file, or into hostKey of a Host", unless: "none"},
		{words: "localcommand remotecommand", why: "isn't run", minor: true, unless: "none"},
		{words: "nohostauthenticationforlocalhost", why: "isn't honoured: host keys are always verified", unless: "no false"},
		{words: "pkcs11provider smartcarddevice securitykeyprovider", why: "isn't loaded: keys on a token are used through an agent that has them", unless: "none"},
		{words: "preferredauthentications", why: "isn't honoured: keys and certificates are what it logs in with", minor: true, unless: "publickey"},
		{words: "pubkeyauthentication", why: "isn't honoured: keys and certificates are what it logs in with", unless: "yes true unbound host-bound"},
		{words: "revokedhostkeys", why: "isn't read: mark the keys in it as @revoked in a known_hosts file", unless: "none"},
		{words: "sendenv setenv", why: "isn't done: daemons have the environment of their manifest", minor: true},
		{words: "updatehostkeys", why: "isn't done: only a key that was verified is remembered", minor: true, unless: "no false"},
		{words: "usekeychain", why: "isn't done: passphrases are asked, or an agent has the keys", minor: true, unless: "no"},
		{words: "verifyhostkeydns", why: "isn't done: a key in DNS isn't trusted", unless: "no false"},

		{words: "canonicaldomains canonicalizefallbacklocal canonicalizemaxdots clearallforwardings controlmaster controlpath controlpersist escapechar"},
		{words: "enableescapecommandline enablesshkeysign exitonforwardfailure fingerprinthash forkafterauthentication forwardx11timeout forwardx11trusted"},
		{words: "gssapiclientidentity gssapidelegatecredentials gssapikexalgorithms gssapikeyexchange gssapirenewalforcesrekey gssapiserveridentity gssapitrustdns"},
		{words: "gatewayports hostbasedacceptedalgorithms hostbasedkeytypes ipqos kbdinteractiveauthentication keepalive"},
		{words: "kbdinteractivedevices challengeresponseauthentication skeyauthentication tisauthentication loglevel logverbose numberofpasswordprompts"},
		{words: "passwordauthentication permitlocalcommand permitremoteopen proxyusefdpass requesttty sessiontype stdinnull streamlocalbindmask"},
		{words: "streamlocalbindunlink syslogfacility tcpkeepalive tunneldevice visualhostkey xauthlocation dsaauthentication"},
		{words: "channeltimeout obscurekeystroketiming tag versionaddendum warnweakcrypto ignoreunknown"},
		{words: "protocol cipher fallbacktorsh globalknownhostsfile2 rhostsauthentication userknownhostsfile2 useroaming usersh useprivilegedport"},
		{words: "afstokenpassing kerberosauthentication kerberostgtpassing rsaauthentication rhostsrsaauthentication compressionlevel"},
	}
}

// noteOn returns what there is to say of a line whose keyword isn't honoured; ok is false where that is nothing.
func (l line) noteOn(ignoreUnknown string) (n Note, ok bool) {
	n = Note{Place: l.place, Word: l.word}
	name := strings.ToLower(l.word)
	i := slices.IndexFunc(others(), func(o other) bool { return slices.Contains(strings.Fields(o.words), name) })
	if i < 0 {
		n.Why = "isn't understood, and has no effect"
		return n, matchList(name, strings.ToLower(ignoreUnknown)) <= 0
	}
	o := others()[i]
	n.Why, n.Minor = o.why, o.minor
	if len(l.args) > 0 && slices.Contains(strings.Fields(o.unless), strings.ToLower(l.args[0])) {
		return n, false
	}
	return n, o.why != ""
}
