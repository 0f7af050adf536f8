//! The Go runtime, 1.19 and later, read from outside.
