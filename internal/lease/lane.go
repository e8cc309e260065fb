package lease

import "sync"

// laneSize is how many of a batch are worth a connection of their own.
const laneSize = 32

// inLanes has parts of a batch done side by side, and returns when all are: a connection has one core of the database.
func inLanes[T any](lanes int, batch []T, do func(lane int, part []T)) {
	n := min(lanes, len(batch)/laneSize)
	if n <= 1 {
		if len(batch) > 0 {
			do(0, batch)
		}
		return
	}
	var others sync.WaitGroup
	defer others.Wait()
	size := (len(batch) + n - 1) / n
	for lane := 1; lane*size < len(batch); lane++ {
		others.Go(func() { do(lane, batch[lane*size:min((lane+1)*size, len(batch))]) })
	}
	do(0, batch[:size])
}
