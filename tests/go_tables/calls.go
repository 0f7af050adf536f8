// A program with calls of every kind in its stacks. It prints each frame as its own runtime
// expands it: a line "physical ..." for a return address, then the "frame" lines for it.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sort"
	"strings"
	"time"
)

type pair[T any] struct{ a, b T }

func (p *pair[T]) show(f func()) { f() }

func inner(f func()) { f() }

func middle(f func()) {
	if len(os.Args) > 100 {
		return
	}
	inner(f)
}

func outer(f func()) {
	for i := 0; i < 1; i++ {
		middle(f)
	}
}

//go:noinline
func trace() {
	// A raw stack holds return addresses; expanding each alone gives its logical frames.
	var pcs [64]uintptr
	n := runtime.Callers(1, pcs[:])
	for _, pc := range pcs[:n] {
		fmt.Printf("physical %#x\n", pc)
		frames := runtime.CallersFrames([]uintptr{pc})
		for {
			frame, more := frames.Next()
			fmt.Printf("frame %s:%d %s\n", frame.File, frame.Line, frame.Function)
			if !more {
				break
			}
		}
	}
}

type shower interface{ show(func()) }

type embeds struct {
	*pair[int]
	more int
}

//go:noinline
func call(s shower) { s.show(trace) }

func main() {
	outer(trace)
	outer(func() { trace() })
	p := &pair[string]{}
	p.show(func() { trace() })
	call(embeds{&pair[int]{}, 1})
	xs := []int{3, 1, 2}
	once := false
	sort.Slice(xs, func(i, j int) bool {
		if !once {
			once = true
			trace()
		}
		return xs[i] < xs[j]
	})
	strings.Map(func(r rune) rune {
		trace()
		return r
	}, "a")
	func() {
		defer func() {
			recover()
			trace()
		}()
		var m map[string]int
		m["a"] = 1
	}()
	if len(os.Args) > 1 {
		fmt.Println("ready")
		ch := make(chan int)
		go func() { ch <- 1 }()
		time.Sleep(time.Hour)
	}
}
