//! Columns of integers: the tables of a snapshot file consist of them.
//!
//! A column is a run of varints (7 bits per byte, low bits first, the top bit says that more follow). A plain
//! column contains the values; a delta column contains the differences between consecutive values, wrapping
//! and zigzagged. Real snapshots need one byte per row in both, which LZ4 then reduces to nearly nothing.

/// A column being written.
#[derive(Debug, Default)]
pub(crate) struct ColumnWriter {
    bytes: Vec<u8>,
    last: u64,
}

impl ColumnWriter {
    /// With room for this many rows of one byte.
    pub(crate) fn with_capacity(rows: usize) -> Self {
        ColumnWriter { bytes: Vec::with_capacity(rows + rows / 8), last: 0 }
    }

    /// Adds a value to a plain column.
    #[inline]
    pub(crate) fn plain(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// Adds a value to a delta column.
    #[inline]
    pub(crate) fn delta(&mut self, value: u64) {
        let step = value.wrapping_sub(self.last) as i64;
        self.last = value;
        self.plain(((step << 1) ^ (step >> 63)) as u64);
    }

    /// Adds an optional index to a plain column: 0 for none, otherwise the index plus one.
    #[inline]
    pub(crate) fn optional(&mut self, value: Option<u32>) {
        self.plain(value.map_or(0, |v| u64::from(v) + 1));
    }

    /// Adds raw bytes.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// A column that ended early, or contains a value that is invalid in its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadColumn;

/// A value that has to fit into eight bits.
pub(crate) fn byte(value: u64) -> Result<u8, BadColumn> {
    u8::try_from(value).map_err(|_| BadColumn)
}

/// A column being read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ColumnReader<'a> {
    bytes: &'a [u8],
    last: u64,
}

impl<'a> ColumnReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        ColumnReader { bytes, last: 0 }
    }

    /// Bytes not yet read; at least as many as rows.
    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// The next value of a plain column.
    #[inline]
    pub(crate) fn plain(&mut self) -> Result<u64, BadColumn> {
        let (&first, rest) = self.bytes.split_first().ok_or(BadColumn)?;
        self.bytes = rest;
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        self.long(first)
    }

    /// A value of two bytes or more.
    fn long(&mut self, first: u8) -> Result<u64, BadColumn> {
        let mut value = u64::from(first & 0x7f);
        for shift in (7..64).step_by(7) {
            let (&byte, rest) = self.bytes.split_first().ok_or(BadColumn)?;
            self.bytes = rest;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(BadColumn);
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(BadColumn)
    }

    /// The next value of a delta column.
    #[inline]
    pub(crate) fn delta(&mut self) -> Result<u64, BadColumn> {
        let coded = self.plain()?;
        let step = (coded >> 1) as i64 ^ -((coded & 1) as i64);
        self.last = self.last.wrapping_add(step as u64);
        Ok(self.last)
    }

    /// The next value of a plain column of 32-bit values.
    #[inline]
    pub(crate) fn plain_u32(&mut self) -> Result<u32, BadColumn> {
        u32::try_from(self.plain()?).map_err(|_| BadColumn)
    }

    /// The next value of a delta column of 32-bit values.
    #[inline]
    pub(crate) fn delta_u32(&mut self) -> Result<u32, BadColumn> {
        u32::try_from(self.delta()?).map_err(|_| BadColumn)
    }

    /// The next optional index.
    #[inline]
    pub(crate) fn optional(&mut self) -> Result<Option<u32>, BadColumn> {
        match self.plain()? {
            0 => Ok(None),
            value => u32::try_from(value - 1).map(Some).map_err(|_| BadColumn),
        }
    }

    /// The next `len` raw bytes.
    pub(crate) fn raw(&mut self, len: u64) -> Result<&'a [u8], BadColumn> {
        let len = usize::try_from(len).map_err(|_| BadColumn)?;
        let (bytes, rest) = self.bytes.split_at_checked(len).ok_or(BadColumn)?;
        self.bytes = rest;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn columns_give_back_what_they_were_given(values: Vec<u64>, indices: Vec<Option<u16>>) {
            let (mut plain, mut delta, mut optional) =
                (ColumnWriter::default(), ColumnWriter::default(), ColumnWriter::default());
            for &value in &values {
                plain.plain(value);
                delta.delta(value);
            }
            for &index in &indices {
                optional.optional(index.map(u32::from));
            }
            let (plain, delta, optional) = (plain.into_bytes(), delta.into_bytes(), optional.into_bytes());
            let (mut plain, mut delta, mut optional) =
                (ColumnReader::new(&plain), ColumnReader::new(&delta), ColumnReader::new(&optional));
            for &value in &values {
                prop_assert_eq!(plain.plain(), Ok(value));
                prop_assert_eq!(delta.delta(), Ok(value));
            }
            for &index in &indices {
                prop_assert_eq!(optional.optional(), Ok(index.map(u32::from)));
            }
            prop_assert_eq!((plain.remaining(), delta.remaining(), optional.remaining()), (0, 0, 0));
        }
    }

    #[test]
    fn values_that_do_not_fit_are_refused() {
        assert_eq!(ColumnReader::new(&[0xff; 12]).plain(), Err(BadColumn));
        assert_eq!(ColumnReader::new(&[0x80]).plain(), Err(BadColumn));
        assert_eq!(ColumnReader::new(&[]).plain(), Err(BadColumn));
        assert_eq!(ColumnReader::new(&[0xff, 0xff, 0xff, 0xff, 0x7f]).plain_u32(), Err(BadColumn));
    }
}
