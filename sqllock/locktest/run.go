package locktest

import (
	"os"
	"testing"
)

// Run checks every claim against s, each in a subtest with a database of its own. It is at once the entry of the helper
// processes: they run the test binary again, only the test that called Run, and Run does not return there. So
// call it before the test has done anything of its own.
func Run(t *testing.T, s Subject) {
	if os.Getenv(helperEnv) != "" {
		serve(s)
	}
	for _, c := range claims {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.check(newArena(t, s))
		})
	}
}

// claims are what a backend promises. Each holds for every backend: one that cannot do what a claim is about is asked
// for it all the same, and has to say so.
var claims = []struct {
	name  string
	check func(*arena)
}{
	{"ProcessesExcludeEachOther", processesExcludeEachOther},
	{"GoroutinesExcludeEachOther", goroutinesExcludeEachOther},
	{"ModesExcludeEachOtherInProcesses", modesExcludeEachOtherInProcesses},
	{"ModesExcludeWhatTheyShould", modesExcludeWhatTheyShould},
	{"SmallestNumberOfPermitsCounts", smallestNumberOfPermitsCounts},

	{"TokensGrowWhateverEndsALock", tokensGrowWhateverEndsALock},

	{"TryTellsWhoHolds", tryTellsWhoHolds},
	{"LocksAreNotReentrant", locksAreNotReentrant},

	{"WaitIsBoundedFromBothSides", waitIsBoundedFromBothSides},
	{"ContextBoundsTheWaitAndNotTheHolding", contextBoundsTheWaitAndNotTheHolding},
	{"WaiterGetsWhatIsReleased", waiterGetsWhatIsReleased},
	{"CancelledAcquireLeavesNothingBehind", cancelledAcquireLeavesNothingBehind},

	{"ForceReleaseIsSeenAsLoss", forceReleaseIsSeenAsLoss},
	{"ForceReleaseTakesFromAllAndOnlyTheName", forceReleaseTakesFromAllAndOnlyTheName},
	{"DoReturnsLoss", doReturnsLoss},
	{"ReleaseIsIdempotent", releaseIsIdempotent},

	{"StoppedHolderLosesItsLease", stoppedHolderLosesItsLease},
	{"ErrReadsTheClock", errReadsTheClock},
	{"KilledHolderIsFollowed", killedHolderIsFollowed},
	{"StaleHolderCannotTouchTheNext", staleHolderCannotTouchTheNext},

	{"GuardOutlivesALeaseOfAWriter", guardOutlivesALeaseOfAWriter},
	{"GuardOutlivesALeaseOfAReader", guardOutlivesALeaseOfAReader},
	{"GuardOutlivesALeaseOfAPermit", guardOutlivesALeaseOfAPermit},
	{"GuardFailsWhenTheLockIsGone", guardFailsWhenTheLockIsGone},
	{"ReleaseWaitsForTheGuard", releaseWaitsForTheGuard},
	{"GuardDoesNotBlockRenewal", guardDoesNotBlockRenewal},

	{"AtLeastOutlivesRelease", atLeastOutlivesRelease},
	{"AtLeastOutlivesItsProcess", atLeastOutlivesItsProcess},
	{"ForceReleaseOverridesAtLeast", forceReleaseOverridesAtLeast},

	{"ManyLeasesCostOneRenewal", manyLeasesCostOneRenewal},

	{"ProcessInALoopStarvesNobody", processInALoopStarvesNobody},
	{"ReadersDoNotStarveAWriter", readersDoNotStarveAWriter},
	{"GoroutinesAreServedInOrder", goroutinesAreServedInOrder},
	{"ProcessesAreServedInOrder", processesAreServedInOrder},

	{"SetIsAllOrNothing", setIsAllOrNothing},
	{"SetsOfProcessesDoNotDeadlock", setsOfProcessesDoNotDeadlock},
	{"SetEndsWithItsFirstMember", setEndsWithItsFirstMember},

	{"CloseEndsEverything", closeEndsEverything},
	{"CloseLeavesNoGoroutine", closeLeavesNoGoroutine},

	{"LockTxExcludesLeasesAndLockTx", lockTxExcludesLeasesAndLockTx},
	{"RefusedLockTxLeavesTheTransactionUsable", refusedLockTxLeavesTheTransactionUsable},
	{"WithTxReadsWhatThePreviousHolderCommitted", withTxReadsWhatThePreviousHolderCommitted},
	{"WithTxExcludes", withTxExcludes},

	{"NamesAreBytes", namesAreBytes},
	{"InvalidNamesNeedNoDatabase", invalidNamesNeedNoDatabase},
	{"AnyNameComesBack", anyNameComesBack},
	{"OwnersAreText", ownersAreText},
	{"MetadataIsText", metadataIsText},
	{"InvalidTextNeedsNoDatabase", invalidTextNeedsNoDatabase},

	{"DoReleasesOnPanic", doReleasesOnPanic},
	{"LocksShowHoldersAndWaiters", locksShowHoldersAndWaiters},
	{"LeaderIsPublished", leaderIsPublished},
	{"FormerLeaderIsForgotten", formerLeaderIsForgotten},
	{"KilledLeaderIsForgotten", killedLeaderIsForgotten},

	{"UnreachableDatabaseIsNotContention", unreachableDatabaseIsNotContention},
	{"HungDatabaseEndsTheHolding", hungDatabaseEndsTheHolding},
	{"SeveredConnectionsAreSurvived", severedConnectionsAreSurvived},
}
