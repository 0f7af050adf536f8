//! The chain of return addresses that the kernel collected by frame pointers, from a frame on.

use crate::process::Moment;
use crate::process::bytes::u64_at;

/// The return addresses that the kernel found from the frame pointer `bp` on. None if its chain did not come past
/// there.
///
/// The kernel follows the frame pointers of the thread's stack. In the copy of that stack the same can be done again,
/// so that it is known which entry of the chain was read where. Source: `perf_callchain_user` in Linux'
/// `arch/x86/events/core.c`.
pub(super) fn from<'m>(moment: &Moment<'m>, bp: u64) -> Option<&'m [u64]> {
    let word = |address: u64| {
        let at = usize::try_from(address.checked_sub(moment.registers.sp)?).ok()?;
        u64_at(moment.stack, at)
    };
    let mut rest = moment.chain.strip_prefix(&[moment.registers.pc])?;
    let mut at = moment.registers.bp;
    while at != bp {
        let (first, further) = rest.split_first()?;
        if word(at.checked_add(8)?)? != *first {
            return None;
        }
        (rest, at) = (further, word(at)?);
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Registers;

    #[test]
    fn entries_are_found_by_the_frame_pointer_that_they_were_read_from() {
        // Two frames on one stack at 0x1000; the third one is on another stack.
        let words: [u64; 6] = [7, 0x1020, 0xa1, 9, 0x9000, 0xa2];
        let stack: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let registers = Registers { pc: 0xa0, sp: 0x1000, bp: 0x1008, ..Registers::default() };
        let chain = [0xa0, 0xa1, 0xa2, 0xa3, 0xa4];
        let moment = Moment {
            tid: 1,
            at_ns: 0,
            registers,
            in_kernel: false,
            chain: &chain,
            kernel_chain: &[],
            stack: &stack,
        };
        assert_eq!(from(&moment, 0x1008), Some(&chain[1..]));
        assert_eq!(from(&moment, 0x1020), Some(&chain[2..]));
        assert_eq!(from(&moment, 0x9000), Some(&chain[3..]));
        assert_eq!(from(&moment, 0x9010), None, "beyond the copy");
        let other = [0xa0, 0xbb, 0xa2];
        assert_eq!(from(&Moment { chain: &other, ..moment }, 0x1020), None, "another chain");
        assert_eq!(from(&Moment { chain: &[], ..moment }, 0x1008), None);
    }
}
