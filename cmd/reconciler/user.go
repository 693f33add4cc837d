package main

import "os/user"

// user is who is asking, for what is remembered of a stop. Behind sudo it is who called sudo.
func (c *cli) user() string {
	if name := c.getenv("SUDO_USER"); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return ""
}
