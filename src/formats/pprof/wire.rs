//! The part of protocol buffers that profiles need: varints and length-delimited fields.

/// Bytes that are not a protocol buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// A number.
    Number(u64),
    /// Text, a message or packed numbers.
    Bytes(&'a [u8]),
    /// Eight or four bytes; profiles have no such field.
    Fixed,
}

impl<'a> Value<'a> {
    /// The number.
    ///
    /// # Errors
    /// It is not a number.
    pub(crate) fn number(self) -> Result<u64, Malformed> {
        if let Value::Number(number) = self { Ok(number) } else { Err(Malformed) }
    }

    /// The bytes.
    ///
    /// # Errors
    /// It has no bytes.
    pub(crate) fn bytes(self) -> Result<&'a [u8], Malformed> {
        if let Value::Bytes(bytes) = self { Ok(bytes) } else { Err(Malformed) }
    }

    /// Calls `with` with every number of a repeated field, packed or single.
    ///
    /// # Errors
    /// It has no numbers.
    pub(crate) fn numbers(self, mut with: impl FnMut(u64)) -> Result<(), Malformed> {
        match self {
            Value::Number(number) => with(number),
            Value::Bytes(mut rest) => {
                while !rest.is_empty() {
                    with(varint(&mut rest)?);
                }
            }
            Value::Fixed => return Err(Malformed),
        }
        Ok(())
    }
}

/// The fields of a message, in byte order; malformed data ends them.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The fields of a message.
    pub(crate) fn of(message: &'a [u8]) -> Self {
        Fields { rest: message }
    }

    fn read(&mut self) -> Result<(u32, Value<'a>), Malformed> {
        let key = varint(&mut self.rest)?;
        let number = u32::try_from(key >> 3).ok().filter(|&number| number != 0).ok_or(Malformed)?;
        let value = match key & 7 {
            0 => Value::Number(varint(&mut self.rest)?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let len = varint(&mut self.rest)?;
                Value::Bytes(self.take(usize::try_from(len).map_err(|_| Malformed)?)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return Err(Malformed),
        };
        Ok((number, value))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// Seven bits per byte, the lowest first.
fn varint(rest: &mut &[u8]) -> Result<u64, Malformed> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, after) = rest.split_first().ok_or(Malformed)?;
        *rest = after;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return Err(Malformed);
        }
        number |= bits << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(Malformed)
}

/// Appends a varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a number field. Zero is omitted: readers treat a missing field as zero.
pub(crate) fn put_number(out: &mut Vec<u8>, field: u32, number: u64) {
    if number != 0 {
        put_varint(out, u64::from(field) << 3);
        put_varint(out, number);
    }
}

/// Appends a field with text, a message or packed numbers.
pub(crate) fn put_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_varint(out, u64::from(field) << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_malformed() {
        for bytes in [
            &b"\x08"[..],
            b"\x00\x00",
            b"\x0a\x02a",
            b"\x0b",
            b"\x09abcdefg",
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x00",
        ] {
            assert_eq!(Fields::of(bytes).collect::<Vec<_>>(), [Err(Malformed)], "{bytes:x?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(number: u64, text: Vec<u8>, numbers: Vec<u64>) {
            let (mut out, mut packed) = (Vec::new(), Vec::new());
            numbers.iter().for_each(|&n| put_varint(&mut packed, n));
            put_bytes(&mut out, 1, &text);
            put_number(&mut out, 300, number);
            put_bytes(&mut out, 2, &packed);
            let mut fields = Fields::of(&out);
            prop_assert_eq!(fields.next(), Some(Ok((1, Value::Bytes(&text)))));
            if number != 0 {
                prop_assert_eq!(fields.next(), Some(Ok((300, Value::Number(number)))));
            }
            let mut read = Vec::new();
            let (field, value) = fields.next().expect("a field").expect("well formed");
            value.numbers(|n| read.push(n)).expect("numbers");
            prop_assert_eq!((field, read), (2, numbers));
            prop_assert_eq!(fields.next(), None);
        }

        #[test]
        fn never_panics(bytes: Vec<u8>) {
            for field in Fields::of(&bytes).flatten() {
                let _ = field.1.numbers(|_| ());
            }
        }
    }
}
