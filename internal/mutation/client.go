package main

// Package sqllock: Client, Lock, Set, the queue in front of the database, Work.
var clientDefects = []defect{
	{
		name: "client/freed-before-it-is-over",
		harm: "Err and the contexts say held while the next process holds the lock already",
		file: "sqllock/lock.go",
		old: `	if !l.begin() {
		if err := l.Err(); errors.Is(err, ErrLost) {
			return err
		}
		return nil
	}
	c := l.client
	traced := c.cfg.tracer.TraceReleaseStart(ctx, ReleaseStart{Name: l.req.Name, Token: l.Token(), Held: l.heldFor()})
	s := singles.Get().(*single)
	c.session.Release(c.patience.context(), l.hold[:], s.answer[:])
`,
		new: `	if err := l.Err(); err != nil {
		if errors.Is(err, ErrLost) {
			return err
		}
		return nil
	}
	c := l.client
	traced := c.cfg.tracer.TraceReleaseStart(ctx, ReleaseStart{Name: l.req.Name, Token: l.Token(), Held: l.heldFor()})
	s := singles.Get().(*single)
	c.session.Release(c.patience.context(), l.hold[:], s.answer[:])
	l.finish(ErrReleased)
`,
		pkg: "./sqllock", run: "TestLockIsOverBeforeTheDatabaseIsTold",
	},
	{
		name: "client/release-bounded-by-the-caller",
		harm: "a deferred Release after a cancelled context leaves the lock to be freed at some later time, unseen",
		file: "sqllock/lock.go",
		old:  "c.session.Release(c.patience.context(), l.hold[:], s.answer[:])",
		new:  "c.session.Release(ctx, l.hold[:], s.answer[:])",
		pkg:  "./sqllock", run: "TestReleaseReachesTheDatabaseWhateverBecomesOfTheCaller",
	},
	{
		name: "client/err-does-not-ask-the-backend",
		harm: "a lease that has run out is held until a timer fires",
		file: "sqllock/lock.go",
		old:  "if err := l.hold[0].Err(); err != nil {\n\t\tl.finish(l.reason(err))",
		new:  "if err := l.hold[0].Err(); err != nil && l.req.Name == \"\" {\n\t\tl.finish(l.reason(err))",
		pkg:  "./sqllock", run: "TestErrFindsOutByItself",
	},
	{
		name: "client/loss-during-acquire-missed",
		harm: "a lock that was lost before Acquire returned is never told to be",
		file: "sqllock/lock.go",
		old:  "\tif end != nil {\n\t\tl.client.queue.release(&l.ticket)\n\t\treturn end\n\t}\n\treturn nil\n}\n\n// heldFor",
		new:  "\tif end != nil {\n\t\tl.client.queue.release(&l.ticket)\n\t}\n\treturn nil\n}\n\n// heldFor",
		pkg:  "./sqllock", run: "TestLossDuringAcquire",
	},
	{
		name: "client/loss-keeps-the-line-closed",
		harm: "after a loss nobody in this process gets the name again",
		file: "sqllock/lock.go",
		old:  "\t\treturn true\n\t}\n\tl.client.queue.release(&l.ticket)\n\tif errors.Is(err, ErrLost) {",
		new:  "\t\treturn true\n\t}\n\tif errors.Is(err, ErrLost) {",
		pkg:  "./sqllock", run: "TestSetWhoseMemberIsLostMeanwhileIsNotHad",
	},
	{
		name: "client/release-keeps-the-line-closed",
		harm: "goroutines of one process wait for ever for what another has released",
		file: "sqllock/lock.go",
		old:  "\tl.client.queue.release(&l.ticket)\n\tif errors.Is(err, ErrLost) {\n\t\tlost := l.reason(err)",
		new:  "\tif errors.Is(err, ErrLost) {\n\t\tlost := l.reason(err)",
		pkg:  "./sqllock", run: "TestReleaseThatFindsTheLockGoneSaysSo",
	},
	{
		name: "client/release-of-a-lost-lock-succeeds",
		harm: "who worked without the lock is told that all went well",
		file: "sqllock/lock.go",
		old:  "\t\tl.end = lost\n\t\tl.mu.Unlock()\n\t\treturn lost\n",
		new:  "\t\tl.end = lost\n\t\tl.mu.Unlock()\n\t\treturn nil\n",
		pkg:  "./sqllock", run: "TestReleaseThatFindsTheLockGoneSaysSo",
	},
	{
		name: "client/do-releases-only-without-a-panic",
		harm: "a panic leaves the name locked for as long as the process lives",
		file: "sqllock/acquire.go",
		old:  "\tdefer func() {\n\t\tcancel()\n\t\terr = errors.Join(err, l.conclude(ctx))\n\t}()\n\treturn fn(held)\n",
		new:  "\terr = fn(held)\n\tcancel()\n\treturn errors.Join(err, l.Release(ctx))\n",
		pkg:  "./sqllock", run: "TestDoReleasesWhateverHappens",
	},
	{
		name: "client/do-hides-the-loss",
		harm: "work that was done without the lock is reported as done under it",
		file: "sqllock/acquire.go",
		old:  "\t\tcancel()\n\t\terr = errors.Join(err, l.conclude(ctx))\n",
		new:  "\t\tcancel()\n\t\t_ = l.Release(ctx)\n",
		pkg:  "./sqllock", run: "TestDoTellsOfTheLoss",
	},
	{
		name: "client/do-hides-the-close",
		harm: "work that went on after the Client was closed, while others could have the lock, is reported as done under it",
		file: "sqllock/lock.go",
		old:  "if closed := l.Err(); errors.Is(closed, ErrClosed) {",
		new:  "if closed := l.Err(); false {",
		pkg:  "./sqllock", run: "TestDoTellsThatTheClientWasClosed",
	},
	{
		name: "client/late-request-is-refused",
		harm: "who asks when there is no time left is told that somebody holds the lock",
		file: "sqllock/acquire.go",
		old:  "\t\treturn fmt.Errorf(\"sqllock: lock %q was not asked for: %w\", l.req.Name, cause)\n",
		new:  "\t\treturn fmt.Errorf(\"%s: %w\", l.req.Name, (&HeldError{}).endedBy(cause))\n",
		pkg:  "./sqllock", run: "TestWhoAsksTooLateIsNotRefused",
	},
	{
		name: "client/work-forgets-why-it-ended",
		harm: "who ends Work by its context cannot tell that from a failure",
		file: "sqllock/worker.go",
		old:  "if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {",
		new:  "if cause := context.Cause(ctx); false {",
		pkg:  "./sqllock", run: "TestContextEndsWorkWhoseDatabaseFails",
	},
	{
		name: "client/waits-after-an-error",
		harm: "who cannot reach the database waits as if somebody held the lock",
		file: "sqllock/acquire.go",
		old:  "if held, ok := errors.AsType[*HeldError](r.Err); ok {",
		new:  "if held := (&HeldError{}); r.Err != nil {",
		pkg:  "./sqllock", run: "TestDatabaseErrorEndsTheWait",
	},
	{
		name: "client/try-asks-although-held-here",
		harm: "a backend whose locks are re-entrant within a connection grants a name twice to one process",
		file: "sqllock/queue.go",
		old:  "\tif !l.admits(t.mode, t.permits) {\n\t\tq.advance(t.key, l)\n\t\treturn false, nil\n\t}\n",
		new:  "",
		pkg:  "./sqllock", run: "TestWhatThisProcessHoldsNeedsNoDatabase",
	},
	{
		name: "client/line-lets-a-writer-beside-readers",
		harm: "a goroutine writes while others of the process read",
		file: "sqllock/queue.go",
		old:  "return x+s+p == 0",
		new:  "return x == 0",
		pkg:  "./sqllock", run: "TestReaderDoesNotOvertakeAWriterInLine",
	},
	{
		name: "client/one-permit-too-many",
		harm: "n+1 goroutines of one process have one of n permits",
		file: "sqllock/queue.go",
		old:  "x+s == 0 && p < permits",
		new:  "x+s == 0 && p <= permits",
		pkg:  "./sqllock", run: "TestPermitsAreCounted",
	},
	{
		name: "client/newcomers-overtake-the-line",
		harm: "a goroutine that waits is overtaken for ever by others of its process",
		file: "sqllock/queue.go",
		old:  "if l.attempt == nil && len(l.waiting) == 0 && l.admits(t.mode, t.permits) {",
		new:  "if l.attempt == nil && l.admits(t.mode, t.permits) {",
		pkg:  "./sqllock", run: "TestReaderDoesNotOvertakeAWriterInLine",
	},
	{
		name: "client/turn-not-passed-on",
		harm: "everybody behind a goroutine that gave up at the wrong moment waits for ever",
		file: "sqllock/queue.go",
		old:  "pass it on\n\t\tl.attempt = nil\n",
		new:  "pass it on\n",
		pkg:  "./sqllock", run: "TestTurnOfOneWhoLeavesAtThatInstantIsPassedOn", hangs: true,
	},
	{
		name: "client/failed-attempt-keeps-the-line",
		harm: "after one error everybody of the process who wants the name waits for ever",
		file: "sqllock/acquire.go",
		old:  "\t\tc.queue.leave(&l.ticket)\n",
		new:  "",
		pkg:  "./sqllock", run: "TestDatabaseErrorEndsTheWait",
	},
	{
		name: "client/close-forgets-who-waits-in-line",
		harm: "goroutines that wait are not ended by Close",
		file: "sqllock/client.go",
		old:  "\tc.queue.close()\n",
		new:  "",
		pkg:  "./sqllock", run: "TestCloseEndsTheLineBeforeTheDatabaseAnswers", hangs: true,
	},
	{
		name: "client/set-without-an-order",
		harm: "two sets of the same names wait for each other for ever",
		file: "sqllock/set.go",
		old:  "\ta := &assembly{client: c,",
		new:  "\tslices.SortFunc(locks, func(a, b *Lock) int { return slices.Index(names, a.req.Name) - slices.Index(names, b.req.Name) })\n\ta := &assembly{client: c,",
		pkg:  "./sqllock", run: "TestSetIsInTheOrderOfItsKeys",
	},
	{
		name: "client/set-keeps-what-lies-beyond",
		harm: "sets hold names out of order, and wait for each other for ever",
		file: "sqllock/set.go",
		old:  "if len(beyond) > 0 {",
		new:  "if len(beyond) > len(missing) {",
		pkg:  "./sqllock", run: "TestSetGivesBackWhatLiesBeyondTheFirstRefusal",
	},
	{
		name: "client/failed-set-keeps-members",
		harm: "an AcquireAll that fails leaves names locked",
		file: "sqllock/set.go",
		old:  "err = errors.Join(err, a.giveBack(ctx))",
		new:  "err = errors.Join(err, nil)",
		pkg:  "./sqllock", run: "TestSetThatCannotBeHadLeavesNothing",
	},
	{
		name: "client/set-outlives-a-member",
		harm: "a set of which one lock is lost goes on",
		file: "sqllock/set.go",
		old:  "\tfor _, l := range s.locks {\n\t\tif err := l.Err(); err != nil {",
		new:  "\tfor _, l := range s.locks[:1] {\n\t\tif err := l.Err(); err != nil {",
		pkg:  "./sqllock", run: "TestSetEndsWithAnyMember",
	},
	{
		name: "client/lost-member-while-gathering",
		harm: "AcquireAll returns a set of which one lock was lost while it waited for another",
		file: "sqllock/set.go",
		old:  "\tfor _, l := range a.locks {\n\t\tif err := l.Err(); err != nil {\n\t\t\treturn err\n\t\t}\n\t}\n\treturn nil",
		new:  "\treturn nil",
		pkg:  "./sqllock", run: "TestSetWhoseMemberIsLostMeanwhileIsNotHad",
	},
	{
		name: "client/work-done-without-the-lock",
		harm: "Work ends although another process may have interfered with its last run",
		file: "sqllock/worker.go",
		old:  "err == nil && !errors.Is(end, ErrLost)",
		new:  "err == nil",
		pkg:  "./sqllock", run: "TestWorkGoesOnAfterALoss",
	},
	{
		name: "client/work-holds-while-it-pauses",
		harm: "when a worker fails nobody takes its place",
		file: "sqllock/worker.go",
		old:  "\t\tend := l.conclude(ctx)\n",
		new:  "\t\tend := l.Err()\n",
		pkg:  "./sqllock", run: "TestWorkIsFreeForOthersWhileItPauses", hangs: true,
	},
	{
		name: "client/work-repeats-the-hopeless",
		harm: "a worker whose tables are missing tries for ever instead of saying so",
		file: "sqllock/worker.go",
		old:  "errors.Is(err, ErrUnsupported) || errors.Is(err, ErrSchema)",
		new:  "errors.Is(err, ErrUnsupported)",
		pkg:  "./sqllock", run: "TestWorkThatIsHopelessEndsAtOnce",
	},
	{
		name: "client/names-with-a-zero-byte",
		harm: "two namespaces share locks: the zero byte keeps namespace and name apart in keys",
		file: "sqllock/name.go",
		old:  "utf8.ValidString(s) && strings.IndexByte(s, 0) < 0",
		new:  "utf8.ValidString(s) && strings.IndexByte(s, 0) != 0",
		pkg:  "./sqllock", run: "TestWhatCannotWorkIsRefusedBeforeTheBackendSeesIt",
	},
	{
		name: "client/contexts-outlive-the-loss",
		harm: "work whose context should have ended goes on without the lock",
		file: "sqllock/lock.go",
		old:  "\tfor _, h := range hooks {\n\t\th.f(err)\n\t}\n",
		new:  "\tfor _, h := range hooks[:0] {\n\t\th.f(err)\n\t}\n",
		pkg:  "./sqllock", run: "TestLossReachesEverybodyWhoAsks",
	},
}
