package agent

import (
	"context"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/bpf"
)

// Flush has the sink told of what was touched before it: of the events that are
// in the kernel's buffer, as Sync does, and of the repeats that the kernel has
// counted since. It returns ctx's error if that is over before.
func (c *Core) Flush(ctx context.Context) error {
	snap, any := c.snapshot()
	if err := c.Sync(ctx); err != nil {
		return err
	}
	c.hurry(context.WithoutCancel(ctx))
	if any {
		c.settleEarly(context.WithoutCancel(ctx), snap)
	}
	return nil
}

// Owe has the accounts beside the kernel's counters leave out what the sink took
// and has not delivered, so that another process after this one, which can't have
// it from there, tells that touches are missing. The books themselves keep it, for
// this process to go on with: see Repay. It is for the time between two Runs.
func (c *Core) Owe(accesses []beesting.Access, gaps []beesting.Gap) {
	c.out.Lock()
	defer c.out.Unlock()
	less := map[uint64]bpf.Account{}
	change := func(p beesting.Placement, kind beesting.AccessKind, f func(a *bpf.Account, k bpf.Kind)) {
		id := uint64(p.ID)
		a, ok := less[id]
		if !ok {
			if _, err := c.sensor.Count(id); err != nil || !c.book.Known(id) {
				return // nobody counts it any more
			}
			a = c.book.Account(id)
		}
		for k := range bpf.Kind(bpf.Kinds) {
			if k.String() == string(kind) {
				f(&a, k)
			}
		}
		less[id] = a
	}
	for _, a := range accesses {
		change(a.Placement, a.Kind, func(to *bpf.Account, k bpf.Kind) {
			// What the kernel doesn't count is in no account.
			to.Coalesced[k] -= min(max(a.Count, 1)-1, to.Coalesced[k])
			to.Delivered[k] -= min(1, to.Delivered[k])
		})
	}
	for _, g := range gaps {
		change(g.Placement, g.Kind, func(to *bpf.Account, k bpf.Kind) { to.Lost[k] -= min(g.Count, to.Lost[k]) })
	}
	for id, a := range less {
		if err := c.sensor.SetAccount(id, a); err != nil {
			c.accountError("account of what is not delivered not kept", err)
			continue
		}
		c.owed[id] = c.book.Account(id)
	}
}

// Repay has the accounts say again what the books say.
func (c *Core) Repay() {
	c.out.Lock()
	defer c.out.Unlock()
	for id, whole := range c.owed {
		if err := c.sensor.SetAccount(id, whole); err != nil {
			c.accountError("account not kept", err)
		}
	}
	clear(c.owed)
}
