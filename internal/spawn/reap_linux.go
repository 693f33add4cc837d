package spawn

// Reap sees to a process that nobody waits for: once it has ended, its status is taken and its descriptor closed. p is not the caller's any more.
func (s *Spawner) Reap(p Process) {
	_, err := s.ends.Add(p.FD, func() {
		p.FD.Status(p.PID, false)
		p.FD.Close()
	})
	if err != nil {
		p.FD.Close() // it stays a zombie until this process ends
	}
}
