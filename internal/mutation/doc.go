// Command mutation puts defects into this module, one after the other, and shows that the tests find each of them.
//
//	go run ./internal/mutation                  # all, two at a time
//	go run ./internal/mutation -run named/      # those whose name matches
//	go run ./internal/mutation -list            # what each would do to users
//
// A [defect] is a piece of text in one file, which occurs there once, and what a hurried colleague would have written instead. It names the tests that
// have to find it, as few as is honest. Nothing in the checkout is changed: the compiler is given the other file by go's -overlay, for embedded
// SQL too.
//
// A defect is caught if an assertion of one of those tests fails: not if the package does not compile, not if it crashes, and not if the tests wait
// for ever, unless the defect loses a wake-up, of which that is the proof. The same tests have to pass without it. What is not caught is a hole
// in the tests, and ends the command with exit code 1.
//
// That the list fits the code, so that it does not rot unseen, is a test of every run: each defect applies, compiles, and names tests that exist.
package main
