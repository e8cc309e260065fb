package leaderelect

// Stats are counts since the elector was made.
type Stats struct {
	// Leading is whether IsLeader answers nil.
	Leading bool

	// Terms is how many terms have begun here.
	Terms int64

	// Losses is how many of them ended because the lock was lost.
	Losses int64

	// Failures is how many campaigns and terms failed: by an error of the database or of OnElected, or by a loss.
	Failures int64

	// Transitions is how often another leader than the one before was seen here, by Leader, Observe and OnLeaderChange.
	Transitions int64
}

// Stats are the counts as they are now. It is safe for concurrent use.
func (e *Elector) Stats() Stats {
	leading := e.leading() == nil
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.stats
	s.Leading = leading
	return s
}
