package lease

import "runtime"

// gather lets those who have just been answered, if they are several, say what they want next, so that it travels together: who misses a transaction
// waits for the end of it. It ends when some turns of the scheduler have brought nobody.
func (e *Engine) gather(answered int) {
	if answered < 2 {
		return
	}
	const turns = 4
	for turn, gathered := 0, 0; turn < turns && gathered < maxBatch; turn++ {
		runtime.Gosched()
		e.mu.Lock()
		now := len(e.releases) + len(e.queue)
		e.mu.Unlock()
		if now > gathered {
			gathered, turn = now, 0
		}
	}
}
