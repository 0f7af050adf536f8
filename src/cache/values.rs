//! Values in the bytes of questions, answers and keys: numbers, texts, lists. What is read was perhaps damaged, so every
//! length is compared with what is there.

use crate::snapshot::file::columns::{ColumnReader, ColumnWriter};

/// Elements of one list.
const MAX_LIST: u64 = 1 << 16;

/// Bytes being written.
#[derive(Debug, Default)]
pub(crate) struct Writer(ColumnWriter);

impl Writer {
    /// Adds a number.
    pub(crate) fn number(&mut self, value: u64) {
        self.0.plain(value);
    }

    /// Adds bytes.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.raw(bytes);
    }

    /// Adds a text.
    pub(crate) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// Adds what may be missing.
    pub(crate) fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.number(u64::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }

    /// Adds several.
    pub(crate) fn list<T>(&mut self, values: &[T], write: impl Fn(&mut Self, &T)) {
        self.number(values.len() as u64);
        for value in values {
            write(self, value);
        }
    }

    /// What was written.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0.into_bytes()
    }
}

/// Bytes being read. None everywhere: they are damaged.
#[derive(Debug)]
pub(crate) struct Reader<'a>(ColumnReader<'a>);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader(ColumnReader::new(bytes))
    }

    /// The next number.
    pub(crate) fn number(&mut self) -> Option<u64> {
        self.0.plain().ok()
    }

    /// The next number, of a kind that it must fit into.
    pub(crate) fn small<T: TryFrom<u64>>(&mut self) -> Option<T> {
        T::try_from(self.number()?).ok()
    }

    /// The next number, which is 0 or 1.
    pub(crate) fn flag(&mut self) -> Option<bool> {
        match self.number()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    /// The next bytes.
    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.number()?;
        self.0.raw(len).ok()
    }

    /// The next text.
    pub(crate) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// The next thing that may be missing.
    pub(crate) fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.flag()? { read(self).map(Some) } else { Some(None) }
    }

    /// The next several ones.
    pub(crate) fn list<T>(&mut self, read: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let len = self.number().filter(|len| *len <= MAX_LIST.min(self.0.remaining() as u64))?;
        (0..len).map(|_| read(self)).collect()
    }

    /// Whether everything was read.
    pub(crate) fn is_at_end(&self) -> bool {
        self.0.remaining() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> Vec<u8> {
        let mut writer = Writer::default();
        writer.text("a text");
        writer.option(Some(7), Writer::number);
        writer.option(None, Writer::number);
        writer.list(&["", "é"], |writer, text| writer.text(text));
        writer.into_bytes()
    }

    type Everything = (String, Option<u8>, Option<u8>, Vec<String>);

    fn read(bytes: &[u8]) -> Option<Everything> {
        let mut reader = Reader::new(bytes);
        let text = reader.text()?.to_owned();
        let (some, none) = (reader.option(Reader::small)?, reader.option(Reader::small)?);
        let list = reader.list(|reader| reader.text().map(str::to_owned))?;
        reader.is_at_end().then_some((text, some, none, list))
    }

    #[test]
    fn what_was_written_is_read() {
        let list = vec![String::new(), "é".to_owned()];
        assert_eq!(read(&written()), Some(("a text".to_owned(), Some(7), None, list)));
    }

    #[test]
    fn what_is_cut_or_too_long_is_refused() {
        let bytes = written();
        for len in 0..bytes.len() {
            assert_eq!(read(&bytes[..len]), None, "{len}");
        }
        assert_eq!(read(&[bytes.clone(), vec![0]].concat()), None);
        let mut endless = Writer::default();
        endless.number(u64::MAX);
        let endless = endless.into_bytes();
        assert_eq!(Reader::new(&endless).bytes(), None);
        assert_eq!(Reader::new(&endless).list(|_| Some(())), None);
        assert_eq!(Reader::new(&endless).small::<u8>(), None);
        assert_eq!(Reader::new(&[2]).flag(), None);
    }
}
