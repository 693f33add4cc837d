package drivers

import (
	"fmt"

	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/internal/spawn"
	"reconciler.dev/reconciler/pkg/spec"
)

// still tells whether the process that was looked at is the daemon's: its number may have become another's meanwhile.
func still(o *spec.Observed) bool {
	st, err := procfs.ReadStat(o.Instance.PID)
	return err == nil && !st.Dead() && (o.Instance.StartTicks == 0 || st.Start == o.Instance.StartTicks)
}

// mayRun asks the kernel whether the account of a daemon may execute its program. What can't be told here the start will tell.
func mayRun(s *spec.Spec) error {
	account, become, err := spawn.LookupAccount(s.User, s.Group)
	if err != nil {
		return nil
	}
	var as *spawn.Account
	if become {
		as = account
	}
	if err := spawn.MayExecute(as, s.Binary); err != nil {
		return fmt.Errorf("spec.install: user %s can't execute %s (%w): look at install.mode and install.owner, and at the folders on the way: %w", account.Name, s.Binary, err, ErrPermanent)
	}
	return nil
}
