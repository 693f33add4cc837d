// Package sshlab makes hosts of labhost ones that an administrator reaches over SSH: a home with a key, a known_hosts and a configuration that names them, and on each
// host sshd with a key of its own and accounts that the administrator may use.
//
// It must never touch the home of whoever runs the tests, nor anything outside of the directory that it is given and the hosts.
package sshlab
