//! How the parts of a snapshot refer to each other.

/// Index into [`Snapshot::objects`](super::Snapshot::objects).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId(pub u32);

impl ObjectId {
    /// The position in its table.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Consecutive rows of a table. The default is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// The first row.
    pub start: u32,
    /// How many rows there are.
    pub len: u32,
}

impl Span {
    /// The rows of `table`. Empty if it does not have all of them.
    pub fn slice<T>(self, table: &[T]) -> &[T] {
        let start = self.start as usize;
        table.get(start..start.saturating_add(self.len as usize)).unwrap_or(&[])
    }

    /// There are no rows.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The row after the last one.
    pub fn end(self) -> u64 {
        u64::from(self.start) + u64::from(self.len)
    }

    /// Adds rows to the end of a table and returns their span.
    pub(crate) fn append<T>(table: &mut Vec<T>, rows: impl IntoIterator<Item = T>) -> Self {
        let start = table.len();
        table.extend(rows);
        Span { start: start as u32, len: (table.len() - start) as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_beyond_its_table_is_empty() {
        let mut table = vec!["a"];
        let span = Span::append(&mut table, ["b", "c"]);
        assert_eq!((span.slice(&table), span.end()), (&["b", "c"][..], 3));
        assert!(Span { start: 2, len: 2 }.slice(&table).is_empty());
        assert!(Span { start: u32::MAX, len: u32::MAX }.slice(&table).is_empty());
        assert!(Span::default().is_empty());
    }
}
