package spec

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode"
)

// hostWord is a host as a manifest names it, [USER@]ADDRESS[:PORT], in its parts. The address may be a name that is known elsewhere.
type hostWord struct{ user, address, port string }

// parseHostWord reads one. An IPv6 address needs brackets where a port follows, as in [fd00::1]:22.
func parseHostWord(text string) (hostWord, error) {
	if err := checkHostText(text); err != nil {
		return hostWord{}, err
	}
	var w hostWord
	rest := text
	if at := strings.LastIndexByte(text, '@'); at >= 0 {
		if w.user, rest = text[:at], text[at+1:]; w.user == "" {
			return w, errors.New("there is no user before the @")
		}
	}
	if w.address = rest; !isAddress(rest) {
		if err := w.cutPort(rest); err != nil {
			return w, err
		}
	}
	switch {
	case w.address == "":
		return w, errors.New("there is no address in it: write [USER@]ADDRESS[:PORT]")
	case w.user != "" && w.user[0] == '-' || w.address[0] == '-':
		return w, errors.New("no user and no address begins with '-'")
	}
	return w, nil
}

// cutPort reads ADDRESS[:PORT] or [ADDRESS][:PORT].
func (w *hostWord) cutPort(text string) error {
	var hasPort bool
	if inner, bracketed := strings.CutPrefix(text, "["); bracketed {
		after, closed := "", false
		if w.address, after, closed = strings.Cut(inner, "]"); !closed || after != "" && after[0] != ':' || !isAddress(w.address) {
			return errors.New("brackets stand around an IPv6 address, as in [fd00::1]:22")
		}
		_, w.port, hasPort = strings.Cut(after, ":")
	} else if w.address, w.port, hasPort = strings.Cut(text, ":"); strings.Contains(w.port, ":") {
		return errors.New("with several ':' it should be an IPv6 address, and isn't: write ADDRESS:PORT, or [fd00::1]:PORT")
	}
	if hasPort && !isPort(w.port) {
		return fmt.Errorf("%q is no port: it is a number from 1 to 65535", w.port)
	}
	return nil
}

// checkHostText checks what holds for all that ends up in the way to a host: one word that no program could take for an option or for two.
func checkHostText(text string) error {
	switch {
	case text == "":
		return errors.New("it is empty")
	case len(text) > 320:
		return errors.New("it has more than 320 characters")
	case strings.HasPrefix(text, "ssh://"):
		return errors.New("leave ssh:// out: write [USER@]ADDRESS[:PORT]")
	case text[0] == '-':
		return errors.New("no user and no address begins with '-'")
	}
	for _, r := range text {
		if !unicode.IsGraphic(r) || unicode.IsSpace(r) || strings.ContainsRune("'\"`\\/,;#$&|<>(){}*?!", r) {
			return fmt.Errorf("%q can't be in it", r)
		}
	}
	return nil
}

// isAddress tells numeric addresses from names. The zone of one is the name of a network interface, and has no brackets.
func isAddress(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && !strings.ContainsAny(a.Zone(), "[]")
}
