//! Moments of threads that outlive the records that they were read from.

use crate::process::{Moment, Registers};

/// Moments, each with a weight in nanoseconds, in the order of time.
#[derive(Debug, Default)]
pub(super) struct Moments {
    rows: Vec<Row>,
    /// Addresses of all moments, one after another.
    addresses: Vec<u64>,
    /// Copies of stacks, one after another.
    stacks: Vec<u8>,
}

/// A moment; its slices are ranges of the tables.
#[derive(Debug)]
struct Row {
    tid: u32,
    at_ns: u64,
    registers: Registers,
    in_kernel: bool,
    chain: std::ops::Range<usize>,
    kernel_chain: std::ops::Range<usize>,
    stack: std::ops::Range<usize>,
    weight_ns: u64,
}

impl Moments {
    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.addresses.clear();
        self.stacks.clear();
    }

    /// Keeps a moment, and gives its place.
    pub(super) fn push(&mut self, moment: &Moment<'_>, weight_ns: u64) -> usize {
        let chain = append(&mut self.addresses, moment.chain);
        let kernel_chain = append(&mut self.addresses, moment.kernel_chain);
        let stack = append(&mut self.stacks, moment.stack);
        let Moment { tid, at_ns, registers, in_kernel, .. } = *moment;
        self.rows.push(Row { tid, at_ns, registers, in_kernel, chain, kernel_chain, stack, weight_ns });
        self.rows.len() - 1
    }

    /// All of them with their weights.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Moment<'_>, u64)> {
        self.rows.iter().map(|row| (self.moment(row), row.weight_ns))
    }

    /// The sum of the weights, nanoseconds.
    pub(super) fn weight_ns(&self) -> u64 {
        self.rows.iter().fold(0, |sum, row| sum.saturating_add(row.weight_ns))
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Bytes of memory that there are for moments, about.
    pub(super) fn room(&self) -> usize {
        self.stacks.capacity()
            + self.addresses.capacity() * size_of::<u64>()
            + self.rows.capacity() * size_of::<Row>()
    }

    /// Bytes of what is in it, about.
    pub(super) fn bytes(&self) -> usize {
        self.stacks.len() + size_of_val(self.addresses.as_slice()) + size_of_val(self.rows.as_slice())
    }

    /// Takes the moments from a time on.
    pub(super) fn split_off(&mut self, at_ns: u64) -> Moments {
        let nth = self.rows.partition_point(|row| row.at_ns < at_ns);
        let (addresses, stacks) = (self.addresses.clone(), self.stacks.clone());
        Moments { rows: self.rows.split_off(nth), addresses, stacks }
    }

    fn moment(&self, row: &Row) -> Moment<'_> {
        Moment {
            tid: row.tid,
            at_ns: row.at_ns,
            registers: row.registers,
            in_kernel: row.in_kernel,
            chain: self.addresses.get(row.chain.clone()).unwrap_or_default(),
            kernel_chain: self.addresses.get(row.kernel_chain.clone()).unwrap_or_default(),
            stack: self.stacks.get(row.stack.clone()).unwrap_or_default(),
        }
    }
}

/// Appends to a table and gives the range.
fn append<T: Copy>(table: &mut Vec<T>, more: &[T]) -> std::ops::Range<usize> {
    let start = table.len();
    table.extend_from_slice(more);
    start..table.len()
}
