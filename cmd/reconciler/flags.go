package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// enum is a flag that takes one of a few words.
type enum struct {
	value string
	words []string
	hint  string // follows the error about a word that isn't one of them
}

func (e *enum) String() string { return e.value }
func (*enum) Type() string     { return "string" }

func (e *enum) Set(s string) error {
	if !slices.Contains(e.words, s) {
		return e.want()
	}
	e.value = s
	return nil
}

func (e *enum) want() error {
	words := slices.DeleteFunc(slices.Clone(e.words), func(w string) bool { return w == "" })
	return fmt.Errorf("write one of %s%s", strings.Join(words, ", "), e.hint)
}

// enumFlag adds a flag that takes one of words, the first being its default, and completes them.
func enumFlag(cmd *cobra.Command, name, short, usage string, words ...string) *enum {
	e := &enum{value: words[0], words: words}
	cmd.Flags().VarP(e, name, short, usage+": "+strings.Join(slices.DeleteFunc(slices.Clone(words), func(w string) bool { return w == "" }), "|"))
	complete(cmd, name, words)
	return e
}

func complete(cmd *cobra.Command, flag string, words []string) {
	// The only error is that the flag doesn't exist, which the tests of completion would show.
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

// The ways of a dry run.
const (
	dryNone   = "none"
	dryClient = "client"
	dryServer = "server"
)

func dryRunFlag(cmd *cobra.Command) *enum {
	e := &enum{value: dryNone, words: []string{dryNone, dryClient, dryServer},
		hint: ": client checks the manifests alone, server also looks at the host and says what would be done, none does it"}
	cmd.Flags().Var(e, "dry-run", "change nothing: none|client|server (client reads only the manifests, server looks at the host too)")
	complete(cmd, "dry-run", e.words)
	return e
}

// grace is a length of time as kubectl's --grace-period has it (whole seconds), or as Go writes it. Unset where d is nil.
type grace struct{ d *time.Duration }

func (g *grace) String() string {
	if g.d == nil {
		return ""
	}
	return g.d.String()
}
func (*grace) Type() string { return "duration" }

func (g *grace) Set(s string) error {
	d, err := parseSeconds(s)
	if err != nil || d < 0 {
		return fmt.Errorf("%q is no length of time: write seconds or a duration, as in 30 or 1m30s", s)
	}
	g.d = &d
	return nil
}

// seconds is a duration flag that also takes a bare number of seconds, and may be negative.
type seconds time.Duration

func (s *seconds) String() string { return time.Duration(*s).String() }
func (*seconds) Type() string     { return "duration" }

func (s *seconds) Set(v string) error {
	d, err := parseSeconds(v)
	if err != nil {
		return fmt.Errorf("%q is no length of time: write seconds or a duration, as in 30 or 1m30s", v)
	}
	*s = seconds(d)
	return nil
}

func parseSeconds(s string) (time.Duration, error) {
	if n, err := strconv.ParseInt(s, 10, 32); err == nil {
		return time.Duration(n) * time.Second, nil
	}
	return time.ParseDuration(s)
}

// week is what a negative timeout means, as kubectl has it.
const week = 7 * 24 * time.Hour

// timeoutFlag adds --timeout. What 0 means is the verb's to say in usage.
func timeoutFlag(cmd *cobra.Command, d time.Duration, usage string) *seconds {
	s := seconds(d)
	cmd.Flags().Var(&s, "timeout", usage)
	return &s
}

// limit is a timeout as the engine takes it: a week where it is negative.
func limit(s seconds) time.Duration {
	if s < 0 {
		return week
	}
	return time.Duration(s)
}

// setFlag adds --set, the owner set that a verb acts for.
func setFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("set", "default", "the owner set to act for; prune never looks beyond it")
}
