//! What [`crate::snapshot::Task::mark`] means for a goroutine: how deep its stack is, in bytes, and how often
//! it stopped running, modulo 256 (`g.trackingSeq`). The depth stays when the runtime moves the stack.

/// The mark of a goroutine that does not run.
pub(super) fn pack(stack_depth: u64, stops: u8) -> u64 {
    stack_depth << 8 | u64::from(stops)
}

/// Bytes of the stack of the goroutine with this mark.
pub(super) fn stack_depth(mark: u64) -> u64 {
    mark >> 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_depth_is_in_the_mark() {
        assert_eq!(stack_depth(pack(4096, 0xff)), 4096);
        assert_ne!(pack(4096, 1), pack(4096, 2));
    }
}
