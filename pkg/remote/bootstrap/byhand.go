package bootstrap

import (
	"cmp"
	"net"
	"strconv"
	"strings"

	"reconciler.dev/reconciler/pkg/remote/link"
)

// ssh is the command line by which a person has the host run that command; see ssh(1).
func (b *booter) ssh(command string) string {
	if b.Way == nil {
		return "ssh " + b.Host + " " + command
	}
	return "ssh " + byHand(*b.Way, "-p") + user(*b.Way) + b.Way.Address + " " + command
}

// scp is the command line by which a person copies a file to the host; see scp(1).
func (b *booter) scp(file, target string) string {
	if b.Way == nil {
		return "scp " + word(file) + " " + b.Host + ":" + target
	}
	address := b.Way.Address
	if strings.Contains(address, ":") {
		address = "[" + address + "]"
	}
	return "scp " + byHand(*b.Way, "-P") + word(file) + " " + user(*b.Way) + address + ":" + target
}

// byHand are the options of ssh, or of scp with its word for the port, by which it comes to a host that its configuration doesn't know.
func byHand(t link.Target, port string) string {
	var options []string
	if t.Port != 0 && t.Port != 22 {
		options = append(options, port, strconv.Itoa(t.Port))
	}
	if len(t.IdentityFiles) > 0 {
		options = append(options, "-i", word(t.IdentityFiles[0]))
	}
	var jumps []string
	for _, j := range t.Jumps {
		jumps = append(jumps, user(j)+net.JoinHostPort(j.Address, strconv.Itoa(cmp.Or(j.Port, 22))))
	}
	if len(jumps) > 0 {
		options = append(options, "-J", strings.Join(jumps, ","))
	}
	if len(options) == 0 {
		return ""
	}
	return strings.Join(options, " ") + " "
}

func user(t link.Target) string {
	if t.User == "" {
		return ""
	}
	return t.User + "@"
}

// word quotes what a shell wouldn't read as it stands.
func word(s string) string {
	if strings.ContainsAny(s, " \t\n'\"\\$`&;()<>|*?[]{}!#~") {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return s
}
