//! Arithmetic of x86-64, as far as branches of compiled Go code depend on it: results and flags.

use iced_x86::{ConditionCode, Mnemonic};

/// What is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Add,
    Sub,
    Compare,
    And,
    Test,
    Or,
    Xor,
    Increment,
    Decrement,
    Negate,
    Not,
    ShiftLeft,
    ShiftRight,
    ShiftSigned,
    Multiply,
    BitTest,
}

impl Op {
    /// What an instruction computes, if it is known here.
    pub(super) fn of(mnemonic: Mnemonic) -> Option<Self> {
        Some(match mnemonic {
            Mnemonic::Add => Op::Add,
            Mnemonic::Sub => Op::Sub,
            Mnemonic::Cmp => Op::Compare,
            Mnemonic::And => Op::And,
            Mnemonic::Test => Op::Test,
            Mnemonic::Or => Op::Or,
            Mnemonic::Xor => Op::Xor,
            Mnemonic::Inc => Op::Increment,
            Mnemonic::Dec => Op::Decrement,
            Mnemonic::Neg => Op::Negate,
            Mnemonic::Not => Op::Not,
            Mnemonic::Shl => Op::ShiftLeft,
            Mnemonic::Shr => Op::ShiftRight,
            Mnemonic::Sar => Op::ShiftSigned,
            Mnemonic::Imul => Op::Multiply,
            Mnemonic::Bt => Op::BitTest,
            _ => return None,
        })
    }

    /// Does it change its first operand?
    pub(super) fn writes(self) -> bool {
        !matches!(self, Op::Compare | Op::Test | Op::BitTest)
    }
}

/// The processor flags that branches test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flags {
    carry: bool,
    zero: bool,
    sign: bool,
    overflow: bool,
    /// All values that they were computed from are firm.
    pub(super) firm: bool,
}

impl Flags {
    /// The flags after a result of zero, whatever the operands were.
    pub(super) fn of_zero() -> Self {
        Flags { carry: false, zero: true, sign: false, overflow: false, firm: true }
    }

    /// The same flags, firm or not.
    pub(super) fn made_firm(self, firm: bool) -> Self {
        Flags { firm, ..self }
    }

    /// Does a condition hold? None for conditions that are not handled here.
    pub(super) fn hold(self, condition: ConditionCode) -> Option<bool> {
        let less = self.sign != self.overflow;
        Some(match condition {
            ConditionCode::o => self.overflow,
            ConditionCode::no => !self.overflow,
            ConditionCode::b => self.carry,
            ConditionCode::ae => !self.carry,
            ConditionCode::e => self.zero,
            ConditionCode::ne => !self.zero,
            ConditionCode::be => self.carry || self.zero,
            ConditionCode::a => !self.carry && !self.zero,
            ConditionCode::s => self.sign,
            ConditionCode::ns => !self.sign,
            ConditionCode::l => less,
            ConditionCode::ge => !less,
            ConditionCode::le => self.zero || less,
            ConditionCode::g => !self.zero && !less,
            _ => return None,
        })
    }
}

/// The lowest `size` bytes.
pub(super) fn mask(number: u64, size: usize) -> u64 {
    if size >= 8 { number } else { number & ((1 << (8 * size)) - 1) }
}

/// A number of `size` bytes with its sign extended.
pub(super) fn extend(number: u64, size: usize) -> u64 {
    let unused = 64 - 8 * size.clamp(1, 8) as u32;
    ((number << unused) as i64 >> unused) as u64
}

/// The result and the flags, each None where it is not computed.
pub(super) fn run(op: Op, left: u64, right: u64, size: usize) -> (Option<u64>, Option<Flags>) {
    let bits = 8 * size.clamp(1, 8) as u32;
    let sign = |number: u64| number >> (bits - 1) & 1 == 1;
    let flags = |result: u64, carry: bool, overflow: bool| {
        Some(Flags { carry, zero: result == 0, sign: sign(result), overflow, firm: false })
    };
    let add = |right: u64| {
        let result = mask(left.wrapping_add(right), size);
        let overflow = sign(left) == sign(right) && sign(result) != sign(left);
        (Some(result), flags(result, result < left, overflow))
    };
    let sub = |left: u64, right: u64| {
        let result = mask(left.wrapping_sub(right), size);
        let overflow = sign(left) != sign(right) && sign(result) != sign(left);
        (Some(result), flags(result, left < right, overflow))
    };
    let logic = |result: u64| (Some(result), flags(result, false, false));
    let count = (right & if size == 8 { 63 } else { 31 }) as u32;
    match op {
        Op::Add => add(right),
        Op::Sub | Op::Compare => sub(left, right),
        // They do not change the carry, which is not kept here.
        Op::Increment => (add(1).0, None),
        Op::Decrement => (sub(left, 1).0, None),
        Op::Negate => sub(0, left),
        Op::Not => (Some(mask(!left, size)), None),
        Op::And | Op::Test => logic(left & right),
        Op::Or => logic(left | right),
        Op::Xor => logic(left ^ right),
        Op::ShiftLeft if count < bits => (Some(mask(left << count, size)), None),
        Op::ShiftRight if count < bits => (Some(left >> count), None),
        Op::ShiftSigned => (Some(mask((extend(left, size) as i64 >> count) as u64, size)), None),
        Op::Multiply => (Some(mask(left.wrapping_mul(right), size)), None),
        Op::BitTest => {
            let bit = left >> (right % u64::from(bits)) & 1 == 1;
            (None, Some(Flags { carry: bit, ..Flags::of_zero() }))
        }
        Op::ShiftLeft | Op::ShiftRight => (None, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_are_those_of_the_processor() {
        let numbers = [0_i64, 1, -1, 5, i64::MAX, i64::MIN, 0x7fff_ffff, -0x8000_0000];
        for (a, b) in numbers.iter().flat_map(|a| numbers.map(|b| (*a, b))) {
            for size in [1, 2, 4, 8] {
                let (left, right) = (mask(a as u64, size), mask(b as u64, size));
                let (l, r) = (extend(left, size) as i64, extend(right, size) as i64);
                let flags = run(Op::Compare, left, right, size).1.unwrap();
                let wanted = [
                    (ConditionCode::e, left == right),
                    (ConditionCode::ne, left != right),
                    (ConditionCode::b, left < right),
                    (ConditionCode::ae, left >= right),
                    (ConditionCode::be, left <= right),
                    (ConditionCode::a, left > right),
                    (ConditionCode::l, l < r),
                    (ConditionCode::ge, l >= r),
                    (ConditionCode::le, l <= r),
                    (ConditionCode::g, l > r),
                ];
                for (condition, holds) in wanted {
                    assert_eq!(flags.hold(condition), Some(holds), "{a} {condition:?} {b}, {size} bytes");
                }
            }
        }
    }

    #[test]
    fn results_are_as_wide_as_their_operands() {
        assert_eq!(run(Op::Add, 0xff, 1, 1).0, Some(0));
        assert!(run(Op::Add, 0xff, 1, 1).1.unwrap().hold(ConditionCode::b).unwrap());
        assert_eq!(run(Op::Sub, 0, 1, 4).0, Some(0xffff_ffff));
        assert_eq!(run(Op::Negate, 1, 0, 8).0, Some(u64::MAX));
        assert_eq!(run(Op::ShiftSigned, 0x80, 7, 1).0, Some(0xff));
        assert_eq!(run(Op::ShiftLeft, 1, 40, 8).0, Some(1 << 40));
        assert_eq!(run(Op::ShiftLeft, 1, 33, 2).0, Some(2));
        assert_eq!(extend(0x80, 1), u64::MAX << 7);
    }
}
