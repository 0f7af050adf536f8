//! Tables that give a value for every pc of a function: pairs of variable-length integers, a change of the
//! value and the number of instructions for which it then holds (`step` in `runtime/symtab.go`).

/// Steps of a table that are read at most; no function has more.
const MAX_STEPS: u32 = 1 << 20;

/// The value at `target`, an offset from the function's entry. None if the table does not cover it or is damaged.
pub(super) fn lookup(table: &[u8], target: u32, quantum: u32) -> Option<i32> {
    let mut at = 0;
    let mut pc: u32 = 0;
    let mut value: i32 = -1;
    for step in 0..MAX_STEPS {
        let change = varint(table, &mut at)?;
        // A table ends with a change of 0, which is otherwise allowed only in the first step.
        if change == 0 && step > 0 {
            return None;
        }
        // Zigzag.
        value = value.wrapping_add((change >> 1) as i32 ^ -((change & 1) as i32));
        let advance = varint(table, &mut at)?.checked_mul(quantum)?;
        if advance == 0 {
            return None;
        }
        pc = pc.checked_add(advance)?;
        if target < pc {
            return Some(value);
        }
    }
    None
}

/// One integer of at most 32 bits, seven per byte, the lowest first.
#[inline]
fn varint(table: &[u8], at: &mut usize) -> Option<u32> {
    let first = *table.get(*at)?;
    *at += 1;
    if first < 0x80 {
        return Some(first.into());
    }
    let mut value = u32::from(first & 0x7f);
    for shift in [7, 14, 21, 28] {
        let byte = *table.get(*at)?;
        *at += 1;
        value |= u32::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_hold_until_the_next_step() {
        // -1 + 1 = 0 for 4 bytes, then 8 for 300, then 0 for 1.
        let table = [2, 4, 16, 0xac, 0x02, 15, 1, 0];
        for (target, value) in [(0, 0), (3, 0), (4, 8), (303, 8), (304, 0)] {
            assert_eq!(lookup(&table, target, 1), Some(value), "at {target}");
        }
        assert_eq!(lookup(&table, 305, 1), None);
        assert_eq!(lookup(&table, 15, 4), Some(0));
        assert_eq!(lookup(&table, 16, 4), Some(8));
    }

    #[test]
    fn a_first_change_of_zero_is_a_value_of_minus_one() {
        assert_eq!(lookup(&[0, 5, 0], 4, 1), Some(-1));
    }

    #[test]
    fn damaged_tables_have_no_values() {
        for table in [&[][..], &[2], &[2, 0, 2, 0, 2, 0], &[0xff; 16], &[2, 1, 2], &[2, 1, 0]] {
            assert_eq!(lookup(table, 1, 1), None, "{table:?}");
        }
        // A pc that overflows.
        let over = [2, 0xff, 0xff, 0xff, 0xff, 0x0f, 2, 0xff, 0xff, 0xff, 0xff, 0x0f];
        assert_eq!(lookup(&over, u32::MAX, 1), None);
    }
}
