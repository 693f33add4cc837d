package link

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"reconciler.dev/reconciler/internal/plaintext"
)

// prove chooses what to offer next. Each key is a method of its own, so that one that can't sign after all doesn't rule out the others.
func (h *hop) prove(ctx context.Context, state *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
	if h.identities == nil {
		h.identities = h.dialer.identities(ctx, h.target)
	}
	ids := h.identities
	ids.methods = state.AllowedMethods
	ids.partly = len(state.PartialSuccessMethods) > 0
	if !slices.Contains(state.AllowedMethods, "publickey") {
		return nil, nil
	}
	for ids.next < len(ids.all) {
		id := ids.all[ids.next]
		ids.next++
		if err := id.settle(ctx, h.limit); err == nil {
			return ssh.PublicKeys(&offer{id, func() (ssh.Signer, error) { return id.signer(ctx, h.limit) }}), nil
		}
	}
	return nil, nil
}

// identities are the keys to log in with, in the order in which they are offered, and what came of it.
type identities struct {
	all  []*identity
	next int
	// unused says of keys that weren't offered why not.
	unused  []string
	methods []string
	partly  bool
	agent   io.Closer
}

// identity is one key, or the certificate of one.
type identity struct {
	pub    ssh.PublicKey // nil until settled
	origin string
	signer func(ctx context.Context, limit *deadline) (ssh.Signer, error)
	failed error
}

// describe says where it comes from.
func (id *identity) describe() string {
	if _, ok := id.pub.(*ssh.Certificate); ok {
		return id.origin + ", certificate"
	}
	return id.origin
}

// settle finds out which key this is, where only its passphrase tells.
func (id *identity) settle(ctx context.Context, limit *deadline) error {
	if id.pub != nil {
		return nil
	}
	var signer ssh.Signer
	if signer, id.failed = id.signer(ctx, limit); id.failed != nil {
		return id.failed
	}
	id.pub = signer.PublicKey()
	return nil
}

// offer is an identity as a signer that finds its private key when the host has said that it would take it.
type offer struct {
	*identity
	private func() (ssh.Signer, error)
}

func (o *offer) PublicKey() ssh.PublicKey { return o.pub }

// Algorithms are those for the type of key that weren't broken.
func (o *offer) Algorithms() []string {
	pub := o.pub
	if cert, ok := pub.(*ssh.Certificate); ok {
		pub = cert.Key
	}
	if pub.Type() == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{pub.Type()}
}

func (o *offer) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return o.SignWithAlgorithm(rand, data, "")
}

func (o *offer) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (sig *ssh.Signature, err error) {
	defer func() { o.failed = err }()
	signer, err := o.private()
	if err != nil {
		return nil, err
	}
	if s, ok := signer.(ssh.AlgorithmSigner); ok && algorithm != "" {
		return s.SignWithAlgorithm(rand, data, algorithm)
	}
	return signer.Sign(rand, data)
}

// identities gathers the keys of a target: certificates first, then keys of the agent that the target names, the agent's others, and those of files. That is ssh's order;
// it matters, because sshd takes few tries (MaxAuthTries).
func (d *Dialer) identities(ctx context.Context, t Target) *identities {
	ids := &identities{}
	files := d.readKeyFiles(t, ids)
	held := ids.askAgent(ctx, d.agentSocket(t))
	named := func(pub ssh.PublicKey) bool {
		return slices.ContainsFunc(files, func(f keyFile) bool { return f.pub != nil && same(f.pub, plain(pub)) })
	}
	certs := ids.readCertificates(t, files)
	var mine, others, rest []*identity
	var bare []*identity
	for _, k := range held {
		id := &identity{pub: k.pub, origin: "agent", signer: func(context.Context, *deadline) (ssh.Signer, error) { return k.signer, nil }}
		_, certified := id.pub.(*ssh.Certificate)
		chosen := named(id.pub) || slices.ContainsFunc(certs, func(c certFile) bool { return same(c.cert.Key, plain(id.pub)) })
		switch {
		case certified && (chosen || !t.IdentitiesOnly):
			ids.all = append(ids.all, id)
		case chosen:
			mine = append(mine, id)
		case !t.IdentitiesOnly:
			others = append(others, id)
		}
		if !certified {
			bare = append(bare, id)
		}
	}
	for _, f := range files {
		if f.signer != nil {
			rest = append(rest, &identity{pub: f.pub, origin: f.path, signer: f.signer})
		}
	}
	for _, c := range certs {
		private := slices.IndexFunc(slices.Concat(bare, rest), func(id *identity) bool { return id.pub != nil && same(id.pub, c.cert.Key) })
		if private < 0 {
			ids.unused = append(ids.unused, c.path+" (there is no private key for it)")
			continue
		}
		ids.all = append(ids.all, certified(c, slices.Concat(bare, rest)[private]))
	}
	for _, id := range slices.Concat(mine, others, rest) {
		if id.pub == nil || !slices.ContainsFunc(ids.all, func(other *identity) bool { return other.pub != nil && same(other.pub, id.pub) }) {
			ids.all = append(ids.all, id)
		}
	}
	return ids
}

func plain(key ssh.PublicKey) ssh.PublicKey {
	if cert, ok := key.(*ssh.Certificate); ok {
		return cert.Key
	}
	return key
}

func same(a, b ssh.PublicKey) bool { return bytes.Equal(a.Marshal(), b.Marshal()) }

func (d *Dialer) readKeyFiles(t Target, ids *identities) (files []keyFile) {
	paths, chosen := t.IdentityFiles, true
	if paths == nil {
		paths, chosen = keyFiles(d.Home), false
	}
	for _, path := range paths {
		f, err := d.readKeyFile(path)
		if err != nil && (chosen || !errors.Is(err, fs.ErrNotExist)) {
			ids.unused = append(ids.unused, fmt.Sprintf("%s (%s)", path, reason(err)))
		}
		f.path = path
		files = append(files, f)
	}
	return files
}

// reason is err without the path, which stands before it already.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return plaintext.Line(err.Error(), 200)
}

func (ids *identities) askAgent(ctx context.Context, socket string) []agentKey {
	if socket == "" {
		return nil
	}
	keys, agent, err := agentKeys(ctx, socket)
	if err != nil {
		ids.unused = append(ids.unused, fmt.Sprintf("the agent at %s (%s)", socket, plaintext.Line(err.Error(), 200)))
		return nil
	}
	ids.agent = agent
	return keys
}

type certFile struct {
	path string
	cert *ssh.Certificate
}

func (ids *identities) readCertificates(t Target, files []keyFile) (certs []certFile) {
	add := func(path string, chosen bool) {
		cert, err := readCertificate(path)
		switch {
		case err == nil:
			if !slices.ContainsFunc(certs, func(c certFile) bool { return same(c.cert, cert) }) {
				certs = append(certs, certFile{path, cert})
			}
		case chosen || !errors.Is(err, fs.ErrNotExist):
			ids.unused = append(ids.unused, fmt.Sprintf("%s (%s)", path, reason(err)))
		}
	}
	for _, path := range t.CertificateFiles {
		add(path, true)
	}
	for _, f := range files {
		add(strings.TrimSuffix(f.path, ".pub")+"-cert.pub", false)
	}
	return certs
}

// certified is a certificate with the private key of id.
func certified(c certFile, id *identity) *identity {
	origin := c.path
	if before := c.cert.ValidBefore; before != ssh.CertTimeInfinity && before < uint64(time.Now().Unix()) {
		origin += ", expired on " + time.Unix(int64(before), 0).UTC().Format(time.RFC3339)
	}
	return &identity{pub: c.cert, origin: origin, signer: id.signer}
}

func (ids *identities) close() {
	if ids.agent != nil {
		_ = ids.agent.Close() // nobody signs any more
	}
}

// summary says what was offered and not taken, and what to do.
func (ids *identities) summary() string {
	if ids == nil {
		return "the login didn't begin"
	}
	var offered, failed []string
	for _, id := range ids.all[:ids.next] {
		switch {
		case id.failed != nil:
			failed = append(failed, fmt.Sprintf("%s (%s)", id.origin, plaintext.Line(id.failed.Error(), 200)))
		case id.pub != nil:
			offered = append(offered, fmt.Sprintf("%s (%s)", Fingerprint(id.pub), id.describe()))
		}
	}
	unused := append(failed, ids.unused...)
	var b strings.Builder
	switch {
	case ids.partly:
		fmt.Fprintf(&b, "it took a key and wants %s as well, which isn't done here", plaintext.Line(strings.Join(ids.methods, " or "), 100))
	case !slices.Contains(ids.methods, "publickey") && len(ids.methods) > 0 && len(offered) == 0:
		fmt.Fprintf(&b, "it takes no keys, only %s", plaintext.Line(strings.Join(ids.methods, " or "), 100))
	case len(offered) == 0:
		b.WriteString("there is no key to offer; name one with identityFile, or give one to the ssh-agent")
	default:
		fmt.Fprintf(&b, "it takes none of %s; add one to the account's authorized_keys there, or name another with identityFile", strings.Join(offered, ", "))
	}
	if len(unused) > 0 {
		fmt.Fprintf(&b, "; not used: %s", strings.Join(unused, ", "))
	}
	return b.String()
}
