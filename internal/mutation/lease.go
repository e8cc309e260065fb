package main

// The engine that the lock tables share.
var leaseDefects = []defect{
	{
		name: "lease/deadline-after-reply",
		harm: "a renewal that took long makes the holder trust its lease for longer than the database keeps it: two holders",
		file: "internal/lease/session.go",
		old:  "if s.extend(sent) {",
		new:  "if s.extend(e.clock.Now()) {",
		pkg:  "./internal/lease", run: "TestSlowRenewalDoesNotExtendTrust",
	},
	{
		name: "lease/first-deadline-after-reply",
		harm: "a session that took long to open is trusted for longer than the database keeps it: two holders",
		file: "internal/lease/work.go",
		old:  "s.deadline.Store(int64(sent + ttl - margin(ttl)))",
		new:  "s.deadline.Store(int64(max(sent, e.clock.Now()) + ttl - margin(ttl)))",
		pkg:  "./internal/lease", run: "TestSlowOpenDoesNotExtendTrust",
	},
	{
		name: "lease/no-margin",
		harm: "clocks that run at slightly different rates let the next holder in before the last one knows",
		file: "internal/lease/session.go",
		old:  "time.Duration { return ttl / 10 }",
		new:  "time.Duration { return 0 * ttl }",
		pkg:  "./internal/lease", run: "TestHungRenewalDoesNotHideTheDeadline",
	},
	{
		name: "lease/err-trusts-the-timer",
		harm: "a process that was stopped past its TTL goes on as if it held the lock, until its timers have run",
		file: "internal/lease/session.go",
		old:  "if s.engine.clock.Now() < time.Duration(s.deadline.Load()) {",
		new:  "if s.deadline.Load() > 0 {",
		pkg:  "./internal/lease", run: "TestErrReadsTheClock",
	},
	{
		name: "lease/resurrection",
		harm: "a lock that was told to be lost is held again when a late renewal is confirmed",
		file: "internal/lease/session.go",
		old:  "\tif s.ended.Load() != nil {\n\t\treturn false\n\t}\n",
		new:  "\tif s.ended.Load() != nil {\n\t\ts.ended.Store(nil)\n\t}\n",
		pkg:  "./internal/lease", run: "TestLostIsSticky",
	},
	{
		name: "lease/eviction-taken-for-an-outage",
		harm: "a holder whose session is gone believes in its lock until the deadline, while others hold it",
		file: "internal/lease/session.go",
		old:  "case errors.Is(err, ErrGone):",
		new:  "case errors.Is(err, ErrGone) && left < 0:",
		pkg:  "./internal/lease", run: "TestEvictedSessionIsLostAtTheNextRenewal",
	},
	{
		name: "lease/stale-reconcile-not-repeated",
		harm: "after a reconcile whose answer was lost nothing is granted to the session any more",
		file: "internal/lease/work.go",
		old:  "if errors.Is(err, ErrStale) { // somebody",
		new:  "if false { // somebody",
		pkg:  "./internal/lease", run: "TestReconcileAfterALostReplySucceeds",
	},
	{
		name: "lease/given-back-and-told",
		harm: "AcquireAll takes the loss of what it gave back for that of its new grant, which then stays held for as long as the process lives",
		file: "sqllock/set.go",
		old:  "claims[i].req.Holder = &claims[i]",
		new:  "claims[i].req.Holder = (*holder)(l)",
		pkg:  "./internal/lease", run: "TestSetSurvivesTheLossOfWhatItGivesBack",
	},
	{
		name: "lease/loss-known-to-one-half",
		harm: "a lock that Verify called lost, and that was there after all, stays held for as long as the process lives",
		file: "internal/lease/engine.go",
		old:  "if h.gone == nil && h.session.holds[h.ref] == h {",
		new:  "if false {",
		pkg:  "./internal/lease", run: "TestLockThatVerifyCallsLostIsGivenUp",
	},
	{
		name: "lease/does-not-gather",
		harm: "a goroutine that was answered together with others misses the round trip that the first of them begins, each time",
		file: "internal/lease/gather.go",
		old:  "if answered < 2 {",
		new:  "if answered >= 0 {",
		pkg:  "./internal/lease", run: "TestWhoIsAnsweredTogetherTravelsTogether",
	},
	{
		name: "lease/renewal-without-a-limit",
		harm: "a renewal that hangs is not tried again before the lease ends, and the lock is lost without need",
		file: "internal/lease/session.go",
		old:  "return min(left, ttl/6, callTimeout)",
		new:  "return max(left, ttl)",
		pkg:  "./internal/lease", run: "TestRenewalThatIsNotAnsweredLeavesTimeForAnother",
	},
	{
		name: "lease/renewal-rests-after-silence",
		harm: "what is left after a silent connection is too little to connect to the server that has taken over",
		file: "internal/lease/session.go",
		old:  "s.renewal.Reset(max(sent+s.ttl/12-e.clock.Now(), 0))",
		new:  "s.renewal.Reset(s.ttl / 6)",
		pkg:  "./internal/lease", run: "TestRenewalThatIsNotAnsweredLeavesTimeForAnother",
	},
	{
		name: "lease/renewal-not-repeated",
		harm: "one failed renewal costs every lock of the process",
		file: "internal/lease/session.go",
		old:  "s.renewal.Reset(max(sent+s.ttl/12-e.clock.Now(), 0))",
		new:  "s.renewal.Reset(s.ttl)",
		pkg:  "./internal/lease", run: "TestFailedRenewalIsRepeatedBeforeTheDeadline",
	},
	{
		name: "lease/crash-not-noticed-by-renewals",
		harm: "a release that a crash of the server has undone keeps its name locked for as long as the process lives",
		file: "internal/lease/session.go",
		old:  "s.shaken = true\n",
		new:  "s.shaken = false\n",
		pkg:  "./internal/lease", run: "TestRenewalThatSucceedsAgainIsReconciled",
	},
	{
		name: "lease/waiting-does-not-renew",
		harm: "who waits for longer than a TTL loses the place in line",
		file: "internal/lease/session.go",
		old:  "if len(s.holds) == 0 && s.waiting == 0 {",
		new:  "if len(s.holds) == 0 {",
		pkg:  "./internal/lease", run: "TestWaitingKeepsTheSession",
	},
	{
		name: "lease/stale-session-reused",
		harm: "a lock that is granted is lost a moment later, because nobody had renewed its session",
		file: "internal/lease/engine.go",
		old:  "left < ttl/2 {",
		new:  "left < 0 {",
		pkg:  "./internal/lease", run: "TestStaleSessionIsReplaced",
	},
	{
		name: "lease/ended-session-left-behind",
		harm: "others wait for the expiry of a process that has said goodbye",
		file: "internal/lease/engine.go",
		old:  "e.endings = append(e.endings, obituary{id: s.id, until: e.clock.Now() + s.ttl})",
		new:  "_ = obituary{id: s.id, until: e.clock.Now() + s.ttl}",
		pkg:  "./internal/lease", run: "TestCloseEndsEverything",
	},
	{
		name: "lease/enlists-after-the-try",
		harm: "a release between the attempt and the enlisting wakes nobody: the waiter sleeps although the lock is free",
		file: "internal/lease/work.go",
		old: `	if err := e.enlist(s, batch); err != nil {
		e.fail(batch, err)
		return
	}
	inLanes(e.store.Lanes(), batch, func(lane int, part []*attempt) { e.attempt(s, lane, part) })
}

// attempt sends a part of a batch whose waiters have their places in line.
func (e *Engine) attempt(s *session, lane int, batch []*attempt) {
	e.mu.Lock()
	b := Batch{Session: s.id, Epoch: s.epoch, Wants: make([]Want, len(batch)), Lane: lane, Patient: batch[0].patient()}
	for i, a := range batch {
		b.Wants[i] = a.want
		b.Wants[i].Waiter = a.waiter
	}
	e.mu.Unlock()

	ctx, cancel := e.call()
	outcomes, err := e.store.Acquire(ctx, b)
	cancel()
`,
		new: `	inLanes(e.store.Lanes(), batch, func(lane int, part []*attempt) { e.attempt(s, lane, part) })
}

// attempt sends a part of a batch whose waiters have their places in line.
func (e *Engine) attempt(s *session, lane int, batch []*attempt) {
	e.mu.Lock()
	b := Batch{Session: s.id, Epoch: s.epoch, Wants: make([]Want, len(batch)), Lane: lane, Patient: batch[0].patient()}
	for i, a := range batch {
		b.Wants[i] = a.want
		b.Wants[i].Waiter = a.waiter
	}
	e.mu.Unlock()

	ctx, cancel := e.call()
	outcomes, err := e.store.Acquire(ctx, b)
	cancel()
	if err := e.enlist(s, batch); err != nil {
		e.fail(batch, err)
		return
	}
`,
		pkg: "./internal/lease", run: "TestWaiterIsEnlistedBeforeItTries",
	},
	{
		name: "lease/does-not-wait-for-all-lanes",
		harm: "what is on its way in one lane is taken for lost by a reconciliation after the failure of another, and held by two",
		file: "internal/lease/lane.go",
		old:  "\tdefer others.Wait()\n",
		new:  "",
		pkg:  "./internal/lease", run: "TestLargeBatchTakesLanesAndWaitsForAll",
	},
	{
		name: "lease/unknown-outcome-forgotten",
		harm: "a grant whose reply was lost keeps the name locked for as long as the process lives",
		file: "internal/lease/work.go",
		old:  "\t\te.doubt(s)\n\t\te.fail(batch, err)\n",
		new:  "\t\te.fail(batch, err)\n",
		pkg:  "./internal/lease", run: "TestUnansweredAttemptHoldsNothing",
	},
	{
		name: "lease/unknown-place-in-line-forgotten",
		harm: "a waiter's row that nobody knows stands in everybody's way",
		file: "internal/lease/work.go",
		old:  "\t\te.doubt(s) // rows that we do not know would stand in everybody's way\n",
		new:  "",
		pkg:  "./internal/lease", run: "TestEnlistThatArrivesLateAddsNothing",
	},
	{
		name: "lease/attempts-before-reconciling",
		harm: "an attempt is granted beside one whose outcome is not known, and the first is taken back from under the second",
		file: "internal/lease/work.go",
		old:  "if s.unreachable != nil {\n\t\treturn nil, s.unreachable\n\t}",
		new:  "",
		pkg:  "./internal/lease", run: "TestNothingIsAttemptedBeforeReconciling",
	},
	{
		name: "lease/reconciles-without-the-loss",
		harm: "a lock that was taken by force is still held, as its holder sees it",
		file: "internal/lease/work.go",
		old:  "\t\t\tlost = append(lost, h)\n",
		new:  "",
		pkg:  "./internal/lease", run: "TestOnlyWhatWasTakenByForceIsLost",
	},
	{
		name: "lease/force-while-reconciling-missed",
		harm: "a lock that was taken by force at that moment is believed in until something else has the session reconciled",
		file: "internal/lease/work.go",
		old:  "if s.observed > epoch {",
		new:  "if s.observed > epoch+1<<40 {",
		pkg:  "./internal/lease", run: "TestEpochRaisedWhileReconciling",
	},
	{
		name: "lease/waiters-not-enlisted-again",
		harm: "after a reconciliation nothing is pushed to those who wait, because their rows are gone",
		file: "internal/lease/work.go",
		old:  "\t\t\tdelete(e.waiters, id)\n\t\t\ta.waiter = 0\n\t\t\tif a.failures == 0 {",
		new:  "\t\t\tif a.failures == 0 && id < 0 {",
		pkg:  "./internal/lease", run: "TestWaiterEnlistsAgainWhenItsSessionHasEnded",
	},
	{
		name: "lease/name-twice-in-a-batch",
		harm: "two goroutines are granted one name by the same transaction",
		file: "internal/lease/work.go",
		old:  "case taken[p] || len(groups[a.ttl]) == maxBatch:",
		new:  "case len(groups[a.ttl]) == maxBatch:",
		pkg:  "./internal/lease", run: "TestNameOccursOnceInABatch",
	},
	{
		name: "lease/abandoned-grant-kept",
		harm: "a lock whose caller gave up is held by nobody, and free for nobody",
		file: "internal/lease/work.go",
		old:  "\tif a.state == abandoned || e.closed {\n\t\te.releases = append",
		new:  "\tif e.closed {\n\t\te.releases = append",
		pkg:  "./internal/lease", run: "TestWhoLeavesBeforeTheAnswerGivesTheGrantBack",
	},
	{
		name: "lease/grant-of-an-ended-session-believed",
		harm: "a lock is granted whose session has ended meanwhile: the holder has nothing, and is not told",
		file: "internal/lease/work.go",
		old:  "if s.ended.Load() != nil { // the grant has ended with it",
		new:  "if s.ended.Load() != nil && s.id == 0 {",
		pkg:  "./internal/lease", run: "TestGrantOfASessionThatHasEndedIsNone",
	},
	{
		name: "lease/shared-grant-wakes-nobody",
		harm: "a reader behind a reader that has just been let in sleeps until it polls",
		file: "internal/lease/work.go",
		old:  "if a.want.Mode != sqllock.ModeExclusive {\n\t\t\te.wakes",
		new:  "if a.want.Mode > sqllock.ModePermit {\n\t\t\te.wakes",
		pkg:  "./internal/lease", run: "TestGrantThatOthersMayShareWakesThem",
	},
	{
		name: "lease/push-during-the-attempt-lost",
		harm: "a release that is told while the waiter tries is not tried for: it sleeps although the lock is free",
		file: "internal/lease/watch.go",
		old:  "a.woken = true //",
		new:  "a.woken = false //",
		pkg:  "./internal/lease", run: "TestPushDuringTheAttemptIsNotLost",
	},
	{
		name: "lease/no-look-after-reconnecting",
		harm: "what was released while nobody listened wakes nobody",
		file: "internal/lease/watch.go",
		old:  "func (e *Engine) Watching() { e.Changed() }",
		new:  "func (e *Engine) Watching() {}",
		pkg:  "./internal/lease", run: "TestWatchingMakesEveryWaiterTryAgain",
	},
	{
		name: "lease/interruption-not-reconciled",
		harm: "a release that a crash has undone keeps its name locked",
		file: "internal/lease/watch.go",
		old:  "\tfor _, s := range e.sessions {\n\t\te.doubtLocked(s)\n\t}",
		new:  "",
		pkg:  "./internal/lease", run: "TestInterruptionIsReconciled",
	},
	{
		name: "lease/release-sent-once",
		harm: "a release that met a broken connection leaves the lock held, with nobody who holds it",
		file: "internal/lease/release.go",
		old:  "e.retryReleaseLocked(r, min(10*time.Millisecond<<min(r.failures-1, 10), s.ttl/3))",
		new:  "r.finish(err)",
		pkg:  "./internal/lease", run: "TestReleaseIsRepeatedUntilItIsAnswered",
	},
	{
		name: "lease/guarded-release-dropped",
		harm: "a lock that is released while a transaction guards it stays locked",
		file: "internal/lease/release.go",
		old:  "e.retryReleaseLocked(r, e.jitter(r.delay))",
		new:  "r.finish(nil)",
		pkg:  "./internal/lease", run: "TestGuardedReleaseFollowsTheGuard",
	},
	{
		name: "lease/repeated-release-is-a-loss",
		harm: "a release whose reply was lost is reported as a lost lock",
		file: "internal/lease/release.go",
		old:  "case freed[i] == Missing && r.failures == 0:",
		new:  "case freed[i] == Missing:",
		pkg:  "./internal/lease", run: "TestLostReplyToReleaseIsNoLoss",
	},
	{
		name: "lease/release-of-nothing-succeeds",
		harm: "who lost the lock by force is told that the release went well",
		file: "internal/lease/release.go",
		old:  "case freed[i] == Missing && r.failures == 0:",
		new:  "case freed[i] == Missing && r.failures < 0:",
		pkg:  "./internal/lease", run: "TestReleaseOfWhatWasTakenByForce",
	},
	{
		name: "lease/waiters-row-left-behind",
		harm: "who has given up stands in the way of those behind for as long as the process lives",
		file: "internal/lease/attempt.go",
		old:  "\t\t\te.delists = append(e.delists, a.waiter)\n",
		new:  "",
		pkg:  "./internal/lease", run: "TestWaiterWhoLeavesTakesItsRowAlong",
	},
	{
		name: "lease/outage-is-contention",
		harm: "a database that fails looks like a lock that somebody else holds, and the job is skipped",
		file: "internal/lease/attempt.go",
		old:  "\tdefault:\n\t\treturn a.last\n",
		new:  "\tdefault:\n\t\treturn &sqllock.HeldError{Name: a.want.Name, Cause: cause}\n",
		pkg:  "./internal/lease", run: "TestWaitThatEndsInAnOutageSaysWhatFailed",
	},
	{
		name: "lease/silence-is-contention",
		harm: "a database that does not answer looks like a lock that somebody else holds, and the job is skipped",
		file: "internal/lease/attempt.go",
		old:  "case a.last == nil && !a.wait:",
		new:  "case false:",
		pkg:  "./internal/lease", run: "TestWhoLeavesBeforeTheAnswerGivesTheGrantBack",
	},
	{
		name: "lease/verify-does-not-tell",
		harm: "of several locks that were taken by force only the one that was asked for is told",
		file: "internal/lease/engine.go",
		old:  "\te.doubtLocked(h.session)\n",
		new:  "",
		pkg:  "./internal/lease", run: "TestVerifyTellsAllWhoAreConcerned",
	},
	{
		name: "lease/permanent-errors-repeated",
		harm: "who waits for a lock whose tables are missing waits for ever instead of hearing so",
		file: "internal/lease/work.go",
		old:  "permanent := e.store.Permanent(err) || errors.Is(err, sqllock.ErrInvalid)",
		new:  "permanent := errors.Is(err, sqllock.ErrInvalid)",
		pkg:  "./internal/lease", run: "TestPermanentErrorEndsAWait",
	},
}
