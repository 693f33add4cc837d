package link

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// KnownKey is a key that a known_hosts file, or a Host's own declaration, tells of a host.
type KnownKey struct {
	// Type and Fingerprint are as in Fingerprint: ssh-ed25519 and SHA256:….
	Type, Fingerprint string
	// File and Line are where it stands; File is empty for a key that the Target gives.
	File string
	Line int

	blob []byte // as in RFC 4253, section 6.6
}

func (k KnownKey) String() string {
	if k.File == "" {
		return fmt.Sprintf("%s %s (its hostKey)", k.Type, k.Fingerprint)
	}
	return fmt.Sprintf("%s %s (%s:%d)", k.Type, k.Fingerprint, k.File, k.Line)
}

func knownKey(kind string, blob []byte, file string, line int) KnownKey {
	sum := sha256.Sum256(blob)
	return KnownKey{Type: kind, Fingerprint: "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:]), File: file, Line: line, blob: blob}
}

func (k KnownKey) is(key ssh.PublicKey) bool { return bytes.Equal(k.blob, key.Marshal()) }

// known is what is known of one host.
type known struct {
	keys, authorities, revoked []KnownKey
	// elsewhere are its keys at port 22, where none is known for the port that is meant. As with ssh, one of them will do, and another isn't a changed one.
	elsewhere []KnownKey
}

// read adds what a known_hosts file tells of a host of that name: see "SSH_KNOWN_HOSTS FILE FORMAT" in sshd(8). What is revoked is revoked for every host. Lines
// that aren't understood tell nothing, as they do to ssh.
func (k *known) read(text []byte, file, name string) {
	n := 0
	for line := range bytes.Lines(text) {
		n++
		fields := strings.Fields(string(line))
		if len(fields) == 0 || fields[0][0] == '#' {
			continue
		}
		marker := ""
		if fields[0][0] == '@' {
			marker, fields = fields[0], fields[1:]
		}
		if len(fields) < 3 || marker != "@revoked" && !namedBy(fields[0], name) {
			continue
		}
		blob, err := base64.StdEncoding.DecodeString(fields[2])
		if err != nil || !isOfType(blob, fields[1]) {
			continue
		}
		key := knownKey(fields[1], blob, file, n)
		switch marker {
		case "":
			k.keys = append(k.keys, key)
		case "@cert-authority":
			k.authorities = append(k.authorities, key)
		case "@revoked":
			k.revoked = append(k.revoked, key)
		}
	}
}

// isOfType tells whether a key begins with the name of its type, as RFC 4253, section 6.6 demands.
func isOfType(blob []byte, kind string) bool {
	if len(blob) < 4 {
		return false
	}
	size := int(blob[0])<<24 | int(blob[1])<<16 | int(blob[2])<<8 | int(blob[3])
	return size == len(kind) && len(blob) > 4+size && string(blob[4:4+size]) == kind
}

// hostName is what a host is called in known_hosts.
func hostName(address string, port int, alias string) string {
	switch {
	case alias != "":
		return strings.ToLower(alias)
	case port == 0 || port == 22:
		return strings.ToLower(address)
	}
	return "[" + strings.ToLower(address) + "]:" + strconv.Itoa(port)
}

// namedBy tells whether a line's list of names is meant for a name: patterns with * and ?, those with ! before them ruled out, or one hashed name.
func namedBy(list, name string) bool {
	if strings.HasPrefix(list, "|") {
		return hashed(list, name)
	}
	found := false
	for p := range strings.SplitSeq(list, ",") {
		p, not := strings.CutPrefix(p, "!")
		if p == "" || !wild(strings.ToLower(p), name) {
			continue
		}
		if not {
			return false
		}
		found = true
	}
	return found
}

func hashed(list, name string) bool {
	parts := strings.Split(list, "|")
	if len(parts) != 4 || parts[1] != "1" {
		return false
	}
	salt, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil {
		return false
	}
	sum, err := base64.StdEncoding.DecodeString(parts[3])
	if err != nil {
		return false
	}
	mac := hmac.New(sha1.New, salt)
	mac.Write([]byte(name))
	return hmac.Equal(mac.Sum(nil), sum)
}

// wild matches a pattern of bytes, * for any number of them and ? for one, in time that grows with the product of the lengths at most.
func wild(pattern, s string) bool {
	p, i, star, back := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, back = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p, i = p+1, i+1
		case star >= 0:
			back++
			p, i = star+1, back
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// hostKeyAlgorithms pairs the types of keys with the algorithms that prove them, those first that are wanted first of a host of which nothing is known.
func hostKeyAlgorithms() []struct {
	kind        string
	plain, cert []string
} {
	return []struct {
		kind        string
		plain, cert []string
	}{
		{ssh.KeyAlgoED25519, []string{ssh.KeyAlgoED25519}, []string{ssh.CertAlgoED25519v01}},
		{ssh.KeyAlgoECDSA256, []string{ssh.KeyAlgoECDSA256}, []string{ssh.CertAlgoECDSA256v01}},
		{ssh.KeyAlgoECDSA384, []string{ssh.KeyAlgoECDSA384}, []string{ssh.CertAlgoECDSA384v01}},
		{ssh.KeyAlgoECDSA521, []string{ssh.KeyAlgoECDSA521}, []string{ssh.CertAlgoECDSA521v01}},
		{ssh.KeyAlgoRSA, []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}, []string{ssh.CertAlgoRSASHA512v01, ssh.CertAlgoRSASHA256v01}},
	}
}

// algorithms is the order in which to ask a host for its keys: certificates where an authority is known that may have made one, then the types that are known, so that
// a host with keys of several types shows the one that can be compared, then the others.
func (k known) algorithms() []string {
	var certs, first, rest []string
	for _, a := range hostKeyAlgorithms() {
		certs = append(certs, a.cert...)
		if slices.ContainsFunc(slices.Concat(k.keys, k.elsewhere), func(key KnownKey) bool { return key.Type == a.kind }) {
			first = append(first, a.plain...)
		} else {
			rest = append(rest, a.plain...)
		}
	}
	if len(k.authorities) == 0 {
		certs = nil
	}
	return slices.Concat(certs, first, rest)
}

// verdict is what a key is worth.
type verdict int

const (
	trusted verdict = iota
	unknown
	changed
	revoked
	badCertificate
)

// judge says what the key is worth that a host offered, and which known keys say so. principal is the host's name in certificates.
func (k known) judge(offered ssh.PublicKey, principal string, now time.Time) (v verdict, because []KnownKey, err error) {
	cert, certified := offered.(*ssh.Certificate)
	plain := offered
	if certified {
		plain = cert.Key
	}
	for _, r := range k.revoked {
		if r.is(offered) || r.is(plain) || certified && r.is(cert.SignatureKey) {
			return revoked, []KnownKey{r}, nil
		}
	}
	if certified {
		for _, a := range k.authorities {
			if a.is(cert.SignatureKey) {
				if err := certifies(cert, principal, now); err != nil {
					return badCertificate, []KnownKey{a}, err
				}
				return trusted, []KnownKey{a}, nil
			}
		}
	}
	for _, key := range slices.Concat(k.keys, k.elsewhere) {
		if key.is(plain) {
			return trusted, []KnownKey{key}, nil
		}
	}
	if len(k.keys) > 0 {
		return changed, k.keys, nil
	}
	return unknown, nil, nil
}

// certifies checks a host certificate for a name, as sshd(8) and PROTOCOL.certkeys say: names in it may be patterns.
func certifies(cert *ssh.Certificate, principal string, now time.Time) error {
	if cert.CertType != ssh.HostCert {
		return fmt.Errorf("it is no certificate of a host")
	}
	for _, p := range cert.ValidPrincipals {
		if wild(strings.ToLower(p), principal) {
			principal = p
			break
		}
	}
	return (&ssh.CertChecker{Clock: func() time.Time { return now }}).CheckCert(principal, cert)
}

// unbracket returns the host of a name of known_hosts.
func unbracket(name string) string {
	if host, _, err := net.SplitHostPort(name); err == nil && strings.HasPrefix(name, "[") {
		return host
	}
	return name
}
